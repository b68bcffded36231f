/** One step of INCREX (integers, decimals) and INCRBYFLOAT: where a value would go, and what is answered. */
import { type Int64, int64FromBigInt, int64Max, int64Min, int64Parse } from "@quipu/core";
import {
  addDecimals,
  compareDecimals,
  type Decimal,
  type DecimalFailure,
  formatDecimal,
  parseDecimal,
  roundDecimal,
  subtractDecimals,
  zeroDecimal,
} from "./decimal.ts";
import type { WriteOperation } from "./operations.ts";
import type { OutcomeValue } from "./outcome.ts";
import { array, bytes, failure, integer, zero } from "./outcomes.ts";

type AddWithin = Extract<WriteOperation, { readonly type: "addWithin" }>;
type ByInteger = Extract<AddWithin["by"], { readonly type: "integer" }>;
type ByDecimal = Extract<AddWithin["by"], { readonly type: "decimal" }>;

/** `next` undefined: nothing changes. */
export interface Step {
  readonly next: Int64 | Uint8Array | undefined;
  readonly outcome: OutcomeValue;
}

const stay = (outcome: OutcomeValue): Step => ({ next: undefined, outcome });

export function integerStep(current: Int64 | Uint8Array, by: ByInteger, saturate: boolean): Step {
  if (typeof current === "object") return stay(failure("NOT_AN_INTEGER"));
  const lower = by.lower === null ? int64Min : BigInt(by.lower);
  const upper = by.upper === null ? int64Max : BigInt(by.upper);
  if (lower > upper) return stay(failure("INVALID_ARGUMENT"));
  let target = BigInt(current) + BigInt(by.delta);
  if (target < lower || target > upper) {
    if (!saturate) return stay(array([integer(current), zero]));
    target = target < lower ? lower : upper;
  }
  const next = int64FromBigInt(target) as Int64; // Within lower and upper, which fit.
  const applied = int64FromBigInt(target - BigInt(current));
  if (applied === undefined) return stay(failure("OVERFLOW"));
  return { next, outcome: array([integer(next), integer(applied)]) };
}

export function decimalStep(current: Int64 | Uint8Array, by: ByDecimal, saturate: boolean): Step {
  const before = decimalOf(current);
  const increment = parseDecimal(by.increment);
  const lower = by.lower === null ? null : parseDecimal(by.lower);
  const upper = by.upper === null ? null : parseDecimal(by.upper);
  const refusal = failureOf([before, increment, lower, upper]);
  if (refusal !== null) return stay(failure(refusal));
  return decimalStepOf(
    before as Decimal,
    increment as Decimal,
    lower as Decimal | null,
    upper as Decimal | null,
    saturate,
  );
}

function decimalStepOf(
  before: Decimal,
  increment: Decimal,
  lower: Decimal | null,
  upper: Decimal | null,
  saturate: boolean,
): Step {
  if (lower !== null && upper !== null && compareDecimals(lower, upper) > 0) return stay(failure("INVALID_ARGUMENT"));
  let target = addDecimals(before, increment);
  if (target === "NOT_FINITE") return stay(failure(target));
  const below = lower !== null && compareDecimals(target, lower) < 0;
  const above = upper !== null && compareDecimals(target, upper) > 0;
  if (below || above) {
    if (!saturate) return stay(array([bytes(formatDecimal(before)), bytes(formatDecimal(zeroDecimal))]));
    target = roundDecimal((below ? lower : upper) as Decimal);
  }
  const applied = subtractDecimals(target, before);
  if (applied === "NOT_FINITE") return stay(failure(applied));
  const text = formatDecimal(target);
  return { next: storedForm(text), outcome: array([bytes(text), bytes(formatDecimal(applied))]) };
}

/** INCRBYFLOAT. */
export function decimalSum(current: Int64 | Uint8Array, increment: Uint8Array): Step {
  const before = decimalOf(current);
  const by = parseDecimal(increment);
  const refusal = failureOf([before, by]);
  if (refusal !== null) return stay(failure(refusal));
  const target = addDecimals(before as Decimal, by as Decimal);
  if (target === "NOT_FINITE") return stay(failure(target));
  const text = formatDecimal(target);
  return { next: storedForm(text), outcome: bytes(text) };
}

/** What is wrong, if anything. As in Redis, a text that is no number outweighs an infinite one, wherever they stand. */
function failureOf(parsed: readonly (Decimal | DecimalFailure | null)[]): DecimalFailure | null {
  if (parsed.includes("NOT_A_FLOAT")) return "NOT_A_FLOAT";
  return parsed.includes("NOT_FINITE") ? "NOT_FINITE" : null;
}

/** A value as a decimal, whatever its form. */
function decimalOf(value: Int64 | Uint8Array): Decimal | DecimalFailure {
  return typeof value === "object" ? parseDecimal(value) : { digits: BigInt(value), scale: 0 };
}

/** The canonical decimal text of an int64 is that integer, whatever wrote it; anything else is a copy of the bytes. */
export function storedForm(value: Uint8Array): Int64 | Uint8Array {
  return int64Parse(value) ?? value.slice();
}
