/**
 * The entries of a table: `words` 32-bit words each, side by side, in chunks.
 *
 * Everything that one operation needs of an entry lies together, because on random keys a cache miss costs more than
 * all the arithmetic. Pairs of words can be read as doubles. Chunks are only ever added: growth copies nothing.
 */
import { invariant } from "@quipu/core";

/** 4,096 entries a chunk: small enough that an empty machine stays small, large enough that chunks are few. */
const chunkBits = 12;
const chunkEntries = 1 << chunkBits;
const chunkMask = chunkEntries - 1;

export class EntryChunks {
  readonly #words: Int32Array[] = [];
  readonly #doubles: Float64Array[] = [];
  readonly #stride: number;

  /** `words` is even: doubles are aligned. */
  constructor(words: number) {
    invariant(words % 2 === 0, `entries of ${words} words`);
    this.#stride = words;
  }

  /** Makes entry `id`, the next one, exist. New entries are zero. */
  ensure(id: number): void {
    if (id >>> chunkBits < this.#words.length) return;
    const buffer = new ArrayBuffer(chunkEntries * this.#stride * 4);
    this.#words.push(new Int32Array(buffer));
    this.#doubles.push(new Float64Array(buffer));
  }

  /** The words of the chunk that holds `id`; the entry begins at {@link EntryChunks.offset}. */
  chunk(id: number): Int32Array {
    return this.#words[id >>> chunkBits] as Int32Array;
  }

  offset(id: number): number {
    return (id & chunkMask) * this.#stride;
  }

  word(id: number, field: number): number {
    return (this.#words[id >>> chunkBits] as Int32Array)[(id & chunkMask) * this.#stride + field] as number;
  }

  setWord(id: number, field: number, value: number): void {
    (this.#words[id >>> chunkBits] as Int32Array)[(id & chunkMask) * this.#stride + field] = value;
  }

  /** The double in words `field` and `field + 1`; `field` is even. */
  double(id: number, field: number): number {
    const index = ((id & chunkMask) * this.#stride + field) >>> 1;
    return (this.#doubles[id >>> chunkBits] as Float64Array)[index] as number;
  }

  setDouble(id: number, field: number, value: number): void {
    const index = ((id & chunkMask) * this.#stride + field) >>> 1;
    (this.#doubles[id >>> chunkBits] as Float64Array)[index] = value;
  }
}
