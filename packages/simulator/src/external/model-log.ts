/** One log on the model of a coordination service: what the service itself has, without delays and faults. */
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import type { ExternalMutation, LogHead } from "@quipu/log";

export class ModelLog {
  readonly #batches: Map<number, Uint8Array> = new Map();
  readonly #mutation: ExternalMutation | undefined;
  readonly #describe: string;
  #nextBatch = 1;
  #tail = lsn(1);
  #firstBatch = 1;
  #trimmedUpTo = 0;
  #sealed = false;
  /** Counts the writes of the head. */
  #revision = 1;
  #bytes = 0;
  #isGone = false;
  readonly watchers: Set<(nextBatch: number) => void> = new Set();

  constructor(describe: string, mutation: ExternalMutation | undefined) {
    this.#describe = describe;
    this.#mutation = mutation;
  }

  /** Bytes of all batches that are there. */
  get bytes(): number {
    return this.#bytes;
  }

  head(): LogHead {
    if (this.#isGone) throw new QuipuError("LOG_CORRUPT", `${this.#describe}: its head is gone`);
    return {
      nextBatch: this.#nextBatch,
      tail: this.#tail,
      firstBatch: this.#firstBatch,
      trimmedUpTo: this.#trimmedUpTo,
      sealed: this.#sealed,
      token: String(this.#revision),
      wearsOut: this.#revision > 1_000_000,
    };
  }

  append(at: LogHead, batch: Uint8Array, tail: Lsn): LogHead | undefined {
    this.head();
    const isOpen = !this.#sealed || this.#mutation === "seal-ignored-in-append-condition";
    if (at.token !== String(this.#revision) || !isOpen) return undefined;
    invariant(at.nextBatch === this.#nextBatch && tail > this.#tail, `batch ${at.nextBatch}, tail ${tail}`);
    this.#batches.set(this.#nextBatch, batch.slice());
    this.#bytes += batch.length;
    this.#nextBatch += 1;
    this.#tail = tail;
    this.#revision += 1;
    for (const watcher of this.watchers) watcher(this.#nextBatch);
    return this.head();
  }

  /** Batches `from` up to `below`, while there are any; some `bytesMax` bytes. */
  read(from: number, below: number, bytesMax: number): readonly Uint8Array[] {
    const found: Uint8Array[] = [];
    let bytes = 0;
    for (let number = from; number < below && (found.length === 0 || bytes < bytesMax); number++) {
      const batch = this.#batches.get(number);
      if (batch === undefined) break;
      found.push(batch);
      bytes += batch.length;
    }
    return found;
  }

  seal(): void {
    this.head();
    this.#sealed = true;
  }

  trim(firstBatch: number, trimmedUpTo: Lsn): void {
    if (firstBatch <= this.#firstBatch) return;
    invariant(firstBatch <= this.#nextBatch && trimmedUpTo < this.#tail, `trim to ${firstBatch}, ${trimmedUpTo}`);
    for (let number = this.#firstBatch; number < firstBatch; number++) this.damage(number, undefined);
    this.#firstBatch = firstBatch;
    this.#trimmedUpTo = trimmedUpTo;
    this.#revision += 1;
  }

  /** Somebody writes there who should not: other bytes, or none. */
  damage(number: number, bytes: Uint8Array | undefined): void {
    this.#bytes -= this.#batches.get(number)?.length ?? 0;
    if (bytes === undefined) this.#batches.delete(number);
    else this.#batches.set(number, bytes);
  }

  /** Somebody removes the head. */
  removeHead(): void {
    this.#isGone = true;
  }
}
