/**
 * Runs in closed form: how many of `count` equal adds go through, as if they were made one by one.
 *
 * For a step v -> v' (promise P5): v' above the maximum is refused unless v' <= v, v' below the minimum unless
 * v' >= v, so out of a range that was forced around a value only moves towards it pass. All steps of a run go in one
 * direction, so only the bound in that direction counts, and the first refusal refuses the rest.
 */
import { type ErrorCode, type Int64, int64Add, int64FromBigInt, int64Max, int64Min, invariant } from "@quipu/core";

/** How many of `count` adds of `delta` to `value` are admitted; null: unbounded on that side but for 64 bits. */
export function admittedOf(
  value: Int64,
  delta: Int64,
  count: number,
  minimum: Int64 | null,
  maximum: Int64 | null,
): number {
  const bound = delta > 0 ? maximum : minimum;
  if (typeof value === "number" && typeof delta === "number") {
    if (delta === 0) return count;
    const way = delta * count;
    const target = value + way;
    // Safe integers: both results are exact, so comparing them is too.
    if (Number.isSafeInteger(way) && Number.isSafeInteger(target)) {
      if (bound === null || (delta > 0 ? target <= bound : target >= bound)) return count;
      if (typeof bound === "number") {
        const room = bound - value;
        if (Number.isSafeInteger(room)) {
          if (delta > 0 ? room <= 0 : room >= 0) return 0;
          // `%` is exact, and so is the division of a multiple. 0 / -1 is -0: adding 0 makes it 0.
          return Math.min(count, (room - (room % delta)) / delta) + 0;
        }
      }
    }
  }
  return admittedOfBig(BigInt(value), BigInt(delta), count, bound);
}

function admittedOfBig(value: bigint, delta: bigint, count: number, bound: Int64 | null): number {
  if (delta === 0n) return count;
  const limit = bound === null ? (delta > 0n ? int64Max : int64Min) : BigInt(bound);
  const room = limit - value;
  if (delta > 0n ? room <= 0n : room >= 0n) return 0;
  const fitting = room / delta; // Same signs: BigInt division rounds down here.
  return fitting >= BigInt(count) ? count : Number(fitting);
}

/** Why an add of `delta` that was not admitted is refused. Where there is a bound, it is met before 64 bits are. */
export function refusalOf(delta: Int64, minimum: Int64 | null, maximum: Int64 | null): ErrorCode {
  return (delta > 0 ? maximum : minimum) === null ? "OVERFLOW" : "OUT_OF_BOUNDS";
}

/** `value + delta * steps`, which is known to fit. */
export function afterSteps(value: Int64, delta: Int64, steps: number): Int64 {
  if (typeof value === "number" && typeof delta === "number") {
    const way = delta * steps;
    if (Number.isSafeInteger(way)) {
      const sum = int64Add(value, way === 0 ? 0 : way);
      if (sum !== undefined) return sum;
    }
  }
  const sum = int64FromBigInt(BigInt(value) + BigInt(delta) * BigInt(steps));
  invariant(sum !== undefined, `admitted past 64 bits: ${value} + ${delta} * ${steps}`);
  return sum;
}
