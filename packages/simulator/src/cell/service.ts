/**
 * A coordination service beside the cell, as a home of its log: one model of it for all nodes, which delays, loses and
 * repeats what they ask of it, and is away for a while now and then.
 */
import type { Clock, QuipuError, Random } from "@quipu/core";
import { externalEngine, type LogletEngine } from "@quipu/log";
import { SimulatedClock, WallClock } from "../clock.ts";
import { ModelCluster, noFaults } from "../external/model-service.ts";
import type { Scheduler } from "../scheduler.ts";

export interface CellServiceOptions {
  readonly scheduler: Scheduler;
  readonly split: () => Random;
  /** The service has not what was written there. */
  readonly onDamage: (error: QuipuError) => void;
}

export interface ServiceHandle {
  readonly engine: LogletEngine;
  /** The node is dead: it hears no answer any more. */
  close(): void;
}

const healedDelayMsMax = 2;
const deadlineMs = 3_000;

export class CellService {
  readonly #options: CellServiceOptions;
  readonly #cluster: ModelCluster;

  constructor(options: CellServiceOptions) {
    this.#options = options;
    const { scheduler, split } = options;
    const random = split();
    const seldom = (limit: number): number => (random.chance(1, 2) ? 0 : random.below(limit));
    this.#cluster = new ModelCluster({
      clock: new SimulatedClock(scheduler, new WallClock(scheduler, 1), { alive: true }, split()),
      random: split(),
      faults: {
        delayMsMax: 1 + random.below(20),
        timeoutMs: 100 + random.below(500),
        requestsLost: seldom(100),
        answersLost: seldom(200),
        requestsLate: seldom(200),
        lateMsMax: random.below(1_500),
        hintsMissed: seldom(1_000),
        hintsWrong: seldom(500),
        readsOld: seldom(1_000),
      },
    });
  }

  /** For one life of a node. */
  connect(clock: Clock, random: Random): ServiceHandle {
    const service = this.#cluster.connect();
    const engine = externalEngine({
      service,
      clock,
      random,
      settings: { deadlineMs },
      onDamage: this.#options.onDamage,
    });
    return { engine, close: () => void service.close() };
  }

  set isDown(isDown: boolean) {
    this.#cluster.isDown = isDown;
  }

  heal(): void {
    this.#cluster.isDown = false;
    this.#cluster.faults = { ...noFaults, delayMsMax: healedDelayMsMax };
  }
}
