/**
 * Byte strings to small numbers: a hash table without an object per key.
 *
 * An entry is an id, from 0, which indexes the columns of whoever uses the table; ids of removed entries are used
 * again. Linear hashing (Litwin, 1980) with chains grows one bucket at a time, so no insertion ever pays for a rehash
 * of everything. A 32-bit hash is compared before the bytes. Looking up allocates nothing.
 */
import { invariant } from "@quipu/core";
import { Int32Column } from "./columns.ts";
import { ContentHash, KeyHasher, shortKeyBytesMax } from "./hash.ts";
import { KeyArena } from "./key-arena.ts";

/** Longest key: its length shares a word with its name space. */
export const tableKeyBytesMax = 65_535;

// The four words of an entry: 16 bytes, so a lookup touches one cache line of them.
const fieldHash = 0;
/** Next id of the chain (or of the list of free ids), plus one; 0 ends it. */
const fieldNext = 1;
/** Where the arena keeps the key. Unused for long keys. */
const fieldKey = 2;
/** Length of the key << 16 | name space. */
const fieldShape = 3;
const entryFields = 4;

const firstBuckets = 64;

export class ByteTable {
  readonly #hasher: KeyHasher;
  readonly #entries = new Int32Column(entryFields);
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

  /** `seed` influences speed only, never a result. */
  constructor(seed: number) {
    this.#hasher = new KeyHasher(seed);
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

  /** The id of `bytes[start, end)` in name space `space` (16 bits), or -1. */
  find(space: number, bytes: Uint8Array, start: number, end: number): number {
    const hash = this.#hasher.hash(space, bytes, start, end);
    const entries = this.#entries;
    const shape = ((end - start) << 16) | space;
    let link = this.#buckets.get(this.#bucketOf(hash));
    while (link !== 0) {
      const id = link - 1;
      if (entries.get(id, fieldHash) === hash && entries.get(id, fieldShape) === shape) {
        if (this.#keyEquals(id, bytes, start, end)) return id;
      }
      link = entries.get(id, fieldNext);
    }
    return -1;
  }

  /** Adds a key that is not there yet; returns its id. */
  insert(space: number, bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    invariant(length <= tableKeyBytesMax, `key of ${length} bytes, limit ${tableKeyBytesMax}`);
    invariant(space >= 0 && space <= 0xffff, `name space ${space}`);
    const hash = this.#hasher.hash(space, bytes, start, end);
    const id = this.#takeId();
    const entries = this.#entries;
    entries.set(id, hash, fieldHash);
    entries.set(id, (length << 16) | space, fieldShape);
    if (length <= shortKeyBytesMax) {
      entries.set(id, this.#arena.store(this.#hasher.words, (length + 3) >>> 2), fieldKey);
    } else {
      this.#longKeys.set(id, bytes.slice(start, end));
    }
    this.#link(id, this.#bucketOf(hash));
    this.#size++;
    if (this.#size > this.#bucketCount) this.#splitOneBucket();
    return id;
  }

  remove(id: number): void {
    const entries = this.#entries;
    const bucket = this.#bucketOf(entries.get(id, fieldHash));
    const next = entries.get(id, fieldNext);
    let link = this.#buckets.get(bucket);
    if (link === id + 1) {
      this.#buckets.set(bucket, next);
    } else {
      while (entries.get(link - 1, fieldNext) !== id + 1) link = entries.get(link - 1, fieldNext);
      entries.set(link - 1, next, fieldNext);
    }
    const length = this.keyLength(id);
    if (length <= shortKeyBytesMax) this.#arena.release(entries.get(id, fieldKey), (length + 3) >>> 2);
    else this.#longKeys.delete(id);
    entries.set(id, this.#free, fieldNext);
    this.#free = id + 1;
    this.#size--;
  }

  space(id: number): number {
    return this.#entries.get(id, fieldShape) & 0xffff;
  }

  keyLength(id: number): number {
    return this.#entries.get(id, fieldShape) >>> 16;
  }

  /** A copy of the key. */
  key(id: number): Uint8Array {
    const key = new Uint8Array(this.keyLength(id));
    this.copyKey(id, key, 0);
    return key;
  }

  copyKey(id: number, target: Uint8Array, at: number): void {
    const length = this.keyLength(id);
    if (length <= shortKeyBytesMax) this.#arena.copy(this.#entries.get(id, fieldKey), length, target, at);
    else target.set(this.#longKeys.get(id) as Uint8Array, at);
  }

  /** Feeds name space and key to a content hash. */
  hashKey(id: number, hash: ContentHash): void {
    const shape = this.#entries.get(id, fieldShape);
    hash.word(shape);
    const length = shape >>> 16;
    if (length > shortKeyBytesMax) return hash.bytes(this.#longKeys.get(id) as Uint8Array);
    const count = (length + 3) >>> 2;
    const reference = this.#entries.get(id, fieldKey);
    for (let index = 0; index < count; index++) hash.word(this.#arena.word(reference, count, index));
  }

  #keyEquals(id: number, bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    if (length <= shortKeyBytesMax) {
      return this.#arena.equals(this.#entries.get(id, fieldKey), this.#hasher.words, (length + 3) >>> 2);
    }
    const key = this.#longKeys.get(id) as Uint8Array;
    if (key.length !== length) return false;
    for (let index = 0; index < length; index++) if (key[index] !== bytes[start + index]) return false;
    return true;
  }

  #takeId(): number {
    if (this.#free !== 0) {
      const id = this.#free - 1;
      this.#free = this.#entries.get(id, fieldNext);
      return id;
    }
    const id = this.#idLimit++;
    this.#entries.ensure(id);
    return id;
  }

  /** Buckets below the split point use one bit of the hash more than those not split yet. */
  #bucketOf(hash: number): number {
    const bucket = hash & (this.#bucketBase * 2 - 1);
    return bucket < this.#bucketCount ? bucket : bucket - this.#bucketBase;
  }

  #link(id: number, bucket: number): void {
    this.#entries.set(id, this.#buckets.get(bucket), fieldNext);
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
      link = this.#entries.get(id, fieldNext);
      this.#link(id, this.#bucketOf(this.#entries.get(id, fieldHash)));
    }
  }
}
