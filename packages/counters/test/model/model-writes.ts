/** What each write does to the model, one function per operation: the semantics in its plainest form. */
import { int64Max, int64Min, unreachable } from "@quipu/core";
import {
  addDecimals,
  compareDecimals,
  type Decimal,
  formatDecimal,
  parseDecimal,
  subtractDecimals,
  zeroDecimal,
} from "../../src/decimal.ts";
import type { ExpiryChange, WriteOperation } from "../../src/operations.ts";
import { textOf } from "./arbitraries.ts";
import {
  array,
  type Counter,
  error,
  type Expected,
  fits,
  integer,
  latin1,
  type ModelState,
  nil,
  ok,
  refusal,
  text,
  type Value,
  valueOf,
  valueReply,
} from "./model-state.ts";

type Variant<Type extends WriteOperation["type"]> = Extract<WriteOperation, { readonly type: Type }>;

export function applyWrite(state: ModelState, operation: WriteOperation): Expected {
  switch (operation.type) {
    case "add":
      return add(state, operation);
    case "addDecimal":
      return addDecimal(state, operation);
    case "addWithin":
      return operation.by.type === "integer"
        ? addWithinInteger(state, operation, operation.by)
        : addWithinDecimal(state, operation, operation.by);
    case "set":
      return set(state, operation);
    case "setMany":
      return setMany(state, operation);
    case "getAndDelete": {
      const { database, key } = operation;
      const found = state.get(database, textOf(key));
      state.remove(database, textOf(key));
      return found === undefined ? nil : valueReply(found.value);
    }
    case "getAndExpire":
      return getAndExpire(state, operation);
    case "delete": {
      const keys = operation.keys.map(textOf);
      return integer(keys.filter((key) => state.remove(operation.database, key)).length);
    }
    case "expire":
      return expire(state, operation);
    case "persist": {
      const found = state.get(operation.database, textOf(operation.key));
      if (found?.expiresAtMs === undefined) return integer(0);
      state.change(found.database, found.key, { ...found, expiresAtMs: undefined });
      return integer(1);
    }
    case "bound":
      return bound(state, operation);
    case "compareAndSet":
      return compareAndSet(state, operation);
    case "flush":
      state.removeAll(operation.database);
      return ok;
    default:
      return unreachable(operation);
  }
}

/** When a counter expires after a change. */
function expiryAfter(state: ModelState, change: ExpiryChange, old: Counter | undefined): number | undefined {
  switch (change.type) {
    case "clear":
      return undefined;
    case "keep":
      return old?.expiresAtMs;
    case "in":
      return state.logTimeMs + change.ms;
    case "at":
      return change.ms;
    default:
      return unreachable(change);
  }
}

function add(state: ModelState, { database, key, delta }: Variant<"add">): Expected {
  const name = textOf(key);
  const old = state.get(database, name);
  const value = old?.value ?? 0n;
  if (typeof value === "string") return error("NOT_AN_INTEGER");
  const next = value + BigInt(delta);
  const refused = refusal(old, next); // Bounds speak before overflow.
  if (refused !== undefined) return error(refused);
  if (!fits(next)) return error("OVERFLOW");
  state.put(database, name, next, old?.expiresAtMs);
  return integer(next);
}

const decimalOf = (value: Value): ReturnType<typeof parseDecimal> => parseDecimal(latin1(value.toString()));

/** Parses several; a text that is no number at all outweighs one that is infinite. */
function decimals(...texts: (Decimal | string)[]): Decimal[] | "NOT_A_FLOAT" | "NOT_FINITE" {
  if (texts.includes("NOT_A_FLOAT")) return "NOT_A_FLOAT";
  if (texts.includes("NOT_FINITE")) return "NOT_FINITE";
  return texts as Decimal[];
}

