/** Expiry in log time: EXPIRE and its kin, PERSIST, GETEX, and the removal of what is due. */
import type { ExpireConditions, ExpiryChange, WriteOperation } from "./operations.ts";
import type { OutcomeValue } from "./outcome.ts";
import { failure, nil, one, valueOutcome, zero } from "./outcomes.ts";
import type { State } from "./state.ts";

type Variant<Type extends WriteOperation["type"]> = Extract<WriteOperation, { readonly type: Type }>;

/** What {@link resolveExpiry} gives for a change that leaves or takes the expiry away; else a time >= 0. */
const keepExpiry = -2;
const clearExpiry = -1;

/** The absolute time that a change means now, keepExpiry, clearExpiry, or undefined where it is out of range. */
export function resolveExpiry(state: State, change: ExpiryChange): number | undefined {
  if (change.type === "keep") return keepExpiry;
  if (change.type === "clear") return clearExpiry;
  const timeMs = change.type === "in" ? state.logTimeMs + change.ms : change.ms;
  if (!Number.isSafeInteger(timeMs)) return undefined;
  return Math.max(0, timeMs); // Before the epoch is as past as the epoch: log time is never negative.
}

/** Gives a live key its resolved expiry; a time not after log time removes the key, as in Redis. */
export function changeExpiry(state: State, id: number, resolved: number): void {
  if (resolved === keepExpiry) return;
  if (resolved !== clearExpiry && resolved <= state.logTimeMs) state.counters.remove(id, state.lsn, state.index);
  else state.counters.setExpiry(id, resolved);
}

export function applyExpire(state: State, operation: Variant<"expire">): OutcomeValue {
  const { counters } = state;
  const id = counters.find(operation.database, operation.key);
  if (id < 0) return zero;
  const timeMs = resolveExpiry(state, operation.expiry);
  if (timeMs === undefined) return failure("INVALID_ARGUMENT");
  if (!conditionsHold(operation.conditions, counters.expiresAt(id), timeMs)) return zero;
  counters.setVersion(id, state.lsn, state.index);
  changeExpiry(state, id, timeMs);
  return one;
}

/** `present` is -1 where the key does not expire, which counts as later than any time. */
function conditionsHold(conditions: ExpireConditions, present: number, timeMs: number): boolean {
  if (conditions.ifNone && present >= 0) return false;
  if (conditions.ifSome && present < 0) return false;
  if (conditions.ifLater && (present < 0 || timeMs <= present)) return false;
  return !(conditions.ifEarlier && present >= 0 && timeMs >= present);
}

export function applyPersist(state: State, operation: Variant<"persist">): OutcomeValue {
  const { counters } = state;
  const id = counters.find(operation.database, operation.key);
  if (id < 0 || counters.expiresAt(id) < 0) return zero;
  counters.setExpiry(id, clearExpiry);
  counters.setVersion(id, state.lsn, state.index);
  return one;
}

export function applyGetAndExpire(state: State, operation: Variant<"getAndExpire">): OutcomeValue {
  const { counters } = state;
  const id = counters.find(operation.database, operation.key);
  if (id < 0) return nil;
  const resolved = resolveExpiry(state, operation.expiry);
  if (resolved === undefined) return failure("INVALID_ARGUMENT");
  const value = valueOutcome(counters.value(id));
  if (!state.takesOutcome(value)) return failure("VALUE_TOO_LARGE");
  const changes = resolved === clearExpiry ? counters.expiresAt(id) >= 0 : resolved !== keepExpiry;
  if (changes) {
    counters.setVersion(id, state.lsn, state.index);
    changeExpiry(state, id, resolved);
  }
  return value;
}

/**
 * At the start of a record: what is due by log time goes, the oldest first, then keys before the others, then by key;
 * at most expiriesPerRecordMax of it, so that no storm stops everything. What is left is still there, and due, until the
 * next record: nextDueMs stays in the past, so that a tick follows at once.
 */
export function removeDue(state: State): void {
  for (let left = state.limits.expiriesPerRecordMax; left > 0; left--) {
    const dueMs = nextDueMs(state);
    if (dueMs > state.logTimeMs) return;
    removeFirst(state, dueMs);
  }
}

/** Removes the first entry of `dueMs`, the earliest time of all. */
function removeFirst(state: State, dueMs: number): void {
  const { counters, idempotency, sessions } = state;
  if (counters.expiry.nextMs === dueMs && !state.expiresLazily) removeDueKey(state);
  else if (idempotency.expiry.nextMs === dueMs) idempotency.remove(idempotency.expiry.nextId);
  else sessions.remove(sessions.expiry.nextId);
}

function removeDueKey(state: State): void {
  state.counters.remove(state.counters.expiry.nextId, state.lsn, 0);
  state.expiredKeys++;
}

/** Only for the mutation that expires lazily. */
export function removeDueKeys(state: State): void {
  while (state.counters.expiry.nextMs <= state.logTimeMs) removeDueKey(state);
}

/** When something expires next, or was to expire, if more was due than one record takes; Infinity if nothing does. */
export function nextDueMs(state: State): number {
  if (state.expiresLazily) return Math.min(state.idempotency.expiry.nextMs, state.sessions.expiry.nextMs);
  return Math.min(state.counters.expiry.nextMs, state.idempotency.expiry.nextMs, state.sessions.expiry.nextMs);
}
