/**
 * Exact signed 64-bit integers (promise P6) without paying for `bigint` where a double is exact.
 *
 * An {@link Int64} is a `number` if and only if it is a safe integer, else a `bigint` within
 * [-2^63, 2^63 - 1]. The representation is canonical: equal values are `===`.
 */
import { invariant } from "./invariant.ts";

/** Canonical: `number` for safe integers, `bigint` beyond them. */
export type Int64 = number | bigint;

export const int64Max = 9_223_372_036_854_775_807n;
export const int64Min = -9_223_372_036_854_775_808n;

const safeMax = BigInt(Number.MAX_SAFE_INTEGER);
const safeMin = BigInt(Number.MIN_SAFE_INTEGER);

/** Canonical form of `value`, or undefined where it does not fit 64 bits. */
export function int64FromBigInt(value: bigint): Int64 | undefined {
  if (value >= safeMin && value <= safeMax) return Number(value);
  return value >= int64Min && value <= int64Max ? value : undefined;
}

/** `left + right`, or undefined on overflow (which then changes nothing, as in Redis). */
export function int64Add(left: Int64, right: Int64): Int64 | undefined {
  if (typeof left === "number" && typeof right === "number") {
    const sum = left + right;
    // Two safe integers add exactly enough to tell whether the sum is still safe.
    if (Number.isSafeInteger(sum)) return sum === 0 ? 0 : sum;
  }
  return int64FromBigInt(BigInt(left) + BigInt(right));
}

/** `-value`, or undefined for -2^63. */
export function int64Negate(value: Int64): Int64 | undefined {
  if (typeof value === "number") return value === 0 ? 0 : -value;
  return int64FromBigInt(-value);
}

/** Negative, zero or positive, as `left` is below, equal to or above `right`. */
export function int64Compare(left: Int64, right: Int64): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/**
 * Parses what Redis' string2ll accepts: an optional `-`, no `+`, no blanks, no leading zeros, within 64 bits.
 * Returns undefined for everything else. So an Int64 and its decimal text determine each other.
 */
export function int64Parse(bytes: Uint8Array, start: number = 0, end: number = bytes.length): Int64 | undefined {
  const length = end - start;
  if (length === 0 || length > 20) return undefined;
  const first = bytes[start];
  if (length === 1) return first !== undefined && first >= 48 && first <= 57 ? first - 48 : undefined;
  const negative = first === 45;
  let at = negative ? start + 1 : start;
  const lead = bytes[at];
  if (lead === undefined || lead < 49 || lead > 57) return undefined; // "-0", "007" and "-" are no integers.
  let value = 0;
  if (end - at <= 15) {
    for (; at < end; at++) {
      const digit = (bytes[at] as number) - 48;
      if (digit < 0 || digit > 9) return undefined;
      value = value * 10 + digit;
    }
    return negative ? -value : value;
  }
  let text = negative ? "-" : "";
  for (; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < 48 || byte > 57) return undefined;
    text += String.fromCharCode(byte);
  }
  return int64FromBigInt(BigInt(text));
}

/** Decimal text, as {@link int64Parse} reads it. */
export function int64Format(value: Int64): string {
  return value.toString();
}

/** Checks that a value of unknown origin is a canonical Int64; a broken one is our own bug. */
export function assertInt64(value: Int64): void {
  if (typeof value === "number") {
    invariant(Number.isSafeInteger(value) && !Object.is(value, -0), `not a canonical int64: ${value}`);
  } else {
    invariant(int64FromBigInt(value) === value, `not a canonical int64: ${value}n`);
  }
}
