/**
 * All live keys, in columns: value, version, bounds, expiry, and per slot a list of keys.
 *
 * A plain counter costs 49 bytes here and in the tables, besides its key: see the columns. What few entries have
 * (integers beyond 2^53, byte strings, bounds, expiry) lies in columns and maps that exist only once used.
 */
import { type Int64, invariant } from "@quipu/core";
import { keySlot, slotCount } from "@quipu/routing";
import { ByteTable } from "./byte-table.ts";
import type { ByteWriter } from "./bytes.ts";
import { ChangeTracker, type TrackedEntries } from "./change-tracker.ts";
import { Float64Column, Int32Column } from "./columns.ts";
import { type CounterContent, writeContent } from "./counter-entry.ts";
import { ExpiryHeap } from "./expiry-heap.ts";
import type { ContentHash, HashSum } from "./hash.ts";
import { SlotRemovals } from "./slot-removals.ts";
import { makeStoreKey, storeKeyHeadBytes, storePrefix } from "./store-key.ts";

const numberValue = 0;
const numberVersionLsn = 1;

const metaVersionIndex = 0;
/** slot << 8 | flags. */
const metaFlags = 1;
/** Neighbours in the list of the slot, plus one; 0 at its ends. */
const metaNext = 2;
const metaPrevious = 3;

const kindMask = 3;
const kindAbsent = 0;
const kindNumber = 1;
const kindBig = 2;
const kindBytes = 3;
const hasMinimum = 4;
const hasMaximum = 8;
const hasBounds: number = hasMinimum | hasMaximum;

/** Which end of the bounds; also the field of the bounds column. */
export type BoundEnd = 0 | 1;
export const minimumEnd = 0;
export const maximumEnd = 1;

export class CounterStore implements TrackedEntries {
  readonly #table: ByteTable;
  readonly #numbers = new Float64Column(2);
  readonly #meta = new Int32Column(4);
  /** NaN: the bound is in #bigBounds. */
  readonly #bounds = new Float64Column(2);
  readonly #bigBounds = new Map<number, bigint>();
  readonly #bigs = new Map<number, bigint>();
  readonly #texts = new Map<number, Uint8Array>();
  /** First id of each slot plus one; 0 if empty. */
  readonly #slots = new Int32Array(slotCount);
  readonly #databaseSizes: number[] = [];
  readonly #writer: ByteWriter;
  readonly expiry: ExpiryHeap = new ExpiryHeap();
  readonly removals: SlotRemovals;
  readonly tracker: ChangeTracker;
  #size = 0;

  constructor(seed: number, writer: ByteWriter, sum: HashSum) {
    this.#table = new ByteTable(seed);
    this.#writer = writer;
    this.removals = new SlotRemovals(writer, sum);
    this.tracker = new ChangeTracker(this, sum);
  }

  /** Live keys. */
  get size(): number {
    return this.#size;
  }

  databaseSize(database: number): number {
    return this.#databaseSizes[database] ?? 0;
  }

  /** One past the highest id: every live key has a smaller one. */
  get idLimit(): number {
    return this.#table.idLimit;
  }

  /** The id of the key, which may be a tombstone; -1 if there is none. */
  lookup(database: number, bytes: Uint8Array, start: number, end: number): number {
    return this.#table.find(database, bytes, start, end);
  }

  /** The id of a live key, or -1. */
  find(database: number, bytes: Uint8Array, start: number = 0, end: number = bytes.length): number {
    const id = this.#table.find(database, bytes, start, end);
    return id >= 0 && this.isPresent(id) ? id : -1;
  }

