/**
 * Columns: growable arrays of numbers in chunks, indexed by entry id, for what lies beside the entries of a table.
 *
 * A column grows by a chunk at a time: nothing is ever copied, so growth is no pause. Chunks of a column that nobody
 * wrote are absent and read as 0. One class for each kind of array, although they are alike: a class that has met two
 * kinds is slow on both.
 */

/** 4,096 entries a chunk: small enough that an empty machine stays small, large enough that chunks are few. */
const chunkBits = 12;
const chunkEntries = 1 << chunkBits;
const chunkMask = chunkEntries - 1;

/** `stride` doubles per entry. */
export class Float64Column {
  readonly #chunks: (Float64Array | undefined)[] = [];
  readonly #stride: number;

  constructor(stride: number = 1) {
    this.#stride = stride;
  }

  /** Makes `id` writable. */
  ensure(id: number): void {
    const at = id >>> chunkBits;
    while (this.#chunks.length <= at) this.#chunks.push(undefined);
    this.#chunks[at] ??= new Float64Array(chunkEntries * this.#stride);
  }

  get(id: number, field: number = 0): number {
    const chunk = this.#chunks[id >>> chunkBits];
    return chunk === undefined ? 0 : (chunk[(id & chunkMask) * this.#stride + field] as number);
  }

  /** `id` must have been ensured. */
  set(id: number, value: number, field: number = 0): void {
    (this.#chunks[id >>> chunkBits] as Float64Array)[(id & chunkMask) * this.#stride + field] = value;
  }
}

/** One signed 32-bit integer per entry. */
export class Int32Column {
  readonly #chunks: (Int32Array | undefined)[] = [];

  /** Makes `id` writable. */
  ensure(id: number): void {
    const at = id >>> chunkBits;
    while (this.#chunks.length <= at) this.#chunks.push(undefined);
    this.#chunks[at] ??= new Int32Array(chunkEntries);
  }

  get(id: number): number {
    const chunk = this.#chunks[id >>> chunkBits];
    return chunk === undefined ? 0 : (chunk[id & chunkMask] as number);
  }

  /** `id` must have been ensured. */
  set(id: number, value: number): void {
    (this.#chunks[id >>> chunkBits] as Int32Array)[id & chunkMask] = value;
  }
}

/** One byte per entry. */
export class Uint8Column {
  readonly #chunks: (Uint8Array | undefined)[] = [];

  /** Makes `id` writable. */
  ensure(id: number): void {
    const at = id >>> chunkBits;
    while (this.#chunks.length <= at) this.#chunks.push(undefined);
    this.#chunks[at] ??= new Uint8Array(chunkEntries);
  }

  get(id: number): number {
    const chunk = this.#chunks[id >>> chunkBits];
    return chunk === undefined ? 0 : (chunk[id & chunkMask] as number);
  }

  /** `id` must have been ensured. */
  set(id: number, value: number): void {
    (this.#chunks[id >>> chunkBits] as Uint8Array)[id & chunkMask] = value;
  }
}

/** A list of entry ids that grows by doubling and is emptied at once. */
export class IdList {
  #ids: Uint32Array = new Uint32Array(64);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  at(index: number): number {
    return this.#ids[index] as number;
  }

  push(id: number): void {
    if (this.#length === this.#ids.length) {
      const grown = new Uint32Array(this.#length * 2);
      grown.set(this.#ids);
      this.#ids = grown;
    }
    this.#ids[this.#length++] = id;
  }

  clear(): void {
    this.#length = 0;
    // A list that was once long must not stay so for ever.
    if (this.#ids.length > 65_536) this.#ids = new Uint32Array(64);
  }
}
