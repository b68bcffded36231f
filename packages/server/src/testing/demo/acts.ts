/**
 * What happens to a cell while it counts: one act after another, each as the count passes its mark. For each: the longest
 * time in which no write succeeded.
 */
import type { Progress } from "../../cli/terminal/progress.ts";
import { formatCount } from "../../cli/terminal/table.ts";
import { isWhole, type LocalCell, type LocalNode } from "../../local-cell/local-cell.ts";
import { delay } from "../delay.ts";
import type { WriteGaps } from "./write-gaps.ts";

export interface ActEvent {
  readonly what: string;
  readonly afterHits: number;
  /** Longest time without a successful write, from this event until things had settled. */
  readonly withoutWriteMs: number;
}

/** What an act does, while the time without a write is measured. */
export interface Act {
  /** Called when its time has come; what it returns is told. */
  readonly what: (stage: Stage) => Promise<string>;
  readonly happen: (stage: Stage) => Promise<void>;
}

const pollMs = 50;
/** A node's start, on a busy machine. */
const wholeMsMax = 60_000;

/** The cell, as acts see it. */
export class Stage {
  readonly cell: LocalCell;

  constructor(cell: LocalCell) {
    this.cell = cell;
  }

  leader(): Promise<LocalNode> {
    return this.until("a leader", () => this.cell.leader());
  }

  async whenWhole(): Promise<void> {
    await this.until("all nodes", async () => {
      const status = await this.cell.status();
      const isThere = status?.cell !== null && status !== undefined && isWhole(status.cell, this.cell.nodes.length);
      return isThere ? true : undefined;
    });
  }

  async until<Result>(what: string, look: () => Promise<Result | undefined>): Promise<Result> {
    const endMs = performance.now() + wholeMsMax;
    while (performance.now() < endMs) {
      const found = await look();
      if (found !== undefined) return found;
      await delay(pollMs);
    }
    throw new Error(`the cell has waited ${wholeMsMax} ms for ${what}`);
  }
}

export class Acts {
  readonly events: ActEvent[] = [];
  /** Rejects where an act fails; never resolves. */
  readonly failure: Promise<never>;
  readonly #stage: Stage;
  readonly #bar: Progress;
  readonly #gaps: WriteGaps;
  readonly #acts: { readonly mark: number; readonly act: Act }[];
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;
  #fail: (error: unknown) => void = () => {};

  constructor(cell: LocalCell, acts: readonly Act[], hits: number, bar: Progress, gaps: WriteGaps) {
    this.#stage = new Stage(cell);
    this.#bar = bar;
    this.#gaps = gaps;
    this.#acts = acts.map((act, index) => ({ act, mark: Math.floor((hits * (index + 1)) / (acts.length + 1)) }));
    this.failure = new Promise((_resolve, reject) => (this.#fail = reject));
    this.failure.catch(() => undefined);
  }

  /** While it is true the rest of the hits should come slowly: there is to be somebody who sees the next act. */
  get isBehind(): boolean {
    return this.#isRunning;
  }

  reached(hits: number): void {
    const next = this.#acts[0];
    if (next === undefined || hits < next.mark || this.#isRunning) return;
    this.#acts.shift();
    this.#isRunning = true;
    this.#running = this.#play(next.act, hits)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => (this.#isRunning = false));
  }

  /** True until everything has happened. */
  get isUnfinished(): boolean {
    return this.#acts.length > 0 || this.#isRunning;
  }

  async finished(): Promise<void> {
    await Promise.race([this.failure, this.#running]);
    if (this.#acts.length > 0) throw new Error("the counting ended before everything had happened");
  }

  async #play(act: Act, afterHits: number): Promise<void> {
    const what = await act.what(this.#stage);
    this.#gaps.take();
    this.#bar.note(`${what}, after ${formatCount(afterHits)} hits`);
    await act.happen(this.#stage);
    const withoutWriteMs = Math.round(this.#gaps.take());
    this.#bar.note(`  longest time without a successful write: ${formatCount(withoutWriteMs)} ms`);
    this.events.push({ what, afterHits, withoutWriteMs });
  }
}
