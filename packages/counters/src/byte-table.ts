/**
 * Byte strings to small numbers: a hash table without an object per key.
 *
 * An entry is an id, from 0, which indexes the columns of whoever uses the table; ids of removed entries are used
 * again. Linear hashing (Litwin, 1980) with chains grows one bucket at a time, so no insertion ever pays for a rehash
 * of everything. A 32-bit hash is compared before the bytes. Looking up allocates nothing. Short keys, and the
 * fields of the owner, lie in the entry itself.
 */
import { invariant } from "@quipu/core";
import { Int32Column } from "./columns.ts";
import { EntryChunks } from "./entry-chunks.ts";
import type { KeyOrder } from "./expiry-heap.ts";
import { ContentHash, KeyHasher, shortKeyBytesMax } from "./hash.ts";
import { KeyArena } from "./key-arena.ts";
import { compareBytes } from "./store-key.ts";

/** Longest key: its length shares a word with its name space. */
export const tableKeyBytesMax = 65_535;

// The first words of an entry; those of the owner follow, then those of a short key.
const fieldHash = 0;
/** Next id of the chain (or of the list of free ids), plus one; 0 ends it. */
const fieldNext = 1;
/** Where the arena keeps the key, if it does. */
const fieldKey = 2;
/** Length of the key << 16 | name space. */
export const shapeField = 3;
/** The owner's first word. */
export const ownerField = 4;

const firstBuckets = 64;
/** Keys of more words are rare and large: they lie apart. */
const longestArenaWords = shortKeyBytesMax / 4;

/** Most hashes that touch takes at once. */
export const touchedMax = 64;

export class ByteTable implements KeyOrder {
  readonly #hasher: KeyHasher;
  readonly #arena = new KeyArena();
  readonly #longKeys = new Map<number, Uint8Array>();
  /** First id of each chain plus one; 0 if empty. */
  readonly #buckets = new Int32Column();
  #bucketCount = firstBuckets;
  /** Largest power of two <= #bucketCount. */
  #bucketBase = firstBuckets;
  #size = 0;
  #idLimit = 0;
  /** First free id plus one; 0 if none. */
  #free = 0;
  // What find looked for last: its words are still in the hasher.
  #soughtHash = 0;
  #soughtShape = 0;
  /** Chains looked at by touch. */
  readonly #touchedLinks = new Int32Array(touchedMax);
  readonly #tieHash = new ContentHash();

  /** The entries, for the owner's fields. */
  readonly entries: EntryChunks;
  readonly inlineField: number;
  readonly #inlineWords: number;
  readonly #lastField: number;

  /**
   * `seed` influences speed only, never a result. `ownerWords` fields of the owner from {@link ownerField} on, and
   * room for keys of up to `inlineWords` words; together even.
   */
  constructor(seed: number, ownerWords: number, inlineWords: number) {
    this.#hasher = new KeyHasher(seed);
    this.inlineField = ownerField + ownerWords;
    this.#inlineWords = inlineWords;
    this.#lastField = this.inlineField + inlineWords - 1;
    this.entries = new EntryChunks(this.inlineField + inlineWords);
    this.#buckets.ensure(0);
  }

  /** Entries in the table. */
  get size(): number {
    return this.#size;
  }

  /** One past the highest id ever given out. */
  get idLimit(): number {
    return this.#idLimit;
  }