function addDecimal(state: ModelState, { database, key, increment }: Variant<"addDecimal">): Expected {
  const name = textOf(key);
  const old = state.get(database, name);
  const parsed = decimals(decimalOf(old?.value ?? 0n), parseDecimal(increment));
  if (typeof parsed === "string") return error(parsed);
  const sum = addDecimals(parsed[0] as Decimal, parsed[1] as Decimal);
  if (typeof sum === "string") return error(sum);
  const next = valueOf(formatDecimal(sum));
  const refused = refusal(old, next);
  if (refused !== undefined) return error(refused);
  state.put(database, name, next, old?.expiresAtMs);
  return text(next.toString());
}

/** The end of INCREX, both kinds: the new value is settled, unless the counter's own bounds refuse it. */
function finishAddWithin(state: ModelState, operation: Variant<"addWithin">, next: Value, reply: Expected): Expected {
  const name = textOf(operation.key);
  const old = state.get(operation.database, name);
  const refused = refusal(old, next);
  if (refused !== undefined) return error(refused);
  const leaveExpiry = operation.expiryOnlyIfNone && old?.expiresAtMs !== undefined;
  const change: ExpiryChange = leaveExpiry ? { type: "keep" } : operation.expiry;
  state.put(operation.database, name, next, expiryAfter(state, change, old));
  return reply;
}

function addWithinInteger(
  state: ModelState,
  operation: Variant<"addWithin">,
  by: Extract<Variant<"addWithin">["by"], { readonly type: "integer" }>,
): Expected {
  const old = state.get(operation.database, textOf(operation.key))?.value ?? 0n;
  if (typeof old === "string") return error("NOT_AN_INTEGER");
  const lower = by.lower === null ? int64Min : BigInt(by.lower);
  const upper = by.upper === null ? int64Max : BigInt(by.upper);
  let next = old + BigInt(by.delta);
  if (next < lower || next > upper) {
    if (!operation.saturate) return array(integer(old), integer(0));
    next = next > upper ? upper : lower;
  }
  if (!fits(next - old)) return error("OVERFLOW");
  return finishAddWithin(state, operation, next, array(integer(next), integer(next - old)));
}

function addWithinDecimal(
  state: ModelState,
  operation: Variant<"addWithin">,
  by: Extract<Variant<"addWithin">["by"], { readonly type: "decimal" }>,
): Expected {
  const old = state.get(operation.database, textOf(operation.key))?.value ?? 0n;
  const parsed = decimals(
    decimalOf(old),
    parseDecimal(by.increment),
    by.lower === null ? zeroDecimal : parseDecimal(by.lower),
    by.upper === null ? zeroDecimal : parseDecimal(by.upper),
  );
  if (typeof parsed === "string") return error(parsed);
  const [before, increment, lower, upper] = parsed as [Decimal, Decimal, Decimal, Decimal];
  const sum = addDecimals(before, increment);
  if (typeof sum === "string") return error(sum);
  let next = sum;
  const above = by.upper !== null && compareDecimals(sum, upper) > 0;
  const below = by.lower !== null && compareDecimals(sum, lower) < 0;
  if (above || below) {
    if (!operation.saturate) return array(text(textOf(formatDecimal(before))), text("0"));
    next = above ? upper : lower;
  }
  const applied = subtractDecimals(next, before);
  if (typeof applied === "string") return error(applied);
  const reply = array(text(textOf(formatDecimal(next))), text(textOf(formatDecimal(applied))));
  return finishAddWithin(state, operation, valueOf(formatDecimal(next)), reply);
}

function set(state: ModelState, operation: Variant<"set">): Expected {
  const name = textOf(operation.key);
  const old = state.get(operation.database, name);
  const previous = old === undefined ? nil : valueReply(old.value);
  const wanted = { always: true, ifAbsent: old === undefined, ifPresent: old !== undefined }[operation.condition];
  if (!wanted) return operation.returnPrevious ? previous : nil;
  const value = valueOf(operation.value);
  const refused = refusal(old, value);
  if (refused !== undefined) return error(refused);
  state.put(operation.database, name, value, expiryAfter(state, operation.expiry, old));
  return operation.returnPrevious ? previous : ok;
}