  isPresent(id: number): boolean {
    return (this.#meta.get(id, metaFlags) & kindMask) !== kindAbsent;
  }

  /** Makes the key live with value 0 and no version. `found` is what lookup said: -1 or a tombstone. */
  create(database: number, bytes: Uint8Array, start: number, end: number, found: number): number {
    const id = found >= 0 ? found : this.#table.insert(database, bytes, start, end);
    this.#meta.ensure(id);
    this.#numbers.ensure(id);
    invariant(!this.isPresent(id), `created twice: entry ${id}`);
    this.tracker.beforeChange(id);
    const slot = keySlot(bytes, start, end);
    this.#meta.set(id, (slot << 8) | kindNumber, metaFlags);
    this.#numbers.set(id, 0, numberValue);
    const next = this.#slots[slot] as number;
    this.#meta.set(id, next, metaNext);
    this.#meta.set(id, 0, metaPrevious);
    if (next !== 0) this.#meta.set(next - 1, id + 1, metaPrevious);
    this.#slots[slot] = id + 1;
    this.#size++;
    this.#databaseSizes[database] = this.databaseSize(database) + 1;
    return id;
  }

  /** Removes a live key; its slot's last removal becomes the given position. */
  remove(id: number, lsn: number, index: number): void {
    this.tracker.beforeChange(id);
    this.removals.set(this.slot(id), lsn, index);
    this.#clearValue(id);
    if (this.isBounded(id)) {
      this.#bigBounds.delete(id * 2);
      this.#bigBounds.delete(id * 2 + 1);
    }
    this.expiry.remove(id);
    const next = this.#meta.get(id, metaNext);
    const previous = this.#meta.get(id, metaPrevious);
    if (next !== 0) this.#meta.set(next - 1, previous, metaPrevious);
    if (previous !== 0) this.#meta.set(previous - 1, next, metaNext);
    else this.#slots[this.slot(id)] = next;
    this.#meta.set(id, this.#meta.get(id, metaFlags) & ~0xff, metaFlags);
    this.#size--;
    const database = this.database(id);
    this.#databaseSizes[database] = this.databaseSize(database) - 1;
    this.tracker.afterRemoval(id);
  }

  // Reading a live key.

  slot(id: number): number {
    return this.#meta.get(id, metaFlags) >>> 8;
  }

  database(id: number): number {
    return this.#table.space(id);
  }

  /** A copy. */
  key(id: number): Uint8Array {
    return this.#table.key(id);
  }

  /** Whether the value is an integer, NaN aside the hot path asks only this. */
  isInteger(id: number): boolean {
    return (this.#meta.get(id, metaFlags) & kindMask) !== kindBytes;
  }

  value(id: number): Int64 | Uint8Array {
    switch (this.#meta.get(id, metaFlags) & kindMask) {
      case kindNumber:
        return this.#numbers.get(id, numberValue);
      case kindBig:
        return this.#bigs.get(id) as bigint;
      default:
        return this.#texts.get(id) as Uint8Array;
    }
  }

  versionLsn(id: number): number {
    return this.#numbers.get(id, numberVersionLsn);
  }

  versionIndex(id: number): number {
    return this.#meta.get(id, metaVersionIndex) >>> 0;
  }

  isBounded(id: number): boolean {
    return (this.#meta.get(id, metaFlags) & hasBounds) !== 0;
  }

  /** One end of the bounds, or null. */
  bound(id: number, end: BoundEnd): Int64 | null {
    if ((this.#meta.get(id, metaFlags) & (hasMinimum << end)) === 0) return null;
    const bound = this.#bounds.get(id, end);
    return Number.isNaN(bound) ? (this.#bigBounds.get(id * 2 + end) as bigint) : bound;
  }

  /** First live key of a slot, or -1. The order means nothing. */
  firstOfSlot(slot: number): number {
    return (this.#slots[slot] as number) - 1;
  }

  nextOfSlot(id: number): number {
    return this.#meta.get(id, metaNext) - 1;
  }

  // Changing a live key.

  setVersion(id: number, lsn: number, index: number): void {
    this.tracker.beforeChange(id);
    this.#numbers.set(id, lsn, numberVersionLsn);
    this.#meta.set(id, index, metaVersionIndex);
  }

  setValue(id: number, value: Int64 | Uint8Array): void {
    this.tracker.beforeChange(id);
    if (typeof value === "number") {
      const flags = this.#meta.get(id, metaFlags);
      if ((flags & kindMask) !== kindNumber) this.#setKind(id, kindNumber);
      this.#numbers.set(id, value, numberValue);
    } else if (typeof value === "bigint") {
      this.#setKind(id, kindBig);
      this.#bigs.set(id, value);
    } else {
      this.#setKind(id, kindBytes);
      this.#texts.set(id, value);
    }
  }

  setBound(id: number, end: BoundEnd, bound: Int64 | null): void {
    this.tracker.beforeChange(id);
    const flags = this.#meta.get(id, metaFlags);
    const flag = hasMinimum << end;
    this.#meta.set(id, bound === null ? flags & ~flag : flags | flag, metaFlags);
    this.#bigBounds.delete(id * 2 + end);
    if (bound === null) return;
    this.#bounds.ensure(id);
    this.#bounds.set(id, typeof bound === "number" ? bound : Number.NaN, end);
    if (typeof bound === "bigint") this.#bigBounds.set(id * 2 + end, bound);
  }

  /** -1: does not expire. */
  setExpiry(id: number, timeMs: number): void {
    this.tracker.beforeChange(id);
    if (timeMs < 0) this.expiry.remove(id);
    else this.expiry.set(id, timeMs);
  }

  #setKind(id: number, kind: number): void {
    this.#clearValue(id);
    this.#meta.set(id, (this.#meta.get(id, metaFlags) & ~kindMask) | kind, metaFlags);
  }

  #clearValue(id: number): void {
    const kind = this.#meta.get(id, metaFlags) & kindMask;
    if (kind === kindBig) this.#bigs.delete(id);
    else if (kind === kindBytes) this.#texts.delete(id);
  }

  // What the change tracker asks.

  hashEntry(id: number, hash: ContentHash): void {
    hash.start(storePrefix.counter);
    this.#table.hashKey(id, hash);
    const flags = this.#meta.get(id, metaFlags) & 0xff;
    hash.word(flags);
    if ((flags & kindMask) === kindNumber) hash.double(this.#numbers.get(id, numberValue));
    else if ((flags & kindMask) === kindBig) hash.bigint(this.#bigs.get(id) as bigint);
    else hash.bytes(this.#texts.get(id) as Uint8Array);
    hash.double(this.versionLsn(id));
    hash.word(this.versionIndex(id));
    hash.double(this.expiry.timeOf(id));
    if ((flags & hasBounds) === 0) return;
    for (const end of [minimumEnd, maximumEnd] as const) {
      const bound = this.bound(id, end);
      if (bound !== null) hash.bigint(BigInt(bound));
    }
  }

  storeKey(id: number): Uint8Array {
    // The slot outlives removal: a tombstone has a store key too.
    const key = makeStoreKey(storePrefix.counter, this.slot(id), this.database(id), this.#table.keyLength(id));
    this.#table.copyKey(id, key, storeKeyHeadBytes);
    return key;
  }

  storeValue(id: number): Uint8Array {
    this.#writer.reset();
    writeContent(this.#writer, this.content(id));
    return this.#writer.copy();
  }

  content(id: number): CounterContent {
    return {
      value: this.value(id),
      versionLsn: this.versionLsn(id),
      versionIndex: this.versionIndex(id),
      expiresAtMs: this.expiry.timeOf(id),
      minimum: this.bound(id, minimumEnd),
      maximum: this.bound(id, maximumEnd),
    };
  }

  /** Puts an entry of a snapshot or checkpoint. The key must not be there yet. */
  load(database: number, key: Uint8Array, content: CounterContent): void {
    const id = this.create(database, key, 0, key.length, -1);
    this.setValue(id, content.value);
    this.setVersion(id, content.versionLsn, content.versionIndex);
    this.setBound(id, minimumEnd, content.minimum);
    this.setBound(id, maximumEnd, content.maximum);
    this.setExpiry(id, content.expiresAtMs);
  }

  forget(id: number): void {
    this.#table.remove(id);
  }
}
