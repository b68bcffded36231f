/**
 * Batches that wait to be sent: those of callers, in the order of their calls, and those put back.
 * The last one stays open for more operations until it is full or sent.
 */
import { RespWriter } from "@quipu/protocol";
import type { Batch } from "./batch.ts";
import { batchBodyBytesMax, operationsPerBatchMax } from "./options.ts";

const utf8BytesPerUnitMax = 3;

export class BatchQueue {
  /** By sequence, ascending. */
  readonly #waiting: Batch[] = [];
  /** The last of #waiting while it takes more operations; its words are in #words. */
  #open: Batch | undefined = undefined;
  readonly #words = new RespWriter(3, (bytes) => Buffer.allocUnsafe(bytes));
  #lastSequence = 0;

  get length(): number {
    return this.#waiting.length;
  }

  /** Where the words of the open batch are appended. */
  get words(): RespWriter {
    return this.#words;
  }

  /** The batch that takes an operation on `key`; `begin` makes a new one. */
  openFor(key: string, begin: (sequence: number) => Batch): Batch {
    const open = this.#open;
    if (open !== undefined && !open.settled && open.operations < operationsPerBatchMax) {
      if (this.#words.length + key.length * utf8BytesPerUnitMax < batchBodyBytesMax) return open;
    }
    this.#seal();
    this.#lastSequence++;
    const batch = begin(this.#lastSequence);
    this.#open = batch;
    this.#waiting.push(batch);
    return batch;
  }

  /** Closes the open batch to later operations if its deadline is before `timeMs`. */
  sealDueBefore(timeMs: number): void {
    if (this.#open !== undefined && this.#open.deadlineMs < timeMs) this.#seal();
  }

  /** The next batch to send, its body complete; undefined if none waits. Stays until {@link shift}. */
  first(): Batch | undefined {
    while (this.#waiting[0]?.settled === true) this.shift();
    const batch = this.#waiting[0];
    if (batch !== undefined && batch === this.#open) this.#seal();
    return batch;
  }

  shift(): void {
    if (this.#waiting[0] === this.#open) this.#seal();
    const batch = this.#waiting.shift();
    if (batch !== undefined) batch.queued = false;
  }

  /** Puts a batch back to its place, to be sent again. */
  putBack(batch: Batch): void {
    let index = 0;
    while (index < this.#waiting.length && (this.#waiting[index] as Batch).sequence < batch.sequence) index++;
    this.#waiting.splice(index, 0, batch);
    batch.queued = true;
  }

  #seal(): void {
    if (this.#open === undefined) return;
    this.#open.body = this.#words.take();
    this.#open = undefined;
  }
}
