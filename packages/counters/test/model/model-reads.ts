/** What each read answers from the model. */
import { unreachable } from "@quipu/core";
import { globMatches } from "../../src/glob.ts";
import type { ReadOperation } from "../../src/operations.ts";
import { textOf } from "./arbitraries.ts";
import {
  array,
  type Expected,
  integer,
  latin1,
  type ModelState,
  nil,
  slotOf,
  text,
  valueReply,
} from "./model-state.ts";

export function answerRead(state: ModelState, operation: ReadOperation): Expected {
  const { database } = operation;
  const get = (key: Uint8Array): Expected => {
    const found = state.get(database, textOf(key));
    return found === undefined ? nil : valueReply(found.value);
  };
  const exists = (key: Uint8Array): boolean => state.get(database, textOf(key)) !== undefined;
  switch (operation.type) {
    case "get":
      return get(operation.key);
    case "getMany":
      return array(...operation.keys.map(get));
    case "exists":
      return integer(operation.keys.filter(exists).length);
    case "typeOf":
      return integer(exists(operation.key) ? 1 : 0);
    case "timeToLive":
      return timeToLive(state, operation);
    case "databaseSize":
      return integer(state.in(database).length);
    case "scan":
      return scan(state, operation);
    case "keys":
      return { type: "keysInAnyOrder", keys: matching(state, database, operation.pattern) };
    case "randomKey": {
      const keys = state.in(database).map((counter) => counter.key);
      return keys.length === 0 ? nil : { type: "oneOfKeys", keys };
    }
    case "describe":
      return describeCounter(state, operation);
    case "versionOf":
      return text(state.version(database, textOf(operation.key)));
    default:
      return unreachable(operation);
  }
}

function timeToLive(state: ModelState, operation: Extract<ReadOperation, { readonly type: "timeToLive" }>): Expected {
  const found = state.get(operation.database, textOf(operation.key));
  if (found === undefined) return integer(-2);
  if (found.expiresAtMs === undefined) return integer(-1);
  const ms = operation.absolute ? found.expiresAtMs : found.expiresAtMs - state.logTimeMs;
  return integer(operation.unit === "ms" ? ms : Math.floor((ms + 500) / 1000));
}

function matching(state: ModelState, database: number, pattern: Uint8Array | null): string[] {
  const keys = state.in(database).map((counter) => counter.key);
  return pattern === null ? keys : keys.filter((key) => globMatches(pattern, latin1(key)));
}

/** Whole slots from the cursor on, until `count` keys have been looked at. */
function scan(state: ModelState, operation: Extract<ReadOperation, { readonly type: "scan" }>): Expected {
  const bySlot = new Map<number, string[]>();
  for (const { key } of state.in(operation.database))
    bySlot.set(slotOf(key), [...(bySlot.get(slotOf(key)) ?? []), key]);
  const seen: string[] = [];
  let slot = operation.cursor;
  for (; slot < 16_384 && seen.length < operation.count; slot++) seen.push(...(bySlot.get(slot) ?? []));
  const { pattern } = operation;
  const keys = pattern === null ? seen : seen.filter((key) => globMatches(pattern, latin1(key)));
  return array(integer(slot < 16_384 ? slot : 0), { type: "keysInAnyOrder", keys });
}

function describeCounter(
  state: ModelState,
  operation: Extract<ReadOperation, { readonly type: "describe" }>,
): Expected {
  const found = state.get(operation.database, textOf(operation.key));
  if (found === undefined) return nil;
  const { minimum, maximum } = found;
  return array(
    valueReply(found.value),
    text(found.version),
    minimum === undefined ? nil : integer(minimum),
    maximum === undefined ? nil : integer(maximum),
    integer(found.expiresAtMs ?? -1),
  );
}
