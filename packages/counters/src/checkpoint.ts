/**
 * Snapshots and checkpoints: the whole state, or what changed, as keys and values of the state store.
 *
 * A checkpoint is a frozen set: the entries dirty at one position, written in slices while later records are applied
 * (entries that change before their turn are copied first). Log time, position and writers are always part of it, so
 * that one batch in the store is the state at one position (DESIGN §4.4).
 */
import { ByteReader, ByteWriter, DecodeError, invariant, type Lsn, QuipuError } from "@quipu/core";
import { keySlot, slotCount } from "@quipu/routing";
import type { ChangeSink, ChangeTracker, TrackedEntries } from "./change-tracker.ts";
import { databaseCount } from "./codec-fields.ts";
import { readContent } from "./counter-entry.ts";
import { ContentHash, HashSum } from "./hash.ts";
import { firstFeatureLevel } from "./record.ts";
import type { State } from "./state.ts";
import { compareBytes, makeStoreKey, storeKeyHeadBytes, storeKeySlot, storePrefix } from "./store-key.ts";

export interface StoreEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The changes up to one position, to be written as one batch. */
export interface FrozenChanges {
  readonly position: Lsn;
  /** Entries at most: some may have come and gone. */
  readonly total: number;
  /** Gives up to `count` entries to the sink. True while there are more. */
  next(count: number, sink: ChangeSink): boolean;
  /** Ends the freeze. `written` false, or entries not yet given: all of it is dirty again. */
  release(written?: boolean): void;
}

/** A record's header has 16 bits for it. */
const featureLevelEnd = 0xffff;

/** First byte of the meta entry's value. */
const storeFormat = 1;

function trackersOf(state: State): readonly ChangeTracker[] {
  const { counters, idempotency, sessions, mutation } = state;
  const trackers = [counters.tracker, counters.removals.tracker];
  if (mutation !== "snapshot-without-idempotency") trackers.push(idempotency.tracker);
  if (mutation !== "snapshot-without-sessions") trackers.push(sessions.tracker);
  return trackers;
}

export function dirtyCountOf(state: State): number {
  let count = 0;
  for (const tracker of trackersOf(state)) count += tracker.dirtyCount;
  return count;
}

export class FrozenSet implements FrozenChanges {
  readonly position: Lsn;
  readonly total: number;
  readonly #trackers: readonly ChangeTracker[];
  readonly #small: StoreEntry[];
  readonly #released: () => void;
  #exhausted = false;
  #isReleased = false;

