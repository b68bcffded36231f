/**
 * The virtual log as a replica of a cell sees it: every delivery goes into the history first, one history for all
 * nodes, so that a position is the same record everywhere (StateMachineSafety); deliveries may lag.
 */
import type { Lsn, Random } from "@quipu/core";
import type { Appended, Chain, LogDelivery, Subscription, Tail, VirtualLog } from "@quipu/log";
import type { History } from "../history.ts";
import type { ProcessLife, Scheduler } from "../scheduler.ts";

export interface CellLogOptions {
  readonly inner: VirtualLog;
  readonly history: History;
  readonly scheduler: Scheduler;
  readonly life: ProcessLife;
  readonly random: Random;
  readonly deliveryDelayUsMax: number;
  readonly guard: (action: () => void) => void;
}

export class CellLog implements VirtualLog {
  readonly #options: CellLogOptions;

  constructor(options: CellLogOptions) {
    this.#options = options;
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    return this.#options.inner.append(records);
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

  trim(upTo: Lsn): Promise<void> {
    return this.#options.inner.trim(upTo);
  }

  replication(): ReturnType<NonNullable<VirtualLog["replication"]>> {
    return this.#options.inner.replication?.();
  }

  chain(): Chain {
    return this.#options.inner.chain();
  }

  reconfigure(engine: string): Promise<Chain> {
    return this.#options.inner.reconfigure(engine);
  }

  finishSealedChain(): Promise<void> {
    return this.#options.inner.finishSealedChain();
  }

  close(): Promise<void> {
    return this.#options.inner.close();
  }
}
