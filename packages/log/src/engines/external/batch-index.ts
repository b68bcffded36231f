/** Where batches begin: the newest ones without holes, and single ones that readers of older records came to. */
import { invariant } from "@quipu/core";

/** As many readers may catch up at once without searching. */
const marksMax = 64;

export class BatchIndex {
  readonly #sizeMax: number;
  /** Number of the batch that `#firsts[0]` is of. */
  #oldest: number;
  #firsts: number[] = [];
  /** First position to batch number; oldest mark first. */
  readonly #marks: Map<number, number> = new Map();

  constructor(sizeMax: number, nextBatch: number) {
    this.#sizeMax = sizeMax;
    this.#oldest = nextBatch;
  }

  /** The oldest batch of those without holes; undefined while there is none. */
  get oldest(): { readonly number: number; readonly first: number } | undefined {
    const first = this.#firsts[0];
    return first === undefined ? undefined : { number: this.#oldest, first };
  }

  add(number: number, first: number): void {
    invariant(number === this.#oldest + this.#firsts.length, `batch ${number} after ${this.#firsts.length} others`);
    this.#firsts.push(first);
    if (this.#firsts.length <= this.#sizeMax) return;
    const dropped = Math.ceil(this.#sizeMax / 2);
    this.#firsts = this.#firsts.slice(dropped);
    this.#oldest += dropped;
  }

  /** Everything before batch `nextBatch` was passed over. */
  restart(nextBatch: number): void {
    this.#firsts = [];
    this.#oldest = nextBatch;
  }

  /** Batch `number` begins at `first`. */
  mark(number: number, first: number): void {
    this.#marks.delete(first);
    this.#marks.set(first, number);
    if (this.#marks.size <= marksMax) return;
    for (const [oldest] of this.#marks) {
      this.#marks.delete(oldest);
      return;
    }
  }

  /** The batch that holds `position`, which lies below the end of the newest batch added. */
  find(position: number): number | undefined {
    const marked = this.#marks.get(position);
    if (marked !== undefined) return marked;
    if (position < (this.#firsts[0] ?? Number.POSITIVE_INFINITY)) return undefined;
    let low = 0;
    let high = this.#firsts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#firsts[middle] ?? Number.POSITIVE_INFINITY) <= position) low = middle;
      else high = middle - 1;
    }
    return this.#oldest + low;
  }
}