  constructor(state: State, position: Lsn, released: () => void) {
    this.position = position;
    this.#released = released;
    this.#trackers = trackersOf(state);
    this.#small = [metaEntry(state, position), ...writerEntries(state)];
    let total = this.#small.length;
    for (const tracker of this.#trackers) total += tracker.freeze();
    this.total = total;
  }

  next(count: number, sink: ChangeSink): boolean {
    invariant(!this.#isReleased, "frozen changes used after their release");
    let left = count;
    for (; left > 0 && this.#small.length > 0; left--) {
      const entry = this.#small.pop() as StoreEntry;
      sink.put(entry.key, entry.value);
    }
    for (const tracker of this.#trackers) {
      if (left === 0) return true;
      left = tracker.writeFrozen(left, sink);
    }
    this.#exhausted = left > 0;
    return !this.#exhausted;
  }

  release(written: boolean = true): void {
    invariant(!this.#isReleased, "frozen changes released twice");
    this.#isReleased = true;
    for (const tracker of this.#trackers) tracker.release(written && this.#exhausted);
    this.#released();
  }
}

function metaEntry(state: State, position: Lsn): StoreEntry {
  const writer = new ByteWriter(32);
  writer.u8(storeFormat);
  writer.varint(position);
  writer.varint(state.logTimeMs);
  writer.varint(state.expiredKeys);
  // Absent at the first level: so it was before there were levels, and each value has one encoding.
  if (state.featureLevel > firstFeatureLevel) writer.varint(state.featureLevel);
  return { key: makeStoreKey(storePrefix.meta, 0, 0, 0), value: writer.copy() };
}

function writerEntries(state: State): StoreEntry[] {
  return state.writers.nodes().map((node) => {
    const key = makeStoreKey(storePrefix.writer, 0, 0, 4);
    new DataView(key.buffer).setUint32(storeKeyHeadBytes, node);
    const writer = new ByteWriter(16);
    state.writers.write(node, writer);
    return { key, value: writer.copy() };
  });
}

/** All entries in the order of their keys. The state must not change while this is read. */
export function* snapshotEntries(state: State, position: Lsn): Generator<StoreEntry, void> {
  const { counters, idempotency, sessions, mutation } = state;
  for (let slot = 0; slot < slotCount; slot++) {
    const ids: number[] = [];
    for (let id = counters.firstOfSlot(slot); id >= 0; id = counters.nextOfSlot(id)) ids.push(id);
    yield* inKeyOrder(counters, ids);
  }
  if (mutation !== "snapshot-without-idempotency") yield* inKeyOrder(idempotency, idsBelow(idempotency.idLimit));
  yield metaEntry(state, position);
  yield* inKeyOrder(counters.removals, idsBelow(slotCount));
  if (mutation !== "snapshot-without-sessions") yield* inKeyOrder(sessions, idsBelow(sessions.idLimit));
  yield* writerEntries(state);
}

function idsBelow(limit: number): number[] {
  return Array.from({ length: limit }, (_, id) => id);
}

function* inKeyOrder(entries: TrackedEntries, ids: readonly number[]): Generator<StoreEntry, void> {
  const keyed = ids.filter((id) => entries.isPresent(id)).map((id) => ({ id, key: entries.storeKey(id) }));
  keyed.sort((left, right) => compareBytes(left.key, right.key));
  for (const { id, key } of keyed) yield { key, value: entries.storeValue(id) };
}

/** What {@link loadEntry} returns for the meta entry: where the state stands. */
export function loadEntry(state: State, reader: ByteReader, key: Uint8Array, value: Uint8Array): Lsn | undefined {
  try {
    reader.reset(value);
    const position = loadByPrefix(state, reader, key);
    if (reader.remaining !== 0) throw new DecodeError(`${reader.remaining} bytes too many`);
    return position;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const name = Array.from(key, (byte) => byte.toString(16).padStart(2, "0")).join("");
    throw new QuipuError("STORE_CORRUPT", `entry ${name} of the state store: ${error.message}`, { cause: error });
  }
}

function loadByPrefix(state: State, reader: ByteReader, key: Uint8Array): Lsn | undefined {
  if (key.length < storeKeyHeadBytes) throw new DecodeError("key too short");
  const slot = storeKeySlot(key);
  if (slot >= slotCount) throw new DecodeError(`no slot ${slot}`);
  const rest = key.subarray(storeKeyHeadBytes);
  switch (key[0]) {
    case storePrefix.counter:
      return loadCounter(state, reader, slot, key[3] as number, rest);
    case storePrefix.idempotency:
      state.idempotency.load(slot, rest, reader);
      return undefined;
    case storePrefix.removal:
      state.counters.removals.load(slot, reader);
      return undefined;
    case storePrefix.session:
      state.sessions.load(rest, reader);
      return undefined;
    case storePrefix.writer:
      if (rest.length !== 4) throw new DecodeError("a writer's key has 4 bytes");
      state.writers.load(new DataView(rest.buffer, rest.byteOffset).getUint32(0), reader);
      return undefined;
    case storePrefix.meta:
      return loadMeta(state, reader);
    default:
      throw new DecodeError(`unknown prefix ${key[0]}`);
  }
}

function loadCounter(state: State, reader: ByteReader, slot: number, database: number, key: Uint8Array): undefined {
  if (database >= databaseCount) throw new DecodeError(`no database ${database}`);
  const keysOwn = keySlot(key);
  if (keysOwn !== slot) throw new DecodeError(`key of slot ${keysOwn} filed under ${slot}`);
  if (key.length > state.limits.keyBytesMax) throw new DecodeError(`key of ${key.length} bytes`);
  if (!state.counters.load(slot, database, key, readContent(reader))) throw new DecodeError("key twice");
}

function loadMeta(state: State, reader: ByteReader): Lsn {
  const format = reader.u8();
  if (format !== storeFormat) throw new DecodeError(`format ${format}, ours is ${storeFormat}`);
  const position = reader.varint() as Lsn; // A varint is a safe integer >= 0: all that an Lsn asks for.
  state.logTimeMs = reader.varint();
  state.expiredKeys = reader.varint();
  if (reader.remaining > 0) state.featureLevel = readRaisedLevel(reader);
  return position;
}

/** One encoding for each value: the first level is written as nothing. */
function readRaisedLevel(reader: ByteReader): number {
  const level = reader.varint();
  if (level <= firstFeatureLevel || level > featureLevelEnd) throw new DecodeError(`feature level ${level}`);
  return level;
}

export function beginLoad(state: State): void {
  for (const tracker of trackersOf(state)) tracker.beginLoad();
}

/** Everything loaded is in our own store (`inStore`), or, from elsewhere, still to be written there. */
export function finishLoad(state: State, inStore: boolean): void {
  for (const tracker of trackersOf(state)) tracker.endLoad(inStore);
}

/** True while loaded entries wait to be hashed. */
export function hasHashBacklog(state: State): boolean {
  return trackersOf(state).some((tracker) => tracker.hasBacklog);
}

/** Hashes up to `count` of them. */
export function hashBacklog(state: State, count: number): void {
  let left = count;
  for (const tracker of trackersOf(state)) left = tracker.hashBacklog(left);
}

export function hashPendingCountOf(state: State): number {
  return trackersOf(state).reduce((sum, tracker) => sum + tracker.hashPendingCount, 0);
}

/** 16 hexadecimal digits over all entries, writers and log time; not over the position. */
export function stateHashOf(state: State): string {
  const { counters, idempotency, sessions, writers } = state;
  for (const tracker of [counters.tracker, counters.removals.tracker, idempotency.tracker, sessions.tracker]) {
    tracker.hashPending();
  }
  const total = new HashSum();
  total.low = state.sum.low;
  total.high = state.sum.high;
  const hash = new ContentHash();
  for (const node of writers.nodes()) {
    writers.hash(node, hash);
    total.add(hash);
  }
  hash.start(storePrefix.meta);
  hash.double(state.logTimeMs);
  if (state.featureLevel > firstFeatureLevel) hash.word(state.featureLevel);
  hash.finish();
  total.add(hash);
  return total.text();
}
