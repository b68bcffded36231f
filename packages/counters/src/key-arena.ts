/**
 * Where short keys live: slabs of fixed-size items, one class per size, as 32-bit words.
 *
 * Freed items are chained through their first word and used again, so a long life of creating and deleting
 * does not fragment. A key costs its bytes rounded up to words (above 128 bytes: to one of a few sizes).
 */
import { invariant } from "@quipu/core";
import { type ContentHash, shortKeyBytesMax } from "./hash.ts";

const wordsMax = shortKeyBytesMax / 4;
/** Item sizes in words: every size up to 32, then steps that waste at most a fifth. */
const coarseSizes: readonly number[] = [40, 48, 56, 64, 80, 96, 112, 128];

class SlabClass {
  readonly #itemWords: number;
  /** Items per slab, a power of two, so that a reference splits by shift and mask. */
  readonly #slabBits: number;
  readonly #slabs: Int32Array[] = [];
  #used = 0;
  /** First freed item plus one; 0 if none. */
  #free = 0;

  constructor(itemWords: number) {
    this.#itemWords = itemWords;
    this.#slabBits = itemWords <= 8 ? 12 : itemWords <= 32 ? 9 : 6; // Slabs of 16 to 128 KiB.
  }

  /** The slab that holds `reference`; the item starts at {@link SlabClass.offset}. */
  slab(reference: number): Int32Array {
    return this.#slabs[reference >>> this.#slabBits] as Int32Array;
  }

  offset(reference: number): number {
    return (reference & ((1 << this.#slabBits) - 1)) * this.#itemWords;
  }

  allocate(): number {
    if (this.#free !== 0) {
      const reference = this.#free - 1;
      this.#free = this.slab(reference)[this.offset(reference)] as number;
      return reference;
    }
    const reference = this.#used++;
    if (reference >>> this.#slabBits === this.#slabs.length) {
      this.#slabs.push(new Int32Array(this.#itemWords << this.#slabBits));
    }
    return reference;
  }

  release(reference: number): void {
    this.slab(reference)[this.offset(reference)] = this.#free;
    this.#free = reference + 1;
  }
}

export class KeyArena {
  /** By key length in words, 0 to wordsMax; neighbours share a class above 32. */
  readonly #classes: SlabClass[] = [];

  constructor() {
    let slabClass = new SlabClass(1);
    for (let words = 0; words <= wordsMax; words++) {
      if (words > 1 && words <= 32) slabClass = new SlabClass(words);
      if (words > 32) {
        const size = coarseSizes.find((candidate) => candidate >= words);
        invariant(size !== undefined, `no class for ${words} words`);
        if (words === 33 || coarseSizes.includes(words - 1)) slabClass = new SlabClass(size);
      }
      this.#classes.push(slabClass);
    }
  }

  /** Stores the first `count` of `words`; returns the reference. */
  store(words: Int32Array, count: number): number {
    const slabClass = this.#classes[count] as SlabClass;
    const reference = slabClass.allocate();
    const slab = slabClass.slab(reference);
    const offset = slabClass.offset(reference);
    for (let index = 0; index < count; index++) slab[offset + index] = words[index] as number;
    return reference;
  }

  release(reference: number, count: number): void {
    (this.#classes[count] as SlabClass).release(reference);
  }

  firstWord(reference: number, count: number): number {
    const slabClass = this.#classes[count] as SlabClass;
    return slabClass.slab(reference)[slabClass.offset(reference)] as number;
  }

  equals(reference: number, words: Int32Array, count: number): boolean {
    const slabClass = this.#classes[count] as SlabClass;
    const slab = slabClass.slab(reference);
    const offset = slabClass.offset(reference);
    for (let index = 0; index < count; index++) {
      if (slab[offset + index] !== words[index]) return false;
    }
    return true;
  }

  /** Feeds the words of a key to a content hash. */
  hash(reference: number, count: number, hash: ContentHash): void {
    const slabClass = this.#classes[count] as SlabClass;
    const offset = slabClass.offset(reference);
    hash.words(slabClass.slab(reference), offset, offset + count);
  }

  /** Copies `length` bytes into `target` from `at`. */
  copy(reference: number, length: number, target: Uint8Array, at: number): void {
    const slabClass = this.#classes[(length + 3) >>> 2] as SlabClass;
    const slab = slabClass.slab(reference);
    const offset = slabClass.offset(reference);
    for (let index = 0; index < length; index++) {
      target[at + index] = (slab[offset + (index >>> 2)] as number) >>> ((index & 3) * 8);
    }
  }
}
