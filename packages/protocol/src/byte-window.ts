/**
 * The bytes a parser sees: a chunk used in place, or own memory where a message continues over chunks.
 *
 * Only unfinished messages are copied, each byte an amortised constant number of times: memory grows by
 * doubling with what came, never with what a header promised.
 */

const ownBytesMin = 1024;

/** A 64 KiB socket read behind the rest of a command fits; larger memory is given back after use. */
const retainedBytesMax = 128 * 1024;

const empty = new Uint8Array(0);

export class ByteWindow {
  /** Valid in [0, end). */
  bytes: Uint8Array = empty;
  end = 0;
  /** Whether `bytes` is our own memory, which we may write to. */
  owned = false;
  #spare: Uint8Array = empty;

  /** Puts `chunk` behind the bytes still unread. The caller has called {@link keep} for those. */
  append(chunk: Uint8Array): void {
    if (this.end === 0) {
      this.#release();
      this.bytes = chunk;
      this.end = chunk.length;
      return;
    }
    const needed = this.end + chunk.length;
    if (needed > this.bytes.length) {
      const larger = new Uint8Array(capacityFor(needed));
      larger.set(this.bytes.subarray(0, this.end));
      this.bytes = larger;
    }
    this.bytes.set(chunk, this.end);
    this.end = needed;
  }

  /**
   * Moves [from, end) to the front of own memory, so that the chunk may be reused by its owner.
   * Returns by how much every offset shrinks. Bytes before `from` stay readable where they were.
   */
  keep(from: number): number {
    const length = this.end - from;
    if (length === 0) {
      this.#release();
      return from;
    }
    if (this.owned && from === 0) return 0;
    const target = this.#spare.length >= length ? this.#spare : new Uint8Array(capacityFor(length));
    target.set(this.bytes.subarray(from, this.end));
    this.#spare = this.owned && this.bytes.length <= retainedBytesMax ? this.bytes : empty;
    this.bytes = target;
    this.end = length;
    this.owned = true;
    return from;
  }

  #release(): void {
    if (this.owned && this.bytes.length <= retainedBytesMax && this.bytes.length > this.#spare.length) {
      this.#spare = this.bytes;
    }
    this.bytes = empty;
    this.end = 0;
    this.owned = false;
  }
}

/** The power of two that holds `length`, and room for more. */
function capacityFor(length: number): number {
  let capacity = ownBytesMin;
  while (capacity < length) capacity *= 2;
  return capacity;
}
