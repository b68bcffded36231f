/**
 * What each operation does and answers, told a second time and as simply as possible: the oracle for replies.
 * Covers the operations that the workload makes; for others it has no opinion and the run would say so.
 */
import type { ExpiryChange, Operation, OutcomeValue, Position } from "@quipu/counters";
import {
  fitsInt64,
  type NaiveEntries,
  type NaiveEntry,
  naiveValue,
  staysWithinBounds,
  valueText,
} from "./naive-entries.ts";
import { SimulationFailure } from "./failure.ts";
import { bytesOf, textOf } from "./text.ts";

type ErrorCode = Extract<OutcomeValue, { readonly type: "error" }>["code"];
type Of<Type extends Operation["type"]> = Extract<Operation, { readonly type: Type }>;

const error = (code: ErrorCode): string => `e:${code}`;
const empty: NaiveEntry = { value: 0n, minimum: undefined, maximum: undefined, expiresAtMs: undefined };

export function entryKey(database: number, key: Uint8Array): string {
  return `${database}/${textOf(key)}`;
}

export function versionText(position: Position): string {
  return `${position.lsn}-${position.index}`;
}

/** The inverse of {@link entryKey}. */
export function naiveKey(key: string): readonly [database: number, key: Uint8Array] {
  const slash = key.indexOf("/");
  return [Number(key.slice(0, slash)), bytesOf(key.slice(slash + 1))];
}

/** The outcome of one operation on `entries`, which it changes. */
export function applyNaively(entries: NaiveEntries, operation: Operation, logTimeMs: number): string {
  switch (operation.type) {
    case "add":
      return add(entries, operation);
    case "set":
      return set(entries, operation, logTimeMs);
    case "setMany":
      return setMany(entries, operation);
    case "delete":
      return deleteKeys(entries, operation);
    case "getAndDelete":
      return getAndDelete(entries, operation);
    case "expire":
      return expire(entries, operation, logTimeMs);
    case "persist":
      return persist(entries, operation);
    case "bound":
      return bound(entries, operation);
    case "compareAndSet":
      return compareAndSet(entries, operation);
    case "flush":
      return flush(entries, operation);
    case "getAndExpire":
      return getAndExpire(entries, operation, logTimeMs);
    case "versionOf":
      return `b:${entries.version(entryKey(operation.database, operation.key))}`;
    case "typeOf":
      return entries.get(entryKey(operation.database, operation.key)) === undefined ? "i:0" : "i:1";
    case "get":
      return valueText(entries.get(entryKey(operation.database, operation.key)));
    case "exists":
      return `i:${operation.keys.filter((key) => entries.get(entryKey(operation.database, key)) !== undefined).length}`;
    case "getMany":
      return `[${operation.keys.map((key) => valueText(entries.get(entryKey(operation.database, key)))).join(",")}]`;
    default:
      throw new SimulationFailure("threw", `the naive model does not know ${operation.type}`);
  }
}

function add(entries: NaiveEntries, operation: Of<"add">): string {
  const key = entryKey(operation.database, operation.key);
  const entry = entries.get(key);
  if (typeof entry?.value === "string") return error("NOT_AN_INTEGER");
  const to = (entry?.value ?? 0n) + BigInt(operation.delta);
  if (!staysWithinBounds(entry, to)) return error("OUT_OF_BOUNDS");
  if (!fitsInt64(to)) return error("OVERFLOW");
  entries.set(key, { ...(entry ?? empty), value: to });
  return `i:${to}`;
}

/** Undefined if bounds let the value in, else the refusal. */
function refusal(entry: NaiveEntry | undefined, value: bigint | string): string | undefined {
  if (entry?.minimum === undefined && entry?.maximum === undefined) return undefined;
  if (typeof value === "string") return error("NOT_AN_INTEGER");
  return staysWithinBounds(entry, value) ? undefined : error("OUT_OF_BOUNDS");
}

function expiryAfter(entry: NaiveEntry | undefined, change: ExpiryChange, logTimeMs: number): number | undefined {
  switch (change.type) {
    case "clear":
      return undefined;
    case "keep":
      return entry?.expiresAtMs;
    case "in":
      return logTimeMs + change.ms;
    case "at":
      return change.ms;
  }
}

function set(entries: NaiveEntries, operation: Of<"set">, logTimeMs: number): string {
  const key = entryKey(operation.database, operation.key);
  const entry = entries.get(key);
  const previous = valueText(entry);
  const isPresent = entry !== undefined;
  if (operation.condition === (isPresent ? "ifAbsent" : "ifPresent"))
    return operation.returnPrevious ? previous : "nil";
  const value = naiveValue(textOf(operation.value));
  const refused = refusal(entry, value);
  if (refused !== undefined) return refused;
  entries.set(key, { ...(entry ?? empty), value, expiresAtMs: expiryAfter(entry, operation.expiry, logTimeMs) });
  return operation.returnPrevious ? previous : "ok";
}

