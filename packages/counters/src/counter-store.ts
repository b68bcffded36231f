/**
 * All live keys: value, version, bounds, expiry, and per slot a list of keys.
 *
 * A plain counter whose key has up to 16 bytes is one table entry of 64 bytes, plus 5 of bucket and change flags.
 * What few entries have (integers beyond 2^53, byte strings, bounds, expiry) lies in columns and maps that exist only
 * once used.
 */
import { type ByteWriter, type Int64, invariant } from "@quipu/core";
import { keySlot, slotCount } from "@quipu/routing";
import { ByteTable, ownerField, shapeField } from "./byte-table.ts";
import { ChangeTracker, type TrackedEntries } from "./change-tracker.ts";
import { Float64Column } from "./columns.ts";
import { type CounterContent, writeContent } from "./counter-entry.ts";
import type { EntryChunks } from "./entry-chunks.ts";
import { ExpiryHeap } from "./expiry-heap.ts";
import type { ContentHash, HashSum } from "./hash.ts";
import { SlotRemovals } from "./slot-removals.ts";
import type { Lookahead } from "./lookahead.ts";
import { makeStoreKey, storeKeyHeadBytes, storePrefix } from "./store-key.ts";

// The counter's words in its table entry. What the content hash takes lies together, in two ranges.
const fieldVersionIndex: number = ownerField;
/** slot << 8 | flags. */
const fieldFlags: number = ownerField + 1;
/** Neighbours in the list of the slot, plus one; 0 at its ends. */
const fieldNextOfSlot: number = ownerField + 2;
const fieldPreviousOfSlot: number = ownerField + 3;
/** Double: the value if it is a safe integer, else 0. */
const fieldValue: number = ownerField + 4;
/** Double. */
const fieldVersionLsn: number = ownerField + 6;
const counterWords = 8;
/** Keys of up to 16 bytes lie in the entry, which is then 64 bytes: a cache line's worth. */
const inlineKeyWords = 4;

const kindMask = 3;
const kindAbsent = 0;
const kindNumber = 1;
const kindBig = 2;
const kindBytes = 3;
const hasMinimum = 4;
const hasMaximum = 8;
const hasBounds: number = hasMinimum | hasMaximum;
const hasExpiry = 16;

/** Which end of the bounds; also the field of the bounds column. */
export type BoundEnd = 0 | 1;
export const minimumEnd = 0;
export const maximumEnd = 1;

export class CounterStore implements TrackedEntries {
  readonly #table: ByteTable;
  readonly #entries: EntryChunks;
  /** NaN: the bound is in #bigBounds. */
  readonly #bounds = new Float64Column(2);
  readonly #bigBounds = new Map<number, bigint>();
  readonly #bigs = new Map<number, bigint>();
  readonly #texts = new Map<number, Uint8Array>();
  /** First id of each slot plus one; 0 if empty. */
  readonly #slots = new Int32Array(slotCount);
  readonly #databaseSizes: number[] = [];
  readonly #writer: ByteWriter;
  readonly expiry: ExpiryHeap;
  readonly removals: SlotRemovals;
  readonly tracker: ChangeTracker;
  #size = 0;
  #storedBytes = 0;

