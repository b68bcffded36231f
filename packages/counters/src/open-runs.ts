/**
 * The runs of the open batch that further adds may fold into, by key: open addressing over typed arrays.
 *
 * Ending all runs is one increment of a generation number: places of older generations count as empty.
 */
import type { Int64 } from "@quipu/core";
import { KeyHasher, shortKeyBytesMax } from "./hash.ts";

const firstPlaces = 2_048;
/** After so many adds of a batch it is known whether folding pays. */
const sampleAdds = 256;
/** Fewer folded than this, and the rest of the batch is not looked at: on random keys looking costs a tenth of an add. */
const sampleFoldedMin = 16;

/** After this many ends the places are emptied and the count begins again: 0 is what empty places hold. */
const generationMax = 0x7fff_ffff;

// The eight words of a place: half a cache line.
const fieldGeneration = 0;
const fieldHash = 1;
/** Length of the key << 16 | database. */
const fieldShape = 2;
/** Where the words of the key begin in the pool. */
const fieldKey = 3;
const fieldCount = 4;
/** Where the run begins in the record. */
const fieldOffset = 5;
const fieldCommand = 6;
const fieldBits = 3;

export class OpenRuns {
  readonly #hasher: KeyHasher;
  #generation: number;
  /** Places of this generation in use: at most half. */
  #used = 0;
  #placeMask = firstPlaces - 1;
  #places = new Int32Array(firstPlaces << fieldBits);
  #deltas: Int64[] = new Array<Int64>(firstPlaces).fill(0);
  #pool = new Int32Array(firstPlaces * 4);
  #poolLength = 0;
  /** Place of the run found or opened last, or -1: a hot key is met again at once, and need not be hashed. */
  #lastPlace = -1;
  /** What find looked at last. */
  #place = 0;
  #hash = 0;
  #shape = 0;
  /** Adds of this batch that were looked at, and how many of them met an open run. */
  #sought = 0;
  #folded = 0;

  /** `firstGeneration`: tests only. */
  constructor(seed: number, firstGeneration: number = 1) {
    this.#generation = firstGeneration;
    this.#hasher = new KeyHasher(seed);
  }

  /** A new batch: folding is tried again. */
  reset(): void {
    this.end();
    this.#sought = 0;
    this.#folded = 0;
  }

