/**
 * The operations that a search has not placed yet, by invocation: a doubly linked list in two arrays, from which
 * members are taken and put back in the reverse order, both in constant time.
 */
import { type HistoryOperation, deadlineOf } from "./history.ts";

/** A bit for each operation, in words that fit a character of a string. */
const wordBits = 16;

export class Unplaced {
  /** By invocation. Index `length` is the end. */
  readonly length: number;
  readonly #operations: readonly HistoryOperation[];
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #placedWords: Uint16Array;
  #count: number;

  constructor(operations: readonly HistoryOperation[]) {
    this.#operations = operations;
    this.length = operations.length;
    this.#count = this.length;
    // The end is also what stands before the first: its next is the head.
    this.#next = Int32Array.from({ length: this.length + 1 }, (_, i) => (i === this.length ? 0 : i + 1));
    this.#previous = Int32Array.from({ length: this.length + 1 }, (_, i) => (i === 0 ? this.length : i - 1));
    this.#placedWords = new Uint16Array(Math.ceil((this.length + 1) / wordBits));
  }

  get count(): number {
    return this.#count;
  }

  get head(): number {
    return this.next(this.length);
  }

  next(index: number): number {
    return this.#next[index] as number;
  }

  operation(index: number): HistoryOperation {
    return this.#operations[index] as HistoryOperation;
  }

  take(index: number): void {
    const [previous, next] = [this.#previous[index] as number, this.#next[index] as number];
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#flip(index);
    this.#count -= 1;
  }

  /** Puts back what was taken last and not put back. */
  putBack(index: number): void {
    this.#next[this.#previous[index] as number] = index;
    this.#previous[this.#next[index] as number] = index;
    this.#flip(index);
    this.#count += 1;
  }

  /**
   * The first time that must not pass without a placement: nothing invoked later can come next. (Whoever was invoked
   * after the least deadline so far has a later one.)
   */
  earliestDeadline(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (let i = this.head; i < this.length; i = this.next(i)) {
      const operation = this.operation(i);
      if (operation.invokedAt > earliest) break;
      earliest = Math.min(earliest, deadlineOf(operation));
    }
    return earliest;
  }

  /** Which are placed, of those invoked up to `time`, as text; equal for equal sets. Nothing later may be placed. */
  placedText(time: number): string {
    const first = Math.floor(this.head / wordBits);
    let last = this.head;
    // Skips whole words: what stands at a word's end bounds the word.
    let word = first;
    while (last < this.length && this.operation(last).invokedAt <= time) {
      word += 1;
      last = Math.min(word * wordBits, this.length);
    }
    return String.fromCharCode(first & 0xffff, first >>> 16, word - first, ...this.#placedWords.subarray(first, word));
  }

  #flip(index: number): void {
    const word = Math.floor(index / wordBits);
    this.#placedWords[word] = (this.#placedWords[word] as number) ^ (1 << (index % wordBits));
  }
}
