/**
 * The fields of commands for fast-check: `wildFields` are all that the codec can carry, `tameFields` are few keys,
 * databases and values, so that commands meet each other, and what a front door lets through.
 */
import { type Int64, int64FromBigInt, int64Max, int64Min, lsn } from "@quipu/core";
import fc from "fast-check";
import type { Position } from "../../src/operations.ts";

// The same examples every time, so that a failure is never somebody else's: new ones are for QUIPU_PROPERTY_RUNS.
if (process.env["QUIPU_PROPERTY_RUNS"] === undefined) fc.configureGlobal({ seed: 20_261_123 });

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array): string => new TextDecoder("latin1").decode(bytes);

const canonical = (value: bigint): Int64 => int64FromBigInt(value) as Int64;

/** How the fields are drawn. */
export interface Fields {
  readonly database: fc.Arbitrary<number>;
  readonly key: fc.Arbitrary<Uint8Array>;
  readonly value: fc.Arbitrary<Uint8Array>;
  readonly int64: fc.Arbitrary<Int64>;
  readonly timeMs: fc.Arbitrary<number>;
  readonly setTimeMs: fc.Arbitrary<number>;
  readonly decimal: fc.Arbitrary<Uint8Array>;
  readonly version: fc.Arbitrary<Position>;
  readonly pattern: fc.Arbitrary<Uint8Array>;
  readonly count: fc.Arbitrary<number>;
  readonly cursor: fc.Arbitrary<number>;
}

export const anyInt64: fc.Arbitrary<Int64> = fc.oneof(
  fc.integer({ min: -300, max: 300 }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: int64Min, max: int64Max }).map(canonical),
  fc
    .constantFrom(int64Min, int64Max, 2n ** 53n, -(2n ** 53n), 2n ** 31n, -(2n ** 31n), 2n ** 31n - 1n, 2n ** 53n - 1n)
    .map(canonical),
);
export const anyBytes = fc.uint8Array({ maxLength: 40 });
export const anyCount = fc.maxSafeNat();
const anyVersion: fc.Arbitrary<Position> = fc.record({ lsn: anyCount.map(lsn), index: anyCount });

export const wildFields: Fields = {
  database: fc.integer({ min: 0, max: 15 }),
  key: anyBytes,
  value: anyBytes,
  int64: anyInt64,
  timeMs: fc.maxSafeInteger(),
  setTimeMs: fc.maxSafeInteger(),
  decimal: anyBytes,
  version: anyVersion,
  pattern: anyBytes,
  count: anyCount,
  cursor: anyCount,
};

/** Log time in the tests begins here; expiries are drawn around it. */
export const epochMs = 1_000_000;

/** Mostly small, so that bounds are met; sometimes at an end of the 64 bits. */
export const tameInt64: fc.Arbitrary<Int64> = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: -6, max: 6 }) },
  { weight: 1, arbitrary: fc.integer({ min: -300, max: 300 }) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(int64Min, int64Max, int64Max - 3n, int64Min + 3n, 2n ** 53n - 1n, -(2n ** 53n), 2n ** 62n)
      .map(canonical),
  },
);

/** `{a}` makes a hash tag: c and d share a slot, as do the entries of once commands over them. */
export const keyNames: readonly string[] = ["a", "b", "{a}c", "{a}d", "e"];

export const tameFields: Fields = {
  database: fc.constantFrom(0, 0, 0, 0, 0, 3),
  key: fc.constantFrom("a", "a", "a", ...keyNames).map(bytesOf),
  value: fc.oneof(
    { weight: 6, arbitrary: tameInt64.map((value) => bytesOf(value.toString())) },
    { weight: 2, arbitrary: fc.constantFrom("", "x", "1.5", "-0", "007", "9223372036854775808", "inf").map(bytesOf) },
  ),
  int64: tameInt64,
  timeMs: fc.oneof(fc.integer({ min: -5, max: 60 }), fc.integer({ min: 1, max: 3000 }), fc.constantFrom(9e15, -9e15)),
  setTimeMs: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 3000 })),
  decimal: fc
    .constantFrom("1", "-1", "0.5", "-2.25", "1e3", "3.0", "x", "1e-17", "0", "9223372036854775807", "1e400", "inf")
    .map(bytesOf),
  version: fc.record({
    lsn: fc.integer({ min: 0, max: 12 }).map((value) => lsn(value)),
    index: fc.integer({ min: 0, max: 3 }),
  }),
  pattern: fc.constantFrom("*", "a", "?", "{a}*", "[b-e]", "x*").map(bytesOf),
  count: fc.integer({ min: 1, max: 20 }),
  cursor: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 16_383 })),
};