function setMany(state: ModelState, { database, pairs, ifNoneExists }: Variant<"setMany">): Expected {
  if (ifNoneExists && pairs.some(({ key }) => state.get(database, textOf(key)) !== undefined)) return integer(0);
  // One step from the values before: where a key comes twice, its last value counts, but no value may be refused.
  for (const { key, value } of pairs) {
    const refused = refusal(state.get(database, textOf(key)), valueOf(value));
    if (refused !== undefined) return error(refused);
  }
  for (const { key, value } of pairs) state.put(database, textOf(key), valueOf(value), undefined);
  return ifNoneExists ? integer(1) : ok;
}

function getAndExpire(state: ModelState, { database, key, expiry }: Variant<"getAndExpire">): Expected {
  const found = state.get(database, textOf(key));
  if (found === undefined) return nil;
  const changes = expiry.type === "clear" ? found.expiresAtMs !== undefined : expiry.type !== "keep";
  if (changes) state.change(database, found.key, { ...found, expiresAtMs: expiryAfter(state, expiry, found) });
  return valueReply(found.value);
}

function expire(state: ModelState, { database, key, expiry, conditions }: Variant<"expire">): Expected {
  const found = state.get(database, textOf(key));
  if (found === undefined) return integer(0);
  const old = found.expiresAtMs;
  const next = expiryAfter(state, expiry, found) as number;
  const refused =
    (conditions.ifNone && old !== undefined) ||
    (conditions.ifSome && old === undefined) ||
    (conditions.ifLater && (old === undefined || next <= old)) ||
    (conditions.ifEarlier && old !== undefined && next >= old);
  if (refused) return integer(0);
  state.change(database, found.key, { ...found, expiresAtMs: next });
  return integer(1);
}

function bound(state: ModelState, operation: Variant<"bound">): Expected {
  const name = textOf(operation.key);
  const old = state.get(operation.database, name);
  const value = old?.value ?? 0n;
  const end = (change: Variant<"bound">["minimum"], now: bigint | undefined): bigint | undefined =>
    change === "keep" ? now : change === "clear" ? undefined : BigInt(change);
  const minimum = end(operation.minimum, old?.minimum);
  const maximum = end(operation.maximum, old?.maximum);
  if (typeof value === "string") return error("NOT_AN_INTEGER");
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) return error("INVALID_ARGUMENT");
  const excluded = (minimum !== undefined && value < minimum) || (maximum !== undefined && value > maximum);
  const nothingAsked = operation.minimum === "keep" && operation.maximum === "keep";
  if (excluded && !operation.force && !nothingAsked) return error("BOUND_EXCLUDES_VALUE");
  const nothingToBound = old === undefined && minimum === undefined && maximum === undefined;
  if (!nothingAsked && !nothingToBound) {
    state.change(operation.database, name, { value, minimum, maximum, expiresAtMs: old?.expiresAtMs });
  }
  const reply = (at: bigint | undefined): Expected => (at === undefined ? nil : integer(at));
  return array(reply(minimum), reply(maximum));
}

function compareAndSet(state: ModelState, operation: Variant<"compareAndSet">): Expected {
  const name = textOf(operation.key);
  const old = state.get(operation.database, name);
  const expected = operation.expected;
  const met =
    expected.type === "absent"
      ? old === undefined
      : expected.type === "value"
        ? old?.value === BigInt(expected.value)
        : state.version(operation.database, name) === `${expected.version.lsn}-${expected.version.index}`;
  if (!met) return array(integer(0), old === undefined ? nil : valueReply(old.value));
  const value = BigInt(operation.value);
  const refused = refusal(old, value);
  if (refused !== undefined) return error(refused);
  state.put(operation.database, name, value, old?.expiresAtMs);
  return array(integer(1), integer(value));
}
