/** The newest durable records of one log, in memory, so that a reader that is nearly there need not do I/O. */
import { invariant } from "@quipu/core";

interface Batch {
  readonly first: number;
  readonly records: readonly Uint8Array[];
  readonly bytes: number;
}

export class RecordWindow {
  readonly #bytesMax: number;
  #batches: Batch[] = [];
  /** Batches before this one were dropped; compacted now and then, so that dropping is cheap. */
  #head = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** First index held; undefined while empty. */
  get first(): number | undefined {
    return this.#batches[this.#head]?.first;
  }

  push(first: number, records: readonly Uint8Array[]): void {
    const last = this.#batches.at(-1);
    invariant(last === undefined || last.first + last.records.length === first, `a hole before record ${first}`);
    let bytes = 0;
    for (const record of records) bytes += record.length;
    this.#batches.push({ first, records, bytes });
    this.#bytes += bytes;
    // The newest batch stays whatever its size: readers that wait for it find it.
    while (this.#bytes > this.#bytesMax && this.#head < this.#batches.length - 1) this.#dropOldest();
  }

  /** Drops whole batches up to index `upTo`. */
  trim(upTo: number): void {
    for (;;) {
      const oldest = this.#batches[this.#head];
      if (oldest === undefined || oldest.first + oldest.records.length - 1 > upTo) return;
      this.#dropOldest();
    }
  }

  /** Records from `from` to the end of the batch that holds it; undefined if it is not held. */
  batchFrom(from: number): readonly Uint8Array[] | undefined {
    let low = this.#head;
    let high = this.#batches.length - 1;
    if (low > high || from < (this.first ?? Infinity)) return undefined;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#batches[middle]?.first ?? Infinity) <= from) low = middle;
      else high = middle - 1;
    }
    const batch = this.#batches[low];
    if (batch === undefined || from >= batch.first + batch.records.length) return undefined;
    return from === batch.first ? batch.records : batch.records.slice(from - batch.first);
  }

  #dropOldest(): void {
    this.#bytes -= this.#batches[this.#head]?.bytes ?? 0;
    this.#head++;
    if (this.#head > 64 && this.#head * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head);
      this.#head = 0;
    } else if (this.#head === this.#batches.length) {
      this.#batches = [];
      this.#head = 0;
    }
  }
}
