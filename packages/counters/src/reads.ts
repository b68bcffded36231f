/** Reads: alone, or inside a command, where their outcome may be stored; so nothing here depends on table order. */
import { unreachable } from "@quipu/core";
import { slotCount } from "@quipu/routing";
import { globMatches } from "./glob.ts";
import { maximumEnd, minimumEnd } from "./counter-store.ts";
import type { ReadOperation } from "./operations.ts";
import type { OutcomeValue } from "./outcome.ts";
import {
  array,
  bytes,
  failure,
  integer,
  itemBytes,
  nil,
  one,
  outcomeBytes,
  textOutcome,
  valueOutcome,
  zero,
} from "./outcomes.ts";
import { compareBytes } from "./store-key.ts";
import type { State } from "./state.ts";
import { positionText, versionOf } from "./version.ts";

type Variant<Type extends ReadOperation["type"]> = Extract<ReadOperation, { readonly type: Type }>;

/**
 * What would surely take more than `bytesMax` is refused, VALUE_TOO_LARGE, before it is made; there is no other error.
 */
export function evaluateRead(state: State, operation: ReadOperation, bytesMax: number): OutcomeValue {
  switch (operation.type) {
    case "get":
      return get(state, operation.database, operation.key);
    case "getMany":
      return getMany(state, operation, bytesMax);
    case "exists":
      return integer(operation.keys.filter((key) => state.counters.find(operation.database, key) >= 0).length);
    case "typeOf":
      return state.counters.find(operation.database, operation.key) >= 0 ? one : zero;
    case "timeToLive":
      return timeToLive(state, operation);
    case "databaseSize":
      return integer(state.counters.databaseSize(operation.database));
    case "scan":
      return scan(state, operation, bytesMax);
    case "keys":
      return keysThatMatch(state, operation, bytesMax);
    case "randomKey":
      return randomKey(state, operation);
    case "describe":
      return describe(state, operation);
    case "versionOf": {
      const version = versionOf(state, operation.database, operation.key);
      return textOutcome(positionText(version.lsn, version.index));
    }
    default:
      return unreachable(operation);
  }
}

function get(state: State, database: number, key: Uint8Array): OutcomeValue {
  const id = state.counters.find(database, key);
  return id < 0 ? nil : valueOutcome(state.counters.value(id));
}

function getMany(state: State, operation: Variant<"getMany">, bytesMax: number): OutcomeValue {
  const items: OutcomeValue[] = [];
  let bytesLeft = bytesMax;
  for (const key of operation.keys) {
    const item = get(state, operation.database, key);
    bytesLeft -= outcomeBytes(item);
    if (bytesLeft < 0) return failure("VALUE_TOO_LARGE");
    items.push(item);
  }
  return array(items);
}

/** Seconds round as Redis rounds them: half up. */
function timeToLive(state: State, operation: Variant<"timeToLive">): OutcomeValue {
  const id = state.counters.find(operation.database, operation.key);
  if (id < 0) return integer(-2);
  const timeMs = state.counters.expiresAt(id);
  if (timeMs < 0) return integer(-1);
  // Due, but more was than one record takes: 0, for below that numbers have other meanings.
  const ms = operation.absolute ? timeMs : Math.max(0, timeMs - state.logTimeMs);
  return integer(operation.unit === "ms" ? ms : Math.floor((ms + 500) / 1000));
}

function describe(state: State, operation: Variant<"describe">): OutcomeValue {
  const { counters } = state;
  const id = counters.find(operation.database, operation.key);
  if (id < 0) return nil;
  const minimum = counters.bound(id, minimumEnd);
  const maximum = counters.bound(id, maximumEnd);
  return array([
    valueOutcome(counters.value(id)),
    textOutcome(positionText(counters.versionLsn(id), counters.versionIndex(id))),
    minimum === null ? nil : integer(minimum),
    maximum === null ? nil : integer(maximum),
    integer(counters.expiresAt(id)),
  ]);
}

/** Keys of whole slots that match a pattern. */
class KeySearch {
  readonly found: OutcomeValue[] = [];
  /** Keys of the database, whether they match or not. */
  looked = 0;
  #bytesLeft: number;

  constructor(bytesMax: number) {
    this.#bytesLeft = bytesMax;
  }

  /** False: there are too many. */
  takeSlot(state: State, slot: number, database: number, pattern: Uint8Array | null): boolean {
    const { counters } = state;
    const keys: Uint8Array[] = [];
    for (let id = counters.firstOfSlot(slot); id >= 0; id = counters.nextOfSlot(id)) {
      if (counters.database(id) !== database) continue;
      this.looked++;
      const key = counters.key(id);
      if (pattern !== null && !globMatches(pattern, key)) continue;
      this.#bytesLeft -= itemBytes + key.length;
      if (this.#bytesLeft < 0) return false;
      keys.push(key);
    }
    for (const key of sorted(keys)) this.found.push(bytes(key));
    return true;
  }
}

/** Whole slots until `count` keys were looked at, so that the cursor is a slot and survives splits and restores. */
function scan(state: State, operation: Variant<"scan">, bytesMax: number): OutcomeValue {
  const search = new KeySearch(bytesMax);
  let slot = operation.cursor;
  for (; slot < slotCount && search.looked < Math.max(1, operation.count); slot++) {
    if (!search.takeSlot(state, slot, operation.database, operation.pattern)) return failure("VALUE_TOO_LARGE");
  }
  return array([integer(slot >= slotCount ? 0 : slot), array(search.found)]);
}

function keysThatMatch(state: State, operation: Variant<"keys">, bytesMax: number): OutcomeValue {
  const search = new KeySearch(bytesMax);
  for (let slot = 0; slot < slotCount; slot++) {
    if (!search.takeSlot(state, slot, operation.database, operation.pattern)) return failure("VALUE_TOO_LARGE");
  }
  return array(search.found);
}

/** The low bits choose a slot, the rest a key of the first slot from there that has one. */
function randomKey(state: State, operation: Variant<"randomKey">): OutcomeValue {
  if (state.counters.databaseSize(operation.database) === 0) return nil;
  for (let step = 0; step < slotCount; step++) {
    const slot = ((operation.choice % slotCount) + step) % slotCount;
    const keys = keysOfSlot(state, slot, operation.database);
    const key = keys[Math.floor(operation.choice / slotCount) % keys.length];
    if (key !== undefined) return bytes(key);
  }
  return nil;
}

function keysOfSlot(state: State, slot: number, database: number): Uint8Array[] {
  const { counters } = state;
  const keys: Uint8Array[] = [];
  for (let id = counters.firstOfSlot(slot); id >= 0; id = counters.nextOfSlot(id)) {
    if (counters.database(id) === database) keys.push(counters.key(id));
  }
  return sorted(keys);
}

/** In place. The order in which keys were created must not show. */
function sorted(keys: Uint8Array[]): Uint8Array[] {
  return keys.length > 1 ? keys.sort(compareBytes) : keys;
}
