/**
 * Whose turn it is, where several nodes append to one log and only one can come next. Every batch says who wrote it; those who
 * wrote lately stand in a ring, and behind each batch it is the next one's turn. Nothing depends on it but speed: who goes
 * out of turn, because the one before has nothing to append, or because it has not heard of the newest batch, loses a race.
 */
import type { Clock } from "@quipu/core";

/** Of a batch's id: who wrote it. */
const writerCharacters = 8;
/** A writer that has let so many turns pass is not waited for. */
const turnsMissedMax = 6;

export class Turns {
  readonly #self: string;
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** When a batch of another writer was met last. */
  readonly #others: Map<string, number> = new Map();
  #last: string | undefined;
  #lastMs: number;

  /** `self`: eight hexadecimal digits, with which the ids of this node's batches begin. */
  constructor(self: string, clock: Pick<Clock, "monotonicMs">) {
    this.#self = self;
    this.#clock = clock;
    this.#lastMs = clock.monotonicMs();
  }

  /** The batch with this id is in the log, and the newest known. */
  appended(id: string): void {
    this.#last = id.slice(0, writerCharacters);
    this.#lastMs = this.#clock.monotonicMs();
    if (this.#last !== this.#self) this.#others.set(this.#last, this.#lastMs);
  }

  /** How long to wait, ms, where a turn takes `turnMs`. 0: it is this node's turn, or nobody else's. */
  waitMs(turnMs: number): number {
    const nowMs = this.#clock.monotonicMs();
    for (const [writer, seenMs] of this.#others) {
      if (nowMs - seenMs > turnMs * turnsMissedMax * (this.#others.size + 1)) this.#others.delete(writer);
    }
    if (this.#others.size === 0 || this.#last === undefined) return 0;
    const ring = [...new Set([...this.#others.keys(), this.#self, this.#last])].sort();
    const turns = (ring.indexOf(this.#self) - ring.indexOf(this.#last) - 1 + ring.length) % ring.length;
    return Math.max(0, turns * turnMs - (nowMs - this.#lastMs));
  }
}
