/**
 * The virtual log as the replica sees it in a simulation: every delivery goes into the history first, and, where
 * the seed wants it, the engine behaves as badly as its contract allows: lost appends, lost answers, refusals,
 * records that appear long after their append was given up, deliveries that lag behind the tail.
 */
import { type Lsn, QuipuError, type Random } from "@quipu/core";
import type { Appended, Chain, LogDelivery, LogletName, Subscription, Tail, VirtualLog } from "@quipu/log";
import type { History } from "./history.ts";
import type { ProcessLife, Scheduler } from "./scheduler.ts";
import type { SwarmConfiguration } from "./swarm.ts";

export interface ObservedLogOptions {
  readonly inner: VirtualLog;
  readonly history: History;
  readonly scheduler: Scheduler;
  readonly life: ProcessLife;
  readonly random: Random;
  readonly swarm: SwarmConfiguration;
  /** False while faults are healed. */
  readonly faulty: () => boolean;
  readonly met: (fault: string) => void;
  /** Takes records that shall appear later, perhaps in a later life of the node. */
  readonly haunt: (records: readonly Uint8Array[]) => void;
  /** Reports what a check throws. */
  readonly guard: (action: () => void) => void;
}

const perTenThousand = 10_000;

export class ObservedLog implements VirtualLog {
  readonly #options: ObservedLogOptions;

  constructor(options: ObservedLogOptions) {
    this.#options = options;
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    const { inner, random, swarm, faulty, met, haunt } = this.#options;
    if (!faulty()) return inner.append(records);
    let draw = random.below(perTenThousand);
    const hit = (chance: number): boolean => (draw -= chance) < 0;
    if (hit(swarm.appendLost)) {
      met("append lost");
      return this.#later(new QuipuError("LOG_APPEND_UNKNOWN", "simulated: the append was lost"));
    }
    if (hit(swarm.appendRefused)) {
      met("append refused");
      return this.#later(new QuipuError("OVERLOADED", "simulated: the engine takes nothing more"));
    }
    if (hit(swarm.appendZombie)) {
      met("append delayed past its end");
      haunt(records);
      return this.#later(new QuipuError("LOG_APPEND_UNKNOWN", "simulated: the append may appear later"));
    }
    if (hit(swarm.appendAnswerLost)) {
      met("append's answer lost");
      const unknown = new QuipuError("LOG_APPEND_UNKNOWN", "simulated: the answer was lost");
      return inner.append(records).then(() => this.#later(unknown));
    }
    return inner.append(records);
  }

  tail(): Promise<Tail> {
    return this.#options.inner.tail();
  }

  tailNow(): Tail | undefined {
    return this.#options.inner.tailNow();
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    const { inner, history, scheduler, life, random, swarm, guard } = this.#options;
    let closed = false;
    let dueUs = 0;
    const subscription = inner.read(from, (delivery) => {
      // Power went within this very turn: nobody saw it.
      if (!life.alive) return;
      if (delivery.type === "records") {
        guard(() => delivery.records.forEach((record, i) => history.observe(delivery.first + i, record)));
      }
      if (swarm.deliveryDelayUsMax === 0) {
        onDelivery(delivery);
        return;
      }
      // In order: never before the delivery that went ahead.
      dueUs = Math.max(dueUs + 1, scheduler.nowUs + random.below(swarm.deliveryDelayUsMax));
      scheduler.schedule(dueUs - scheduler.nowUs, life, () => {
        if (!closed) onDelivery(delivery);
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

  #later<Result>(error: QuipuError): Promise<Result> {
    const { scheduler, life, random } = this.#options;
    return new Promise((_, reject) => {
      scheduler.schedule(random.below(5_000), life, () => reject(error));
    });
  }
}