function setMany(entries: NaiveEntries, operation: Of<"setMany">): string {
  const pairs = operation.pairs.map((pair) => ({
    key: entryKey(operation.database, pair.key),
    value: naiveValue(textOf(pair.value)),
  }));
  if (operation.ifNoneExists && pairs.some(({ key }) => entries.get(key) !== undefined)) return "i:0";
  for (const { key, value } of pairs) {
    const refused = refusal(entries.get(key), value);
    if (refused !== undefined) return refused;
  }
  for (const { key, value } of pairs) {
    entries.set(key, { ...(entries.get(key) ?? empty), value, expiresAtMs: undefined });
  }
  return operation.ifNoneExists ? "i:1" : "ok";
}

function deleteKeys(entries: NaiveEntries, operation: Of<"delete">): string {
  let existed = 0;
  for (const bytes of operation.keys) {
    const key = entryKey(operation.database, bytes);
    if (entries.get(key) === undefined) continue;
    entries.set(key, undefined);
    existed += 1;
  }
  return `i:${existed}`;
}

function getAndDelete(entries: NaiveEntries, operation: Of<"getAndDelete">): string {
  const key = entryKey(operation.database, operation.key);
  const entry = entries.get(key);
  if (entry !== undefined) entries.set(key, undefined);
  return valueText(entry);
}

function expire(entries: NaiveEntries, operation: Of<"expire">, logTimeMs: number): string {
  const key = entryKey(operation.database, operation.key);
  const entry = entries.get(key);
  if (entry === undefined) return "i:0";
  const { ifNone, ifSome, ifLater, ifEarlier } = operation.conditions;
  const now = entry.expiresAtMs ?? Number.POSITIVE_INFINITY;
  const then = operation.expiry.type === "in" ? logTimeMs + operation.expiry.ms : operation.expiry.ms;
  if (ifNone && entry.expiresAtMs !== undefined) return "i:0";
  if (ifSome && entry.expiresAtMs === undefined) return "i:0";
  if ((ifLater && then <= now) || (ifEarlier && then >= now)) return "i:0";
  entries.set(key, then <= logTimeMs ? undefined : { ...entry, expiresAtMs: then });
  return "i:1";
}

function getAndExpire(entries: NaiveEntries, operation: Of<"getAndExpire">, logTimeMs: number): string {
  const key = entryKey(operation.database, operation.key);
  const entry = entries.get(key);
  if (entry === undefined || operation.expiry.type === "keep") return valueText(entry);
  const then = expiryAfter(entry, operation.expiry, logTimeMs);
  const changes = then !== undefined || entry.expiresAtMs !== undefined;
  if (changes) entries.set(key, then !== undefined && then <= logTimeMs ? undefined : { ...entry, expiresAtMs: then });
  return valueText(entry);
}

function persist(entries: NaiveEntries, operation: Of<"persist">): string {
  const key = entryKey(operation.database, operation.key);
  const entry = entries.get(key);
  if (entry?.expiresAtMs === undefined) return "i:0";
  entries.set(key, { ...entry, expiresAtMs: undefined });
  return "i:1";
}

function bound(entries: NaiveEntries, operation: Of<"bound">): string {
  const key = entryKey(operation.database, operation.key);
  const entry = entries.get(key) ?? empty;
  if (typeof entry.value === "string") return error("NOT_AN_INTEGER");
  const end = (change: Of<"bound">["minimum"], present: bigint | undefined): bigint | undefined => {
    if (change === "keep") return present;
    return change === "clear" ? undefined : BigInt(change);
  };
  const minimum = end(operation.minimum, entry.minimum);
  const maximum = end(operation.maximum, entry.maximum);
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) return error("INVALID_ARGUMENT");
  const excluded = (minimum !== undefined && entry.value < minimum) || (maximum !== undefined && entry.value > maximum);
  if (excluded && !operation.force) return error("BOUND_EXCLUDES_VALUE");
  entries.set(key, { ...entry, minimum, maximum });
  return `[${minimum === undefined ? "nil" : `i:${minimum}`},${maximum === undefined ? "nil" : `i:${maximum}`}]`;
}

function compareAndSet(entries: NaiveEntries, operation: Of<"compareAndSet">): string {
  const key = entryKey(operation.database, operation.key);
  const entry = entries.get(key);
  const { expected } = operation;
  const matches =
    expected.type === "version"
      ? entries.version(key) === versionText(expected.version)
      : expected.type === "absent"
        ? entry === undefined
        : entry?.value === BigInt(expected.value);
  if (!matches) return `[i:0,${valueText(entry)}]`;
  const value = BigInt(operation.value);
  const refused = refusal(entry, value);
  if (refused !== undefined) return refused;
  entries.set(key, { ...(entry ?? empty), value });
  return `[i:1,i:${value}]`;
}

function flush(entries: NaiveEntries, operation: Of<"flush">): string {
  for (const key of entries.keys()) {
    if (operation.database === null || key.startsWith(`${operation.database}/`)) entries.set(key, undefined);
  }
  entries.flushed();
  return "ok";
}
