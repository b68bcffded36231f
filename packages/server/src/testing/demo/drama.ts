/**
 * What happens to the cell while it counts, each as the count passes its mark: the leader is killed, started again, and the
 * one that leads then is stopped for some seconds, as by a machine that hangs. For each: the longest time in which no write
 * succeeded.
 */
import type { Progress } from "../../cli/terminal/progress.ts";
import { formatCount } from "../../cli/terminal/table.ts";
import { isWhole, type LocalCell, type LocalNode } from "../../local-cell/local-cell.ts";
import { delay } from "../delay.ts";
import type { WriteGaps } from "./write-gaps.ts";

export interface DramaEvent {
  readonly what: string;
  readonly afterHits: number;
  /** Longest time without a successful write, from this event until things had settled. */
  readonly withoutWriteMs: number;
}

/** Longer than a cell needs to choose another leader, several times. */
const pauseMs = 3_000;
/** The consequences of an event are over by then. */
const settleMs = 1_500;
const pollMs = 50;
/** A node's start, on a busy machine. */
const wholeMsMax = 60_000;

type Act = (afterHits: number) => Promise<void>;

export class Drama {
  readonly events: DramaEvent[] = [];
  /** Rejects where an act fails; never resolves. */
  readonly failure: Promise<never>;
  readonly #cell: LocalCell;
  readonly #bar: Progress;
  readonly #gaps: WriteGaps;
  readonly #acts: { readonly mark: number; readonly act: Act }[];
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;
  #killed: LocalNode | undefined;
  #fail: (error: unknown) => void = () => {};

  constructor(cell: LocalCell, hits: number, bar: Progress, gaps: WriteGaps) {
    this.#cell = cell;
    this.#bar = bar;
    this.#gaps = gaps;
    const acts: readonly Act[] = [
      (after) => this.#kill(after),
      (after) => this.#restart(after),
      (after) => this.#pause(after),
    ];
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
    this.#running = next
      .act(hits)
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

  async #kill(afterHits: number): Promise<void> {
    const leader = await this.#leader();
    this.#killed = leader;
    await this.#measured(`kill -9 of ${leader.name}, the leader`, afterHits, async () => {
      await leader.server.stop("SIGKILL");
      await delay(settleMs);
    });
  }

  async #restart(afterHits: number): Promise<void> {
    const node = this.#killed as LocalNode;
    await this.#measured(`${node.name} is started again`, afterHits, async () => {
      await node.server.restart();
      await this.#whenWhole();
    });
  }

  async #pause(afterHits: number): Promise<void> {
    const leader = await this.#leader();
    await this.#measured(`SIGSTOP of ${leader.name}, which leads now, for ${pauseMs / 1000} s`, afterHits, async () => {
      leader.server.signal("SIGSTOP");
      await delay(pauseMs);
      leader.server.signal("SIGCONT");
      await this.#whenWhole();
    });
  }

  async #measured(what: string, afterHits: number, happening: () => Promise<void>): Promise<void> {
    this.#gaps.take();
    this.#bar.note(`${what}, after ${formatCount(afterHits)} hits`);
    await happening();
    const withoutWriteMs = Math.round(this.#gaps.take());
    this.#bar.note(`  longest time without a successful write: ${formatCount(withoutWriteMs)} ms`);
    this.events.push({ what, afterHits, withoutWriteMs });
  }

  async #leader(): Promise<LocalNode> {
    return this.#until("a leader", () => this.#cell.leader());
  }

  async #whenWhole(): Promise<void> {
    await this.#until("all nodes", async () => {
      const status = await this.#cell.status();
      const isThere = status?.cell !== null && status !== undefined && isWhole(status.cell, this.#cell.nodes.length);
      return isThere ? true : undefined;
    });
  }

  async #until<Result>(what: string, look: () => Promise<Result | undefined>): Promise<Result> {
    const endMs = performance.now() + wholeMsMax;
    while (performance.now() < endMs) {
      const found = await look();
      if (found !== undefined) return found;
      await delay(pollMs);
    }
    throw new Error(`the cell has waited ${wholeMsMax} ms for ${what}`);
  }
}
