/** Arithmetic and conditions on one counter: INCR as an operation, INCREX, INCRBYFLOAT, Q.BOUND, compare-and-set. */
import { type ErrorCode, type Int64, int64Compare, unreachable } from "@quipu/core";
import { changeExpiry, resolveExpiry } from "./apply-expiry.ts";
import { applyRun } from "./apply-run.ts";
import { refusalOfLength } from "./apply-strings.ts";
import { isExcluded, refusalOfStep } from "./bounds.ts";
import { maximumEnd, minimumEnd } from "./counter-store.ts";
import type { WriteOperation } from "./operations.ts";
import { type OutcomeValue, RunOutcome } from "./outcome.ts";
import { array, failure, integer, nil, one, valueOutcome, zero } from "./outcomes.ts";
import type { State } from "./state.ts";
import { decimalStep, decimalSum, integerStep, type Step } from "./steps.ts";
import { samePosition, versionOf } from "./version.ts";

type Variant<Type extends WriteOperation["type"]> = Extract<WriteOperation, { readonly type: Type }>;

const scratchRun = new RunOutcome();

/** One add: a run of one. It takes the operation's own index, state.index. */
export function applyAdd(state: State, operation: Variant<"add">): OutcomeValue {
  const { database, key, delta } = operation;
  state.index--; // A run counts its own indexes.
  applyRun(state, database, key, 0, key.length, delta, 1, scratchRun);
  return scratchRun.admitted === 1 ? integer(scratchRun.first) : failure(scratchRun.rejection);
}

/** INCRBYFLOAT. Keeps the expiry. */
export function applyAddDecimal(state: State, operation: Variant<"addDecimal">): OutcomeValue {
  return applyStep(state, operation.database, operation.key, (current) => decimalSum(current, operation.increment));
}

/**
 * INCREX (Redis 8.8). What leaves its own range, or 64 bits, answers [current, 0] and changes nothing,
 * or with SATURATE goes as far as it may; the bounds of the key are an error, as everywhere.
 */
export function applyAddWithin(state: State, operation: Variant<"addWithin">): OutcomeValue {
  const { database, key, by, saturate } = operation;
  const resolved = resolveExpiry(state, operation.expiry);
  if (resolved === undefined) return failure("INVALID_ARGUMENT");
  return applyStep(
    state,
    database,
    key,
    (current) => (by.type === "integer" ? integerStep(current, by, saturate) : decimalStep(current, by, saturate)),
    (id) => {
      if (!operation.expiryOnlyIfNone || state.counters.expiresAt(id) < 0) changeExpiry(state, id, resolved);
    },
  );
}

/** Takes one step from the present value, or from 0, if the bounds of the key and the limits let it. */
function applyStep(
  state: State,
  database: number,
  key: Uint8Array,
  stepFrom: (current: Int64 | Uint8Array) => Step,
  afterwards: (id: number) => void = () => {},
): OutcomeValue {
  const { counters } = state;
  const tooLarge = refusalOfLength(state, key);
  if (tooLarge !== null) return failure(tooLarge);
  const found = counters.lookup(database, key, 0, key.length);
  const present = found >= 0 && counters.isPresent(found);
  const step = stepFrom(present ? counters.value(found) : 0);
  if (step.next === undefined) return step.outcome;
  const refusal = refusalOfWrite(state, present ? found : -1, key, step.next);
  if (refusal !== null) return failure(refusal);
  const id = present ? found : counters.create(database, key, 0, key.length, found);
  counters.write(id, step.next, state.lsn, state.index);
  afterwards(id);
  return step.outcome;
}

/** Why a value may not be written: the bounds of a live key, or the limits. `id` is -1 for a new key. */
function refusalOfWrite(state: State, id: number, key: Uint8Array, next: Int64 | Uint8Array): ErrorCode | null {
  const outside = id < 0 ? null : refusalOfStep(state.counters, id, next);
  return outside ?? state.refusalOfStoring(id, key.length, next);
}

/** Sets, keeps or clears each end. An absent key comes to be, at 0, only where an end is set. */
export function applyBound(state: State, operation: Variant<"bound">): OutcomeValue {
  const { counters } = state;
  const { database, key } = operation;
  const tooLarge = refusalOfLength(state, key);
  if (tooLarge !== null) return failure(tooLarge);
  const found = counters.lookup(database, key, 0, key.length);
  const present = found >= 0 && counters.isPresent(found);
  const value = present ? counters.value(found) : 0;
  if (typeof value === "object") return failure("NOT_AN_INTEGER");
  const minimum = endAfter(operation.minimum, present ? counters.bound(found, minimumEnd) : null);
  const maximum = endAfter(operation.maximum, present ? counters.bound(found, maximumEnd) : null);
  const bounds = array([minimum === null ? nil : integer(minimum), maximum === null ? nil : integer(maximum)]);
  if (operation.minimum === "keep" && operation.maximum === "keep") return bounds;
  if (minimum !== null && maximum !== null && int64Compare(minimum, maximum) > 0) return failure("INVALID_ARGUMENT");
  if (!operation.force && isExcluded(value, minimum, maximum)) return failure("BOUND_EXCLUDES_VALUE");
  if (!present && minimum === null && maximum === null) return bounds;
  if (!present && state.refusalOfStoring(-1, key.length, 0) !== null) return failure("OVERLOADED");
  const id = present ? found : counters.create(database, key, 0, key.length, found);
  counters.setBound(id, minimumEnd, minimum);
  counters.setBound(id, maximumEnd, maximum);
  counters.setVersion(id, state.lsn, state.index);
  return bounds;
}

function endAfter(change: Int64 | "keep" | "clear", present: Int64 | null): Int64 | null {
  return change === "keep" ? present : change === "clear" ? null : change;
}

export function applyCompareAndSet(state: State, operation: Variant<"compareAndSet">): OutcomeValue {
  const { counters } = state;
  const { database, key } = operation;
  const tooLarge = refusalOfLength(state, key);
  if (tooLarge !== null) return failure(tooLarge);
  const found = counters.lookup(database, key, 0, key.length);
  const present = found >= 0 && counters.isPresent(found);
  if (!isExpected(state, operation, present ? found : -1)) {
    return array([zero, present ? valueOutcome(counters.value(found)) : nil]);
  }
  const refusal = refusalOfWrite(state, present ? found : -1, key, operation.value);
  if (refusal !== null) return failure(refusal);
  const id = present ? found : counters.create(database, key, 0, key.length, found);
  counters.write(id, operation.value, state.lsn, state.index);
  return array([one, integer(operation.value)]);
}

function isExpected(state: State, operation: Variant<"compareAndSet">, id: number): boolean {
  const { expected } = operation;
  switch (expected.type) {
    case "absent":
      return id < 0;
    case "value":
      return id >= 0 && state.counters.value(id) === expected.value;
    case "version":
      return samePosition(versionOf(state, operation.database, operation.key), expected.version);
    default:
      return unreachable(expected);
  }
}