  /** The id of `bytes[start, end)` in name space `space` (16 bits), or -1. `known`: its hash, where it was just taken. */
  find(space: number, bytes: Uint8Array, start: number, end: number, known?: number): number {
    const length = end - start;
    if (length > tableKeyBytesMax) return -1; // Its length would not fit the shape.
    const hash = known ?? this.#hasher.hash(space, bytes, start, end);
    if (known !== undefined) this.#hasher.lay(bytes, start, end);
    const { entries } = this;
    const shape = (length << 16) | space;
    const words = (length + 3) >>> 2;
    this.#soughtHash = hash;
    this.#soughtShape = shape;
    let link = this.#buckets.get(this.#bucketOf(hash));
    while (link !== 0) {
      const id = link - 1;
      const chunk = entries.chunk(id);
      const offset = entries.offset(id);
      if (chunk[offset + fieldHash] === hash && chunk[offset + shapeField] === shape) {
        if (words <= this.#inlineWords) {
          if (sameWords(chunk, offset + this.inlineField, this.#hasher.words, words)) return id;
        } else if (this.#outlyingKeyEquals(id, bytes, start, end)) {
          return id;
        }
      }
      link = chunk[offset + fieldNext] as number;
    }
    return -1;
  }

  /** The hash that {@link ByteTable.touch} takes. */
  hashOf(space: number, bytes: Uint8Array, start: number, end: number): number {
    return this.#hasher.hash(space, bytes, start, end);
  }

  /**
   * Reads what finding the first `count` of `hashes` would read, each kind in a loop of its own: see lookahead.ts.
   * The result means nothing; it keeps the reading from being optimised away.
   */
  touch(hashes: Int32Array, count: number): number {
    const { entries } = this;
    const links = this.#touchedLinks;
    for (let index = 0; index < count; index++) {
      links[index] = this.#buckets.get(this.#bucketOf(hashes[index] as number));
    }
    let seen = 0;
    for (let index = 0; index < count; index++) {
      const link = links[index] as number;
      // Both ends: where a chunk does not begin at a cache line, an entry lies in two.
      if (link !== 0) seen ^= entries.word(link - 1, fieldHash) ^ entries.word(link - 1, this.#lastField);
    }
    for (let index = 0; index < count; index++) {
      const link = links[index] as number;
      if (link === 0) continue;
      const words = ((entries.word(link - 1, shapeField) >>> 16) + 3) >>> 2;
      if (words <= this.#inlineWords || words > longestArenaWords) continue;
      seen ^= this.#arena.firstWord(entries.word(link - 1, fieldKey), words);
    }
    return seen;
  }

  /** Adds the key that {@link ByteTable.find} has just not found (no other find in between); returns its id. */
  insert(space: number, bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    invariant(length <= tableKeyBytesMax, `key of ${length} bytes, limit ${tableKeyBytesMax}`);
    invariant(space >= 0 && space <= 0xffff, `name space ${space}`);
    invariant(this.#soughtShape === ((length << 16) | space), "inserted a key that was not sought just before");
    const hash = this.#soughtHash;
    const id = this.#takeId();
    this.entries.setWord(id, fieldHash, hash);
    this.entries.setWord(id, shapeField, (length << 16) | space);
    this.#storeKey(id, bytes, start, end);
    this.#link(id, this.#bucketOf(hash));
    this.#size++;
    if (this.#size > this.#bucketCount) this.#splitOneBucket();
    return id;
  }

  remove(id: number): void {
    const { entries } = this;
    const bucket = this.#bucketOf(entries.word(id, fieldHash));
    const next = entries.word(id, fieldNext);
    let link = this.#buckets.get(bucket);
    if (link === id + 1) {
      this.#buckets.set(bucket, next);
    } else {
      while (entries.word(link - 1, fieldNext) !== id + 1) link = entries.word(link - 1, fieldNext);
      entries.setWord(link - 1, fieldNext, next);
    }
    const words = (this.keyLength(id) + 3) >>> 2;
    if (words > longestArenaWords) this.#longKeys.delete(id);
    else if (words > this.#inlineWords) this.#arena.release(entries.word(id, fieldKey), words);
    entries.setWord(id, fieldNext, this.#free);
    this.#free = id + 1;
    this.#size--;
  }

  space(id: number): number {
    return this.entries.word(id, shapeField) & 0xffff;
  }

  keyLength(id: number): number {
    return this.entries.word(id, shapeField) >>> 16;
  }

  /** A copy of the key. */
  key(id: number): Uint8Array {
    const key = new Uint8Array(this.keyLength(id));
    this.copyKey(id, key, 0);
    return key;
  }

  copyKey(id: number, target: Uint8Array, at: number): void {
    const length = this.keyLength(id);
    const words = (length + 3) >>> 2;
    if (words > longestArenaWords) return target.set(this.#longKeys.get(id) as Uint8Array, at);
    if (words > this.#inlineWords) return this.#arena.copy(this.entries.word(id, fieldKey), length, target, at);
    for (let index = 0; index < length; index++) {
      target[at + index] = this.entries.word(id, this.inlineField + (index >>> 2)) >>> ((index & 3) * 8);
    }
  }

  /** Words of the key that lie in the entry, from its word {@link ByteTable.inlineField} on. */
  inlineKeyWords(id: number): number {
    const words = (this.keyLength(id) + 3) >>> 2;
    return words <= this.#inlineWords ? words : 0;
  }

  /** Feeds the key to a content hash, unless it lies in the entry. */
  hashOutlyingKey(id: number, hash: ContentHash): void {
    const words = (this.keyLength(id) + 3) >>> 2;
    if (words > longestArenaWords) hash.bytes(this.#longKeys.get(id) as Uint8Array);
    else if (words > this.#inlineWords) this.#arena.hash(this.entries.word(id, fieldKey), words, hash);
  }

  /** The key whose hash was just taken: in the entry, in the arena, or, if very long, apart. */
  #storeKey(id: number, bytes: Uint8Array, start: number, end: number): void {
    const words = (end - start + 3) >>> 2;
    if (words > longestArenaWords) {
      this.#longKeys.set(id, bytes.slice(start, end));
    } else if (words > this.#inlineWords) {
      this.entries.setWord(id, fieldKey, this.#arena.store(this.#hasher.words, words));
    } else {
      for (let index = 0; index < words; index++) {
        this.entries.setWord(id, this.inlineField + index, this.#hasher.words[index] as number);
      }
    }
  }

  /** A hash of key and name space, the same in every process. */
  keyTie(id: number): number {
    const chunk = this.entries.chunk(id);
    const offset = this.entries.offset(id);
    const hash = this.#tieHash;
    hash.start(0);
    hash.word(chunk[offset + shapeField] as number);
    hash.words(chunk, offset + this.inlineField, offset + this.inlineField + this.inlineKeyWords(id));
    this.hashOutlyingKey(id, hash);
    hash.finish();
    return hash.low;
  }

  /** By name space, then by the bytes of the key. */
  compareKeys(left: number, right: number): number {
    return this.space(left) - this.space(right) || compareBytes(this.key(left), this.key(right));
  }

  /** Whether the key of `id`, which does not lie in its entry, is the one just hashed. Lengths are equal. */
  #outlyingKeyEquals(id: number, bytes: Uint8Array, start: number, end: number): boolean {
    const words = (end - start + 3) >>> 2;
    if (words <= longestArenaWords) {
      return this.#arena.equals(this.entries.word(id, fieldKey), this.#hasher.words, words);
    }
    const key = this.#longKeys.get(id) as Uint8Array;
    for (let index = 0; index < key.length; index++) if (key[index] !== bytes[start + index]) return false;
    return true;
  }

  #takeId(): number {
    if (this.#free !== 0) {
      const id = this.#free - 1;
      this.#free = this.entries.word(id, fieldNext);
      return id;
    }
    const id = this.#idLimit++;
    this.entries.ensure(id);
    return id;
  }

  /** Buckets below the split point use one bit of the hash more than those not split yet. */
  #bucketOf(hash: number): number {
    const bucket = hash & (this.#bucketBase * 2 - 1);
    return bucket < this.#bucketCount ? bucket : bucket - this.#bucketBase;
  }

  #link(id: number, bucket: number): void {
    this.entries.setWord(id, fieldNext, this.#buckets.get(bucket));
    this.#buckets.set(bucket, id + 1);
  }

  #splitOneBucket(): void {
    const from = this.#bucketCount - this.#bucketBase;
    this.#buckets.ensure(this.#bucketCount);
    this.#bucketCount++;
    if (this.#bucketCount === this.#bucketBase * 2) this.#bucketBase *= 2;
    let link = this.#buckets.get(from);
    this.#buckets.set(from, 0);
    while (link !== 0) {
      const id = link - 1;
      link = this.entries.word(id, fieldNext);
      this.#link(id, this.#bucketOf(this.entries.word(id, fieldHash)));
    }
  }
}

function sameWords(left: Int32Array, offset: number, right: Int32Array, count: number): boolean {
  for (let index = 0; index < count; index++) if (left[offset + index] !== right[index]) return false;
  return true;
}
