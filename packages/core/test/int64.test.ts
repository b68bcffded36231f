/** Int64 against `bigint` arithmetic as the model (promise P6): exact, canonical, never past 64 bits. */
import {
  assertInt64,
  type Int64,
  int64Add,
  int64Compare,
  int64Format,
  int64FromBigInt,
  int64Max,
  int64Min,
  int64Negate,
  int64Parse,
  InvariantViolation,
} from "@quipu/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const runs = { seed: 64, numRuns: 3_000 } as const;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (text: string): Int64 | undefined => int64Parse(encode(text));

const safeMax = BigInt(Number.MAX_SAFE_INTEGER);
/** Where representations change and sums overflow: every value within two of these. */
const edges = [0n, safeMax, -safeMax, int64Max, int64Min, 10n ** 15n, -(10n ** 15n), 10n ** 18n, 2n ** 32n].flatMap(
  (edge) => [-2n, -1n, 0n, 1n, 2n].map((offset) => edge + offset),
);
const fits = (value: bigint): boolean => value >= int64Min && value <= int64Max;
const int64Value = fc.oneof(
  fc.constantFrom(...edges.filter(fits)),
  fc.bigInt({ min: int64Min, max: int64Max }),
  fc.bigInt({ min: -1_000n, max: 1_000n }),
);

function canonical(value: bigint): Int64 {
  const result = int64FromBigInt(value);
  if (result === undefined) throw new Error(`${value} does not fit`);
  return result;
}

/** What the operation must give: the exact result in canonical form, or undefined past 64 bits. */
function model(exact: bigint): Int64 | undefined {
  if (!fits(exact)) return undefined;
  return exact >= -safeMax && exact <= safeMax ? Number(exact) : exact;
}

describe("arithmetic", () => {
  test("from bigint: a number exactly for safe integers, undefined past 64 bits", () => {
    for (const edge of edges) expect(int64FromBigInt(edge)).toBe(model(edge));
    expect(int64FromBigInt(int64Max + 1n)).toBeUndefined();
    expect(int64FromBigInt(int64Min - 1n)).toBeUndefined();
  });

  test("add", () => {
    fc.assert(
      fc.property(int64Value, int64Value, (left, right) => {
        const sum = int64Add(canonical(left), canonical(right));
        expect(sum).toBe(model(left + right)); // toBe tells 0 from -0.
        if (sum !== undefined) assertInt64(sum);
      }),
      runs,
    );
  });

  test("add, every pair of edges", () => {
    const values = edges.filter(fits);
    for (const left of values) {
      for (const right of values) {
        expect(int64Add(canonical(left), canonical(right)), `${left} + ${right}`).toBe(model(left + right));
      }
    }
  });

  test("negate", () => {
    expect(int64Negate(canonical(int64Min))).toBeUndefined();
    fc.assert(
      fc.property(int64Value, (value) => {
        expect(int64Negate(canonical(value))).toBe(model(-value));
      }),
      runs,
    );
  });

  test("compare", () => {
    fc.assert(
      fc.property(int64Value, int64Value, (left, right) => {
        const expected = left < right ? -1 : left > right ? 1 : 0;
        expect(int64Compare(canonical(left), canonical(right))).toBe(expected);
      }),
      runs,
    );
  });
});

describe("text", () => {
  test("parse and format are inverse", () => {
    fc.assert(
      fc.property(int64Value, (value) => {
        expect(int64Format(canonical(value))).toBe(value.toString());
        expect(parse(value.toString())).toBe(canonical(value));
      }),
      runs,
    );
  });

  test.each(["", "-", "+1", " 1", "1 ", "01", "-0", "-01", "00", "1.0", "1e3", "0x1", "--1", "1-", "١", "1\0", "\n1"])(
    "%j is no integer",
    (text) => {
      expect(parse(text)).toBeUndefined();
    },
  );

  test.each([
    ["9223372036854775808", "one past the largest"],
    ["-9223372036854775809", "one past the smallest"],
    ["99999999999999999999", "20 digits"],
    ["100000000000000000000", "21 characters"],
    ["-9999999999999999999", "20 characters"],
  ])("%s does not fit: %s", (text) => {
    expect(parse(text)).toBeUndefined();
  });

  test("on any short text, accepts exactly canonical decimal numbers", () => {
    const character = fc.constantFrom(..."0123456789-+ .e/:".split(""));
    fc.assert(
      fc.property(fc.string({ unit: character, maxLength: 21 }), (text) => {
        const valid = /^(0|-?[1-9][0-9]*)$/.test(text);
        expect(parse(text)).toBe(valid ? model(BigInt(text)) : undefined);
      }),
      runs,
    );
  });

  test("a number inside a larger buffer", () => {
    expect(int64Parse(encode("x-12y"), 1, 4)).toBe(-12);
    expect(int64Parse(encode("123"), 1, 2)).toBe(2);
    expect(int64Parse(encode("123"), 1, 1)).toBeUndefined();
    expect(int64Parse(encode("99-9223372036854775808"), 2)).toBe(int64Min);
  });
});

test("assertInt64 takes the canonical form only", () => {
  for (const edge of edges.filter(fits)) assertInt64(canonical(edge));
  for (const bad of [0.5, Number.NaN, Number.POSITIVE_INFINITY, -0, 2 ** 53, 0n, 1n, safeMax, int64Max + 1n]) {
    expect(() => assertInt64(bad), String(bad)).toThrow(InvariantViolation);
  }
});
