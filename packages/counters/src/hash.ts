/**
 * Two hashes with two purposes, never mixed up.
 *
 * {@link KeyHasher} places keys in hash tables: HalfSipHash-1-3 (Aumasson and Bernstein, 2012; the 32-bit member that
 * Linux uses for its hash tables) under a seed that clients do not know, so that nobody can choose keys that collide.
 * The seed differs from process to process and influences no result.
 * {@link ContentHash} is fixed for ever: state hashes and idempotency fingerprints, equal on every replica.
 */

const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

/** Keys up to this length are laid out as words while they are hashed, to be compared word by word. */
export const shortKeyBytesMax = 512;

export class KeyHasher {
  readonly #seedLow: number;
  readonly #seedHigh: number;
  /** The key hashed last, little-endian words, zero padded; only if it is not longer than shortKeyBytesMax. */
  readonly words: Int32Array = new Int32Array(shortKeyBytesMax / 4);

  constructor(seed: number) {
    this.#seedLow = seed | 0;
    this.#seedHigh = Math.floor(seed / 0x1_0000_0000) | 0;
  }

  /** Fills {@link KeyHasher.words} for a key whose hash is known. */
  lay(bytes: Uint8Array, start: number, end: number): void {
    if (end - start > shortKeyBytesMax) return;
    const words = this.words;
    let index = 0;
    let at = start;
    for (; at + 3 < end; at += 4) {
      words[index++] =
        (bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24);
    }
    if (at >= end) return;
    let word = bytes[at] as number;
    if (at + 1 < end) word |= (bytes[at + 1] as number) << 8;
    if (at + 2 < end) word |= (bytes[at + 2] as number) << 16;
    words[index] = word;
  }

  /** A signed 32-bit hash of the name space and `bytes[start, end)`. Fills {@link KeyHasher.words}. */
  hash(space: number, bytes: Uint8Array, start: number, end: number): number {
    const words = this.words;
    const length = end - start;
    const keep = length <= shortKeyBytesMax;
    let v0 = this.#seedLow;
    let v1 = this.#seedHigh;
    let v2 = 0x6c796765 ^ v0;
    // Name space and length choose the key schedule, as it were: they take no round of their own.
    let v3 = 0x74656462 ^ v1 ^ (length << 16) ^ space;
    let index = 0;
    let at = start;
    while (at < end) {
      let word = bytes[at] as number;
      if (at + 3 < end) {
        word |=
          ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
      } else {
        if (at + 1 < end) word |= (bytes[at + 1] as number) << 8;
        if (at + 2 < end) word |= (bytes[at + 2] as number) << 16;
      }
      at += 4;
      if (keep) words[index++] = word;
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = rotate(v1, 5) ^ v0;
      v0 = rotate(v0, 16);
      v2 = (v2 + v3) | 0;
      v3 = rotate(v3, 8) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = rotate(v3, 7) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = rotate(v1, 13) ^ v2;
      v2 = rotate(v2, 16);
      v0 ^= word;
    }
    v2 ^= 0xff;
    for (let round = 0; round < 3; round++) {
      v0 = (v0 + v1) | 0;
      v1 = rotate(v1, 5) ^ v0;
      v0 = rotate(v0, 16);
      v2 = (v2 + v3) | 0;
      v3 = rotate(v3, 8) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = rotate(v3, 7) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = rotate(v1, 13) ^ v2;
      v2 = rotate(v2, 16);
    }
    return v1 ^ v3;
  }
}

const doubleView = new Float64Array(1);
const doubleWords = new Uint32Array(doubleView.buffer);

/** A 64-bit hash in two 32-bit lanes with different multipliers; feed words, then read the lanes after finish. */
export class ContentHash {
  low = 0;
  high = 0;

  /** Starts over; `kind` keeps entries of different kinds apart. */
  start(kind: number): void {
    this.low = 0x243f6a88 ^ kind;
    this.high = 0x13198a2e ^ kind;
  }

  /** One rotation and one multiplication a lane: the finish mixes what is left. */
  word(word: number): void {
    this.low = Math.imul(rotate(this.low, 5) ^ word, 0x9e3779b1);
    this.high = Math.imul((rotate(this.high, 13) + word) | 0, 0x85ebca77);
  }

  /** `words[from, to)`: the same as word for each, and faster. */
  words(words: Int32Array, from: number, to: number): void {
    let { low, high } = this;
    for (let index = from; index < to; index++) {
      const word = words[index] as number;
      low = Math.imul(rotate(low, 5) ^ word, 0x9e3779b1);
      high = Math.imul((rotate(high, 13) + word) | 0, 0x85ebca77);
    }
    this.low = low;
    this.high = high;
  }

  /** A double by its bits. */
  double(value: number): void {
    doubleView[0] = value;
    this.word(doubleWords[0] as number);
    this.word(doubleWords[1] as number);
  }

  /** An integer of 64 bits. */
  bigint(value: bigint): void {
    this.word(Number(BigInt.asIntN(32, value)));
    this.word(Number(BigInt.asIntN(32, value >> 32n)));
  }

  bytes(bytes: Uint8Array, start: number = 0, end: number = bytes.length): void {
    this.word(end - start);
    let at = start;
    for (; at + 4 <= end; at += 4) {
      this.word(
        (bytes[at] as number) |
          ((bytes[at + 1] as number) << 8) |
          ((bytes[at + 2] as number) << 16) |
          ((bytes[at + 3] as number) << 24),
      );
    }
    let tail = 0;
    for (let shift = 0; at < end; at++, shift += 8) tail |= (bytes[at] as number) << shift;
    this.word(tail);
  }

  finish(): void {
    let low = this.low ^ rotate(this.high, 16);
    let high = this.high;
    low = Math.imul(low ^ (low >>> 16), 0x21f0aaad);
    low = Math.imul(low ^ (low >>> 15), 0x735a2d97);
    high = Math.imul(high ^ (high >>> 15), 0x2c1b3c6d);
    high = Math.imul(high ^ (high >>> 12), 0x297a2d39);
    this.low = low ^ (low >>> 15);
    this.high = high ^ (high >>> 15);
  }
}

/** A sum of entry hashes: order does not count, and what was added can be taken away. Each lane wraps at 2^32. */
export class HashSum {
  low = 0;
  high = 0;

  add(hash: ContentHash): void {
    this.low = (this.low + hash.low) | 0;
    this.high = (this.high + hash.high) | 0;
  }

  subtract(hash: ContentHash): void {
    this.low = (this.low - hash.low) | 0;
    this.high = (this.high - hash.high) | 0;
  }

  /** 16 hexadecimal digits. */
  text(): string {
    const hex = (lane: number): string => (lane >>> 0).toString(16).padStart(8, "0");
    return hex(this.high) + hex(this.low);
  }
}
