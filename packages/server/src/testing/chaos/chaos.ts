/**
 * Chaos: a cell of real processes under load and a seeded series of faults, then everything heals and has to be exact.
 * `npm run chaos` is the long form, a test the short one.
 */
import { SeededRandom } from "@quipu/core";
import { WriteGaps } from "../demo/write-gaps.ts";
import { ChaosCell } from "./chaos-cell.ts";
import { drawFault, type Fault } from "./faults.ts";
import { delay } from "../delay.ts";
import type { Services } from "../services.ts";
import { type RecordedOperation, Workload } from "./workload.ts";

export interface ChaosOptions {
  /** Data of the nodes; whoever calls removes it. */
  readonly directory: string;
  readonly seed: number;
  readonly seconds: number;
  readonly nodes: number;
  readonly print: (line: string) => void;
  /** The series, instead of a drawn one. */
  readonly series?: readonly Fault[];
  /** The log moves to them and away, too. Whoever gives them stops them. */
  readonly services?: Services;
}

export interface ChaosEvent {
  readonly what: string;
  /** Longest time without a successful write, from this fault's start to when the cell took writes after it. */
  readonly withoutWriteMs: number;
}

export interface ChaosResult {
  readonly events: readonly ChaosEvent[];
  readonly acknowledged: number;
  readonly history: readonly RecordedOperation[];
  /** Whatever should not be; empty when all is well. */
  readonly problems: readonly string[];
  readonly stateHash: string | undefined;
}

/** Between two faults, so that some meet a cell at rest and some one that is still catching up. */
const restMsMax = 2_000;
/** After a fault the cell must take writes again within this, on a machine as busy as it may be. */
const progressMsMax = 60_000;

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const cell = await ChaosCell.start(options.directory, options.nodes);
  const run = new ChaosRun(cell, options);
  try {
    await run.run();
  } catch (error) {
    run.problems.push(error instanceof Error ? error.message : String(error));
  } finally {
    await run.close();
  }
  return run.result();
}

class ChaosRun {
  readonly problems: string[] = [];
  readonly #cell: ChaosCell;
  readonly #options: ChaosOptions;
  readonly #random: SeededRandom;
  readonly #gaps = new WriteGaps(() => performance.now());
  readonly #workload: Workload;
  readonly #events: ChaosEvent[] = [];
  readonly #startMs = performance.now();
  #stateHash: string | undefined;

  constructor(cell: ChaosCell, options: ChaosOptions) {
    this.#cell = cell;
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#workload = new Workload(cell.nodes, options.seed + 1, this.#gaps);
  }

  async run(): Promise<void> {
    await this.#workload.start();
    const endMs = performance.now() + this.#options.seconds * 1000;
    for (let index = 0; ; index++) {
      const fault = this.#options.series === undefined ? drawFault(this.#random) : this.#options.series[index];
      if (fault === undefined || (this.#options.series === undefined && performance.now() > endMs)) break;
      await this.#happen(fault);
      if (this.#cell.surprises.length > 0) break;
      await delay(this.#random.below(restMsMax));
    }
    await this.#judge();
  }

  async #happen(fault: Fault): Promise<void> {
    this.#gaps.take();
    this.#note(fault.name);
    const note = (text: string): void => this.#note(`  ${text}`);
    const { services } = this.#options;
    await fault.run({ cell: this.#cell, random: this.#random, note, services });
    const before = this.#workload.acknowledged;
    const waitedSinceMs = performance.now();
    while (this.#workload.acknowledged === before) {
      if (performance.now() - waitedSinceMs > progressMsMax) {
        throw new Error(`no write succeeded within ${progressMsMax} ms after: ${fault.name}`);
      }
      await delay(10);
    }
    const withoutWriteMs = Math.round(this.#gaps.take());
    this.#note(`  longest time without a successful write: ${withoutWriteMs} ms`);
    this.#events.push({ what: fault.name, withoutWriteMs });
  }

  async #judge(): Promise<void> {
    this.#note("heal everything");
    await this.#cell.heal();
    await this.#cell.whenWhole();
    await this.#workload.stop();
    this.#stateHash = await this.#cell.whenEqual();
    this.#note(`one state on all nodes: ${this.#stateHash}`);
    this.problems.push(...(await this.#workload.compare()));
  }

  async close(): Promise<void> {
    await this.#workload.close().catch((error: unknown) => this.problems.push(String(error)));
    await this.#cell.dispose();
  }

  result(): ChaosResult {
    return {
      events: this.#events,
      acknowledged: this.#workload.acknowledged,
      history: this.#workload.history,
      problems: [...this.#cell.surprises, ...this.#workload.problems, ...this.problems],
      stateHash: this.#stateHash,
    };
  }

  #note(text: string): void {
    const seconds = ((performance.now() - this.#startMs) / 1000).toFixed(2).padStart(8);
    this.#options.print(`${seconds} s  ${text}`);
  }
}
