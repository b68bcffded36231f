/** Reads: alone, or inside a command, where their outcome may be stored; so nothing here depends on table order. */
import { unreachable } from "@quipu/core";
import { slotCount } from "@quipu/routing";
import { globMatches } from "./glob.ts";
import { maximumEnd, minimumEnd } from "./counter-store.ts";
import type { ReadOperation } from "./operations.ts";
import type { OutcomeValue } from "./outcome.ts";
import { array, bytes, integer, nil, one, textOutcome, valueOutcome, zero } from "./outcomes.ts";
import { compareBytes } from "./store-key.ts";
import type { State } from "./state.ts";
import { positionText, versionOf } from "./version.ts";

type Variant<Type extends ReadOperation["type"]> = Extract<ReadOperation, { readonly type: Type }>;

export function evaluateRead(state: State, operation: ReadOperation): OutcomeValue {
  switch (operation.type) {
    case "get":
      return get(state, operation.database, operation.key);
    case "getMany":
      return array(operation.keys.map((key) => get(state, operation.database, key)));
    case "exists":
      return integer(operation.keys.filter((key) => state.counters.find(operation.database, key) >= 0).length);
    case "typeOf":
      return state.counters.find(operation.database, operation.key) >= 0 ? one : zero;
    case "timeToLive":
      return timeToLive(state, operation);
    case "databaseSize":
      return integer(state.counters.databaseSize(operation.database));
    case "scan":
      return scan(state, operation);
    case "keys":
      return keysThatMatch(state, operation);
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

/** Whole slots until `count` keys were looked at, so that the cursor is a slot and survives splits and restores. */
function scan(state: State, operation: Variant<"scan">): OutcomeValue {
  const { database, pattern } = operation;
  const found: OutcomeValue[] = [];
  let looked = 0;
  let slot = operation.cursor;
  for (; slot < slotCount && looked < Math.max(1, operation.count); slot++) {
    const keys = keysOfSlot(state, slot, database);
    looked += keys.length;
    for (const key of keys) if (pattern === null || globMatches(pattern, key)) found.push(bytes(key));
  }
  return array([integer(slot >= slotCount ? 0 : slot), array(found)]);
}

function keysThatMatch(state: State, operation: Variant<"keys">): OutcomeValue {
  const found: OutcomeValue[] = [];
  for (let slot = 0; slot < slotCount; slot++) {
    for (const key of keysOfSlot(state, slot, operation.database)) {
      if (globMatches(operation.pattern, key)) found.push(bytes(key));
    }
  }
  return array(found);
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

/** Sorted: the order in which keys were created must not show. */
function keysOfSlot(state: State, slot: number, database: number): Uint8Array[] {
  const { counters } = state;
  const keys: Uint8Array[] = [];
  for (let id = counters.firstOfSlot(slot); id >= 0; id = counters.nextOfSlot(id)) {
    if (counters.database(id) === database) keys.push(counters.key(id));
  }
  return keys.length > 1 ? keys.sort(compareBytes) : keys;
}
