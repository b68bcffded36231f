/** Runs in closed form against adds one by one, in BigInt, near every edge there is. */
import { assertInt64, type Int64, int64FromBigInt } from "@quipu/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { admittedOf, afterSteps, refusalOf } from "../src/fold.ts";

const edges = [0n, 1n << 31n, 1n << 53n, 1n << 62n, (1n << 63n) - 1n];

/** An int64 near zero, ±2^31, ±2^53, ±2^62 or ±2^63. */
const int64 = fc
  .tuple(fc.constantFrom(...edges), fc.boolean(), fc.integer({ min: -40, max: 40 }))
  .map(([edge, negative, off]): Int64 => {
    const value = (negative ? -edge : edge) + BigInt(off);
    return int64FromBigInt(value) ?? int64FromBigInt(value - BigInt(off)) ?? 0;
  });
const small = fc.integer({ min: -60, max: 60 });
const value = fc.oneof(small, int64);
const delta = fc.oneof(fc.integer({ min: -7, max: 7 }), int64);
const bound = fc.option(fc.oneof(small, int64), { nil: null });

interface OneByOne {
  admitted: number;
  value: bigint;
  refusal: string | undefined;
}

function oneByOne(start: Int64, step: Int64, count: number, minimum: Int64 | null, maximum: Int64 | null): OneByOne {
  let current = BigInt(start);
  for (let admitted = 0; admitted < count; admitted++) {
    const next = current + BigInt(step);
    if (maximum !== null && next > BigInt(maximum) && next > current)
      return { admitted, value: current, refusal: "OUT_OF_BOUNDS" };
    if (minimum !== null && next < BigInt(minimum) && next < current)
      return { admitted, value: current, refusal: "OUT_OF_BOUNDS" };
    if (int64FromBigInt(next) === undefined) return { admitted, value: current, refusal: "OVERFLOW" };
    current = next;
  }
  return { admitted: count, value: current, refusal: undefined };
}

test("a run admits what one by one would, ends at the same value, refuses for the same reason", () => {
  fc.assert(
    fc.property(value, delta, fc.integer({ min: 1, max: 50 }), bound, bound, (start, step, count, minimum, maximum) => {
      const expected = oneByOne(start, step, count, minimum, maximum);
      const admitted = admittedOf(start, step, count, minimum, maximum);
      expect(admitted).toBe(expected.admitted);
      const after = afterSteps(start, step, admitted);
      assertInt64(after);
      expect(BigInt(after)).toBe(expected.value);
      if (expected.refusal !== undefined) expect(refusalOf(step, minimum, maximum)).toBe(expected.refusal);
    }),
    { numRuns: 20_000 },
  );
});

test("runs of 2^32 - 1 steps are exact", () => {
  const count = 2 ** 32 - 1;
  expect(admittedOf(0, 1, count, null, 4_000_000_000)).toBe(4_000_000_000);
  expect(admittedOf(0, 3_000_001, count, null, Number.MAX_SAFE_INTEGER)).toBe(Number((2n ** 53n - 1n) / 3_000_001n));
  expect(admittedOf(9_223_372_036_854_775_800n, 1, count, null, null)).toBe(7);
  expect(afterSteps(0, 2 ** 31, count)).toBe(2n ** 31n * BigInt(count));
});