  constructor(seed: number, writer: ByteWriter, sum: HashSum) {
    this.#table = new ByteTable(seed, counterWords, inlineKeyWords);
    this.#entries = this.#table.entries;
    this.#writer = writer;
    this.removals = new SlotRemovals(writer, sum);
    this.expiry = new ExpiryHeap(this.#table);
    this.tracker = new ChangeTracker(this, sum);
  }

  /** Live keys. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of live keys and byte strings. A tombstone's key does not count: when it goes is not the same everywhere. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  databaseSize(database: number): number {
    return this.#databaseSizes[database] ?? 0;
  }

  /** One past the highest id: every live key has a smaller one. */
  get idLimit(): number {
    return this.#table.idLimit;
  }

  /** Brings closer what {@link CounterStore.lookup} of the next keys will read. */
  look(lookahead: Lookahead, bytes: Uint8Array, at: number, end: number): number {
    return lookahead.look(this.#table, bytes, at, end);
  }

  /** The id of the key, which may be a tombstone; -1 if there is none. `hash`: what the lookahead took it to be. */
  lookup(database: number, bytes: Uint8Array, start: number, end: number, hash?: number): number {
    return this.#table.find(database, bytes, start, end, hash);
  }

  /** The id of a live key, or -1. */
  find(database: number, bytes: Uint8Array, start: number = 0, end: number = bytes.length): number {
    const id = this.#table.find(database, bytes, start, end);
    return id >= 0 && this.isPresent(id) ? id : -1;
  }

  isPresent(id: number): boolean {
    return (this.#entries.word(id, fieldFlags) & kindMask) !== kindAbsent;
  }

  /** Makes the key live with value 0 and no version. `found` is what lookup has just said: -1 or a tombstone. */
  create(database: number, bytes: Uint8Array, start: number, end: number, found: number): number {
    return this.#createIn(keySlot(bytes, start, end), database, bytes, start, end, found);
  }

  #createIn(slot: number, database: number, bytes: Uint8Array, start: number, end: number, found: number): number {
    const id = found >= 0 ? found : this.#table.insert(database, bytes, start, end);
    invariant(!this.isPresent(id), `created twice: entry ${id}`);
    this.tracker.beforeChange(id);
    this.#entries.setWord(id, fieldFlags, (slot << 8) | kindNumber);
    this.#entries.setDouble(id, fieldValue, 0);
    const next = this.#slots[slot] as number;
    this.#entries.setWord(id, fieldNextOfSlot, next);
    this.#entries.setWord(id, fieldPreviousOfSlot, 0);
    if (next !== 0) this.#entries.setWord(next - 1, fieldPreviousOfSlot, id + 1);
    this.#slots[slot] = id + 1;
    this.#size++;
    this.#storedBytes += end - start;
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
    const next = this.#entries.word(id, fieldNextOfSlot);
    const previous = this.#entries.word(id, fieldPreviousOfSlot);
    if (next !== 0) this.#entries.setWord(next - 1, fieldPreviousOfSlot, previous);
    if (previous !== 0) this.#entries.setWord(previous - 1, fieldNextOfSlot, next);
    else this.#slots[this.slot(id)] = next;
    this.#entries.setWord(id, fieldFlags, this.#entries.word(id, fieldFlags) & ~0xff);
    this.#size--;
    this.#storedBytes -= this.#table.keyLength(id);
    const database = this.database(id);
    this.#databaseSizes[database] = this.databaseSize(database) - 1;
    this.tracker.afterRemoval(id);
  }

  // Reading a live key.

  slot(id: number): number {
    return this.#entries.word(id, fieldFlags) >>> 8;
  }

  database(id: number): number {
    return this.#table.space(id);
  }

  /** A copy. */
  key(id: number): Uint8Array {
    return this.#table.key(id);
  }

  /** Else it is a byte string. */
  isInteger(id: number): boolean {
    return (this.#entries.word(id, fieldFlags) & kindMask) !== kindBytes;
  }

  value(id: number): Int64 | Uint8Array {
    switch (this.#entries.word(id, fieldFlags) & kindMask) {
      case kindNumber:
        return this.#entries.double(id, fieldValue);
      case kindBig:
        return this.#bigs.get(id) as bigint;
      default:
        return this.#texts.get(id) as Uint8Array;
    }
  }

  /** Bytes of the value, if it is a byte string; else 0. */
  textBytes(id: number): number {
    return this.isInteger(id) ? 0 : (this.#texts.get(id) as Uint8Array).length;
  }

  versionLsn(id: number): number {
    return this.#entries.double(id, fieldVersionLsn);
  }

  versionIndex(id: number): number {
    return this.#entries.word(id, fieldVersionIndex) >>> 0;
  }

  isBounded(id: number): boolean {
    return (this.#entries.word(id, fieldFlags) & hasBounds) !== 0;
  }

  /** One end of the bounds, or null. */
  bound(id: number, end: BoundEnd): Int64 | null {
    if ((this.#entries.word(id, fieldFlags) & (hasMinimum << end)) === 0) return null;
    const bound = this.#bounds.get(id, end);
    return Number.isNaN(bound) ? (this.#bigBounds.get(id * 2 + end) as bigint) : bound;
  }

  /** First live key of a slot, or -1. The order means nothing. */
  firstOfSlot(slot: number): number {
    return (this.#slots[slot] as number) - 1;
  }

  nextOfSlot(id: number): number {
    return this.#entries.word(id, fieldNextOfSlot) - 1;
  }

  // Changing a live key.

  setVersion(id: number, lsn: number, index: number): void {
    this.tracker.beforeChange(id);
    this.#entries.setDouble(id, fieldVersionLsn, lsn);
    this.#entries.setWord(id, fieldVersionIndex, index);
  }

  setValue(id: number, value: Int64 | Uint8Array): void {
    this.tracker.beforeChange(id);
    if (typeof value === "number") {
      const flags = this.#entries.word(id, fieldFlags);
      if ((flags & kindMask) !== kindNumber) this.#setKind(id, kindNumber);
      this.#entries.setDouble(id, fieldValue, value);
    } else if (typeof value === "bigint") {
      this.#setKind(id, kindBig);
      this.#bigs.set(id, value);
    } else {
      this.#setKind(id, kindBytes);
      this.#texts.set(id, value);
      this.#storedBytes += value.length;
    }
  }

  /** Value and version at once. */
  write(id: number, value: Int64 | Uint8Array, lsn: number, index: number): void {
    this.setValue(id, value);
    this.#entries.setDouble(id, fieldVersionLsn, lsn);
    this.#entries.setWord(id, fieldVersionIndex, index);
  }

  setBound(id: number, end: BoundEnd, bound: Int64 | null): void {
    this.tracker.beforeChange(id);
    const flags = this.#entries.word(id, fieldFlags);
    const flag = hasMinimum << end;
    this.#entries.setWord(id, fieldFlags, bound === null ? flags & ~flag : flags | flag);
    this.#bigBounds.delete(id * 2 + end);
    if (bound === null) return;
    this.#bounds.ensure(id);
    this.#bounds.set(id, typeof bound === "number" ? bound : Number.NaN, end);
    if (typeof bound === "bigint") this.#bigBounds.set(id * 2 + end, bound);
  }

  /** -1: does not expire. */
  setExpiry(id: number, timeMs: number): void {
    this.tracker.beforeChange(id);
    const flags = this.#entries.word(id, fieldFlags);
    this.#entries.setWord(id, fieldFlags, timeMs < 0 ? flags & ~hasExpiry : flags | hasExpiry);
    if (timeMs < 0) this.expiry.remove(id);
    else this.expiry.set(id, timeMs);
  }

  /** When the key expires, or -1. */
  expiresAt(id: number): number {
    return (this.#entries.word(id, fieldFlags) & hasExpiry) === 0 ? -1 : this.expiry.timeOf(id);
  }

  #setKind(id: number, kind: number): void {
    this.#clearValue(id);
    this.#entries.setWord(id, fieldFlags, (this.#entries.word(id, fieldFlags) & ~kindMask) | kind);
  }

  #clearValue(id: number): void {
    const kind = this.#entries.word(id, fieldFlags) & kindMask;
    this.#entries.setDouble(id, fieldValue, 0);
    if (kind === kindBig) this.#bigs.delete(id);
    if (kind !== kindBytes) return;
    this.#storedBytes -= this.textBytes(id);
    this.#texts.delete(id);
  }

  // What the change tracker asks.

  hashEntry(id: number, hash: ContentHash): void {
    const chunk = this.#entries.chunk(id);
    const offset = this.#entries.offset(id);
    hash.start(storePrefix.counter);
    hash.words(chunk, offset + shapeField, offset + fieldFlags + 1);
    hash.words(chunk, offset + fieldValue, offset + this.#table.inlineField + this.#table.inlineKeyWords(id));
    const flags = chunk[offset + fieldFlags] as number;
    const plain = (flags & (kindMask | hasBounds | hasExpiry)) === kindNumber;
    if (plain && this.#table.keyLength(id) <= inlineKeyWords * 4) return;
    this.#table.hashOutlyingKey(id, hash);
    if ((flags & kindMask) === kindBig) hash.bigint(this.#bigs.get(id) as bigint);
    else if ((flags & kindMask) === kindBytes) hash.bytes(this.#texts.get(id) as Uint8Array);
    hash.double(this.expiresAt(id));
    for (const end of [minimumEnd, maximumEnd] as const) {
      const bound = this.bound(id, end);
      if (typeof bound === "bigint") hash.bigint(bound);
      else if (bound !== null) hash.double(bound);
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
      expiresAtMs: this.expiresAt(id),
      minimum: this.bound(id, minimumEnd),
      maximum: this.bound(id, maximumEnd),
    };
  }

  /** Puts an entry of a snapshot or checkpoint whose key lies in `slot`. False if the key is there already. */
  load(slot: number, database: number, key: Uint8Array, content: CounterContent): boolean {
    const found = this.lookup(database, key, 0, key.length);
    if (found >= 0) return false;
    const id = this.#createIn(slot, database, key, 0, key.length, found);
    this.write(id, content.value, content.versionLsn, content.versionIndex);
    if (content.minimum !== null) this.setBound(id, minimumEnd, content.minimum);
    if (content.maximum !== null) this.setBound(id, maximumEnd, content.maximum);
    if (content.expiresAtMs >= 0) this.setExpiry(id, content.expiresAtMs);
    return true;
  }

  forget(id: number): void {
    this.#table.remove(id);
  }
}
