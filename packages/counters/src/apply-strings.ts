/** Writing and deleting whole values: SET and its kin, MSET, GETDEL, DEL, FLUSH. */
import type { ErrorCode } from "@quipu/core";
import { slotCount } from "@quipu/routing";
import { systemDatabase } from "./codec-fields.ts";
import { refusalOfStep } from "./bounds.ts";
import { maximumEnd, minimumEnd } from "./counter-store.ts";
import { changeExpiry, resolveExpiry } from "./apply-expiry.ts";
import type { WriteOperation } from "./operations.ts";
import type { OutcomeValue } from "./outcome.ts";
import { failure, integer, nil, ok, one, valueOutcome, zero } from "./outcomes.ts";
import type { State } from "./state.ts";
import { storedForm } from "./steps.ts";

type Variant<Type extends WriteOperation["type"]> = Extract<WriteOperation, { readonly type: Type }>;

/** Why a key or value may not be taken, by length. */
export function refusalOfLength(state: State, key: Uint8Array, value?: Uint8Array): ErrorCode | null {
  if (key.length > state.limits.keyBytesMax) return "KEY_TOO_LARGE";
  return value !== undefined && value.length > state.limits.valueBytesMax ? "VALUE_TOO_LARGE" : null;
}

export function applySet(state: State, operation: Variant<"set">): OutcomeValue {
  const { counters } = state;
  const { database, key, condition } = operation;
  const tooLarge = refusalOfLength(state, key, operation.value);
  if (tooLarge !== null) return failure(tooLarge);
  const found = counters.lookup(database, key, 0, key.length);
  const present = found >= 0 && counters.isPresent(found);
  const previous = operation.returnPrevious && present ? valueOutcome(counters.value(found)) : nil;
  if (operation.returnPrevious && !state.takesOutcome(previous)) return failure("VALUE_TOO_LARGE");
  if (condition === (present ? "ifAbsent" : "ifPresent")) return previous;
  const value = storedForm(operation.value);
  const expiry = resolveExpiry(state, operation.expiry);
  if (expiry === undefined) return failure("INVALID_ARGUMENT");
  const outside = present ? refusalOfStep(counters, found, value) : null;
  const refusal = outside ?? state.refusalOfStoring(present ? found : -1, key.length, value);
  if (refusal !== null) return failure(refusal);
  const id = present ? found : counters.create(database, key, 0, key.length, found);
  counters.write(id, value, state.lsn, state.index);
  if (state.mutation === "bounds-lost-on-set") {
    counters.setBound(id, minimumEnd, null);
    counters.setBound(id, maximumEnd, null);
  }
  changeExpiry(state, id, expiry);
  return operation.returnPrevious ? previous : ok;
}

export function applySetMany(state: State, operation: Variant<"setMany">): OutcomeValue {
  const { counters } = state;
  const { database, pairs } = operation;
  let created = 0;
  // Pair by pair, without what other pairs free: a key may come twice, and none of them is then too many.
  let grownBytes = 0;
  let refusal: ErrorCode | null = null;
  let anyPresent = false;
  for (const { key, value } of pairs) {
    refusal ??= refusalOfLength(state, key, value);
    const id = counters.find(database, key);
    const next = storedForm(value);
    const valueBytes = typeof next === "object" ? next.length : 0;
    if (id >= 0) {
      anyPresent = true;
      refusal ??= refusalOfStep(counters, id, next);
      grownBytes += Math.max(0, valueBytes - counters.textBytes(id));
    } else {
      created++;
      grownBytes += key.length + valueBytes;
    }
  }
  if (operation.ifNoneExists && anyPresent) return zero;
  if (created > 0 && counters.size + created > state.limits.keysMax) refusal ??= "OVERLOADED";
  if (!state.hasRoomFor(grownBytes)) refusal ??= "OVERLOADED";
  if (refusal !== null) return failure(refusal);
  // Each pair was checked against the value before: where a key comes twice, its last value counts.
  for (const { key, value } of pairs) {
    const found = counters.lookup(database, key, 0, key.length);
    const present = found >= 0 && counters.isPresent(found);
    const id = present ? found : counters.create(database, key, 0, key.length, found);
    counters.write(id, storedForm(value), state.lsn, state.index);
    counters.setExpiry(id, -1);
  }
  return operation.ifNoneExists ? one : ok;
}

export function applyGetAndDelete(state: State, operation: Variant<"getAndDelete">): OutcomeValue {
  const id = state.counters.find(operation.database, operation.key);
  if (id < 0) return nil;
  const value = valueOutcome(state.counters.value(id));
  if (!state.takesOutcome(value)) return failure("VALUE_TOO_LARGE");
  state.counters.remove(id, state.lsn, state.index);
  return value;
}

export function applyDelete(state: State, operation: Variant<"delete">): OutcomeValue {
  let removed = 0;
  for (const key of operation.keys) {
    const id = state.counters.find(operation.database, key);
    if (id < 0) continue;
    state.counters.remove(id, state.lsn, state.index);
    removed++;
  }
  return integer(removed);
}

/** Every slot's last removal becomes this position, also where nothing was: a flush is seen by every WATCH. */
export function applyFlush(state: State, operation: Variant<"flush">): OutcomeValue {
  const { counters } = state;
  for (let id = 0; id < counters.idLimit; id++) {
    if (!counters.isPresent(id)) continue;
    const database = counters.database(id);
    if (operation.database === null ? database === systemDatabase : database !== operation.database) continue;
    counters.remove(id, state.lsn, state.index);
  }
  for (let slot = 0; slot < slotCount; slot++) counters.removals.set(slot, state.lsn, state.index);
  return ok;
}