  /** Ends every run. */
  end(): void {
    if (this.#used === 0) return;
    if (this.#generation === generationMax) {
      this.#places.fill(0);
      this.#generation = 0;
    }
    this.#generation++;
    this.#used = 0;
    this.#poolLength = 0;
    this.#lastPlace = -1;
  }

  /** The place of the open run of this key, or -1; then {@link OpenRuns.open} may open one there. */
  find(database: number, bytes: Uint8Array, start: number, end: number): number {
    if (this.#sought >= sampleAdds && !this.#foldingPays()) {
      this.#place = -1;
      return -1;
    }
    this.#sought++;
    const length = end - start;
    if (this.#lastPlace >= 0 && this.#isLast((length << 16) | database, bytes, start, length)) {
      this.#place = this.#lastPlace;
      return this.#lastPlace;
    }
    const hash = this.#hasher.hash(database, bytes, start, end);
    const shape = (length << 16) | database;
    this.#hash = hash;
    this.#shape = shape;
    if (length > shortKeyBytesMax) {
      this.#place = -1; // Too rare to fold.
      return -1;
    }
    const places = this.#places;
    let place = hash & this.#placeMask;
    for (;;) {
      const at = place << fieldBits;
      if (places[at + fieldGeneration] !== this.#generation) break;
      if (places[at + fieldHash] === hash && places[at + fieldShape] === shape && this.#keyEquals(at, length)) {
        this.#place = place;
        this.#lastPlace = place;
        return place;
      }
      place = (place + 1) & this.#placeMask;
    }
    this.#place = place;
    return -1;
  }

  /** Giving up ends every run: an add that is not looked at must not be overtaken by one that folds. */
  #foldingPays(): boolean {
    if (this.#folded >= sampleFoldedMin) return true;
    this.end();
    return false;
  }

  delta(place: number): Int64 {
    return this.#deltas[place] as Int64;
  }

  offset(place: number): number {
    return this.#places[(place << fieldBits) + fieldOffset] as number;
  }

  command(place: number): number {
    return this.#places[(place << fieldBits) + fieldCommand] as number;
  }

  /** One add more in the run; returns how many there are now. */
  raise(place: number): number {
    this.#folded++;
    const at = (place << fieldBits) + fieldCount;
    const count = (this.#places[at] as number) + 1;
    this.#places[at] = count;
    return count;
  }

  /** Opens a run of one for the key that find just looked for, in place of an older run of that key. */
  open(delta: Int64, offset: number, command: number): void {
    if (this.#place < 0) return;
    const at = this.#place << fieldBits;
    const places = this.#places;
    this.#lastPlace = this.#place;
    this.#deltas[this.#place] = delta;
    places[at + fieldCount] = 1;
    places[at + fieldOffset] = offset;
    places[at + fieldCommand] = command;
    if (places[at + fieldGeneration] === this.#generation) return;
    places[at + fieldGeneration] = this.#generation;
    places[at + fieldHash] = this.#hash;
    places[at + fieldShape] = this.#shape;
    places[at + fieldKey] = this.#poolLength;
    this.#storeKey(((this.#shape >>> 16) + 3) >>> 2);
    this.#used++;
    if (this.#used * 2 > this.#placeMask) this.#grow();
  }

  /** Compares from the end: keys that differ mostly do there. */
  #isLast(shape: number, bytes: Uint8Array, start: number, length: number): boolean {
    const at = this.#lastPlace << fieldBits;
    if (this.#places[at + fieldShape] !== shape || length > shortKeyBytesMax) return false;
    const key = this.#places[at + fieldKey] as number;
    for (let index = length - 1; index >= 0; index--) {
      const word = this.#pool[key + (index >>> 2)] as number;
      if (((word >>> ((index & 3) * 8)) & 0xff) !== bytes[start + index]) return false;
    }
    return true;
  }

  #keyEquals(at: number, length: number): boolean {
    const words = this.#hasher.words;
    const key = this.#places[at + fieldKey] as number;
    const count = (length + 3) >>> 2;
    for (let index = 0; index < count; index++) {
      if (this.#pool[key + index] !== words[index]) return false;
    }
    return true;
  }

  #storeKey(count: number): void {
    if (this.#poolLength + count > this.#pool.length) {
      const pool = new Int32Array(Math.max(this.#pool.length * 2, this.#poolLength + count));
      pool.set(this.#pool);
      this.#pool = pool;
    }
    for (let index = 0; index < count; index++) this.#pool[this.#poolLength++] = this.#hasher.words[index] as number;
  }

  #grow(): void {
    this.#lastPlace = -1;
    const old = this.#places;
    const oldDeltas = this.#deltas;
    const placeCount = (this.#placeMask + 1) * 2;
    this.#placeMask = placeCount - 1;
    this.#places = new Int32Array(placeCount << fieldBits);
    this.#deltas = new Array<Int64>(placeCount).fill(0);
    for (let from = 0; from < old.length; from += 1 << fieldBits) {
      if (old[from + fieldGeneration] !== this.#generation) continue;
      let place = (old[from + fieldHash] as number) & this.#placeMask;
      while (this.#places[(place << fieldBits) + fieldGeneration] === this.#generation) {
        place = (place + 1) & this.#placeMask;
      }
      this.#places.set(old.subarray(from, from + (1 << fieldBits)), place << fieldBits);
      this.#deltas[place] = oldDeltas[from >>> fieldBits] as Int64;
    }
  }
}
