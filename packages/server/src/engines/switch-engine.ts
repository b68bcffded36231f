/**
 * `quipu engine switch` on the node that carries it out: the log goes on elsewhere while clients write, and a probe that
 * writes all the while tells for how long no write succeeded.
 */
import type { ReplicaDoor } from "@quipu/cluster";
import type { Clock } from "@quipu/core";
import { systemDatabase } from "@quipu/counters";
import type { VirtualLog } from "@quipu/log";
import { submit } from "../http/promise-caller.ts";
import type { CellAnswer } from "../cell/cell-requests.ts";
import { isServiceEngine } from "./engine-names.ts";
import type { EngineRequest } from "./service-engines.ts";

export interface SwitchParts {
  readonly log: VirtualLog;
  readonly door: ReplicaDoor;
  readonly clock: Clock;
}

/** Between two probes of one write each: the time that is told is true to about as much. */
const probeMs = 2;
/** After the switch the probe goes on until it has written again, at most for so long. */
const probeMsMax = 10_000;

const probeKey: Uint8Array = new TextEncoder().encode("engine-switch-probe");

export async function switchEngine(
  { log, door, clock }: SwitchParts,
  request: EngineRequest & { readonly engine: string },
): Promise<CellAnswer> {
  const before = log.chain().segments.at(-1)?.engine;
  const probe = new WriteProbe(door, clock);
  try {
    const { engine, endpoints, prefix } = request;
    const words = isServiceEngine(engine) ? JSON.stringify({ endpoints, prefix }) : undefined;
    const { segments } = await log.reconfigure(engine, words);
    const after = segments.at(-1);
    await probe.untilWritten();
    const gap = `longest time without a successful write: ${Math.round(probe.longestGapMs)} ms`;
    if (after?.engine !== engine)
      return { text: `somebody else switched to ${after?.engine} at the same time; ${gap}` };
    return { text: `from ${before} to ${engine} at position ${after?.base}; ${gap}` };
  } finally {
    await probe.stop();
  }
}

/** Writes to a key of its own, one write at a time, and remembers the longest time between two successes. */
class WriteProbe {
  readonly #clock: Clock;
  readonly #door: ReplicaDoor;
  readonly #running: Promise<void>;
  #lastMs: number;
  #longestGapMs = 0;
  #writes = 0;
  #isStopped = false;

  constructor(door: ReplicaDoor, clock: Clock) {
    this.#door = door;
    this.#clock = clock;
    this.#lastMs = clock.monotonicMs();
    this.#running = this.#run();
  }

  /** The time since the last success counts, too. */
  get longestGapMs(): number {
    return Math.max(this.#longestGapMs, this.#clock.monotonicMs() - this.#lastMs);
  }

  /** Resolves with the next success, or when it is waited for no longer. */
  async untilWritten(): Promise<void> {
    const writes = this.#writes;
    const startMs = this.#clock.monotonicMs();
    while (this.#writes === writes && this.#clock.monotonicMs() - startMs < probeMsMax) await this.#pause();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    await submit(this.#door, { type: "delete", database: systemDatabase, keys: [probeKey] }).catch(() => undefined);
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const isWritten = await submit(this.#door, {
        type: "add",
        database: systemDatabase,
        key: probeKey,
        delta: 1,
      }).then(
        () => true,
        // Seen as time without a success.
        () => false,
      );
      if (isWritten) {
        const nowMs = this.#clock.monotonicMs();
        this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastMs);
        this.#lastMs = nowMs;
        this.#writes++;
      }
      await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#clock.setTimer(probeMs, resolve));
  }
}
