/**
 * The virtual log as a replica of a cell sees it: every delivery goes into the history first, one history for all
 * nodes, so that a position is the same record everywhere (StateMachineSafety); deliveries may lag.
 */
import type { Lsn, Random } from "@quipu/core";
import type { Appended, Chain, LogDelivery, LogletName, Subscription, Tail, VirtualLog } from "@quipu/log";
import { check } from "../failure.ts";
import type { History } from "../history.ts";
import type { ProcessLife, Scheduler } from "../scheduler.ts";

export interface CellLogOptions {
  readonly inner: VirtualLog;
  readonly history: History;
  readonly scheduler: Scheduler;
  readonly life: ProcessLife;
  readonly random: Random;
  readonly deliveryDelayUsMax: number;
  /** How far the log is committed, whoever knows it. */
  readonly committedUpTo: () => number;
  /** The state up to there is durable on this node. */
  readonly checkpointed: (upTo: number) => void;
  /** Of this node's state store. */
  readonly unsyncedBatches: () => number;
  readonly guard: (action: () => void) => void;
}

/** Positions of a caller's last appends, to compare later ones with. */
const appendsRemembered = 16;

export class CellLog implements VirtualLog {
  readonly #options: CellLogOptions;
  #calls = 0;
  readonly #appended = new Map<number, number>();

  constructor(options: CellLogOptions) {
    this.#options = options;
  }

  /** Acknowledged means committed, and appends of one caller stand in the order of the calls. */
  append(records: readonly Uint8Array[]): Promise<Appended> {
    const { inner, life, guard, committedUpTo } = this.#options;
    const call = ++this.#calls;
    const appending = inner.append(records);
    appending.then(
      ({ first, last }) => {
        if (!life.alive) return;
        guard(() => {
          const upTo = committedUpTo();
          check(last <= upTo, "acknowledged-lost", () => `an append at ${last} is acknowledged, ${upTo} is committed`);
          this.#checkOrder(call, first);
        });
      },
      () => undefined,
    );
    return appending;
  }

  #checkOrder(call: number, first: number): void {
    for (const [other, at] of this.#appended) {
      check(
        other < call === at < first,
        "log-order",
        () => `append ${call} of a caller stands at ${first}, append ${other} at ${at}`,
      );
    }
    this.#appended.set(call, first);
    if (this.#appended.size > appendsRemembered) this.#appended.delete(call - appendsRemembered);
  }

  tail(): Promise<Tail> {
    return this.#options.inner.tail();
  }

  tailNow(): Tail | undefined {
    return this.#options.inner.tailNow();
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    const { inner, history, scheduler, life, random, deliveryDelayUsMax, guard } = this.#options;
    let closed = false;
    const waiting: LogDelivery[] = [];
    const subscription = inner.read(from, (delivery) => {
      if (!life.alive) return;
      if (delivery.type === "records") {
        guard(() => delivery.records.forEach((record, i) => history.observe(delivery.first + i, record)));
      }
      if (deliveryDelayUsMax === 0) {
        onDelivery(delivery);
        return;
      }
      waiting.push(delivery);
      scheduler.schedule(random.below(deliveryDelayUsMax), life, () => {
        const next = waiting.shift();
        if (!closed && next !== undefined) onDelivery(next);
      });
    });
    return {
      close: (): void => {
        closed = true;
        subscription.close();
      },
    };
  }

  /** "The state up to here is durable on this node": nothing in the store may be waiting for its sync. */
  trim(upTo: Lsn): Promise<void> {
    const { inner, life, guard, unsyncedBatches, checkpointed } = this.#options;
    if (life.alive) {
      guard(() => {
        const isDurable = unsyncedBatches() === 0;
        check(isDurable, "trimmed-too-far", () => `trimmed to ${upTo}, the checkpoint is not durable`);
        checkpointed(upTo);
      });
    }
    return inner.trim(upTo);
  }

  replication(): ReturnType<NonNullable<VirtualLog["replication"]>> {
    return this.#options.inner.replication?.();
  }

  chain(): Chain {
    return this.#options.inner.chain();
  }

  reconfigure(engine: string, request?: string, instead?: LogletName): Promise<Chain> {
    return this.#options.inner.reconfigure(engine, request, instead);
  }

  dropTrimmed(): Promise<void> {
    return this.#options.inner.dropTrimmed();
  }

  wearsOut(): boolean {
    return this.#options.inner.wearsOut();
  }

  finishSealedChain(): Promise<void> {
    return this.#options.inner.finishSealedChain();
  }

  close(): Promise<void> {
    return this.#options.inner.close();
  }
}
