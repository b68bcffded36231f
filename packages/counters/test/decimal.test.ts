/** Decimal arithmetic: as Redis answers where Redis is exact, exact elsewhere, and never expensive. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addDecimals,
  compareDecimals,
  type Decimal,
  formatDecimal,
  parseDecimal,
  subtractDecimals,
} from "../src/decimal.ts";
import { bytesOf, textOf } from "./model/arbitraries.ts";

function sum(left: string, right: string): string {
  const a = parseDecimal(bytesOf(left));
  const b = parseDecimal(bytesOf(right));
  if (typeof a === "string") return a;
  if (typeof b === "string") return b;
  const result = addDecimals(a, b);
  return typeof result === "string" ? result : textOf(formatDecimal(result));
}

function parsed(text: string): Decimal {
  const value = parseDecimal(bytesOf(text));
  if (typeof value === "string") throw new Error(`${text}: ${value}`);
  return value;
}

/** `SET k left`, `INCRBYFLOAT k right`: recorded from redis-server 7.0.15. Its two error texts stand as our codes. */
const recorded: readonly (readonly [left: string, right: string, answer: string])[] = [
  ["10.50", "0.1", "10.6"],
  ["10.6", "-5", "5.6"],
  ["5.0e3", "2.0e2", "5200"],
  ["3.0e3", "-.5", "2999.5"],
  ["0.1", "0.2", "0.3"],
  ["1", "+1", "2"],
  ["0", ".5", "0.5"],
  ["5.", "0", "5"],
  ["-0", "0", "0"],
  ["-0.0", "-0", "0"],
  ["00012", "1", "13"],
  ["1e2", "1E+2", "200"],
  ["1e0005", "0", "100000"],
  ["1.25", "-1.25", "0"],
  ["0.00000000000000001", "0.00000000000000001", "0.00000000000000002"],
  ["1e-18", "0", "0"],
  ["5e-18", "0", "0"],
  ["1.5e-17", "0", "0.00000000000000002"],
  ["2.5e-17", "0", "0.00000000000000002"],
  ["4.9e-18", "0", "0"],
  ["-4e-18", "0", "0"],
  ["0.123456789012345678", "0", "0.12345678901234568"],
  ["12345678901234567890", "0", "12345678901234567890"],
  ["9223372036854775807", "1", "9223372036854775808"],
  ["-9223372036854775808", "-1", "-9223372036854775809"],
  ["99", "0.5", "99.5"],
  ["1e18", "1", "1000000000000000001"],
  ["0e99999", "3", "3"],
  ["0.0000000000000000000001", "0", "0"],
  ["3.25", "-0.125", "3.125"],
  ["-1.5", "1", "-0.5"],
  ["7", "1e-3", "7.001"],
  ["", "1", "NOT_A_FLOAT"],
  [".", "1", "NOT_A_FLOAT"],
  [" 1", "1", "NOT_A_FLOAT"],
  ["1 ", "1", "NOT_A_FLOAT"],
  ["1e", "1", "NOT_A_FLOAT"],
  ["1e+", "1", "NOT_A_FLOAT"],
  ["e5", "1", "NOT_A_FLOAT"],
  ["-e5", "1", "NOT_A_FLOAT"],
  ["--1", "1", "NOT_A_FLOAT"],
  ["+-1", "1", "NOT_A_FLOAT"],
  ["1_0", "1", "NOT_A_FLOAT"],
  ["1d", "1", "NOT_A_FLOAT"],
  ["abc", "1", "NOT_A_FLOAT"],
  ["nan", "1", "NOT_A_FLOAT"],
  ["1e4933", "1", "NOT_A_FLOAT"],
  ["1e-5000", "1", "NOT_A_FLOAT"],
  ["1", "1e", "NOT_A_FLOAT"],
  ["1.2.3", "0", "NOT_A_FLOAT"],
  ["inf", "1", "NOT_FINITE"],
  ["1", "-inf", "NOT_FINITE"],
  ["infinity", "1", "NOT_FINITE"],
  ["-INFINITY", "1", "NOT_FINITE"],
  ["Inf", "0", "NOT_FINITE"],
];

test.each(recorded)("as Redis: %j + %j = %s", (left, right, answer) => {
  expect(sum(left, right)).toBe(answer);
});

describe("where we differ from Redis on purpose", () => {
  test("no artefacts of binary fractions (Redis: 7541.60000000000000009)", () => {
    expect(sum("84.9", "+7456.7")).toBe("7541.6");
  });
  test("large numbers are exact (Redis: 1000000000000000000024696061952)", () => {
    expect(sum("1e30", "1")).toBe(`1${"0".repeat(29)}1`);
  });
  test("hexadecimal is refused (Redis: 16)", () => {
    expect(sum("0x10", "0")).toBe("NOT_A_FLOAT");
  });
});

describe("range", () => {
  test("the largest number is accepted, its successor by magnitude is not", () => {
    const largest = "9".repeat(4932);
    expect(sum(largest, "0")).toBe(largest);
    expect(sum(largest, "1")).toBe("NOT_FINITE");
    expect(sum(`-${largest}`, "-1")).toBe("NOT_FINITE");
    expect(sum(largest, "0.1")).toBe(`${largest}.1`);
    expect(sum(`${largest}0`, "0")).toBe("NOT_A_FLOAT");
  });

  test("every sum can be read again", () => {
    const largest = `${"9".repeat(4932)}.12345678901234567`;
    expect(sum(sum(largest, "0"), "0")).toBe(largest);
  });

  test("a hostile exponent or length costs nothing", () => {
    for (const text of [
      "1e999999999999",
      "1e-999999999999",
      `1e${"9".repeat(5000)}`,
      "1".repeat(5120),
      `0.${"0".repeat(5000)}1`,
    ]) {
      expect(parseDecimal(bytesOf(text)), text.slice(0, 20)).toBe("NOT_A_FLOAT");
    }
    expect(parseDecimal(new Uint8Array(1024 * 1024).fill(49))).toBe("NOT_A_FLOAT");
    expect(sum("0e999999999999", "1")).toBe("1");
  });
});

const decimalText = fc
  .tuple(
    fc.constantFrom("", "-", "+"),
    fc.bigInt({ min: 0n, max: 10n ** 25n }),
    fc.nat(30),
    fc.integer({ min: -30, max: 30 }),
  )
  .map(([sign, digits, point, exponent]) => {
    const text = digits.toString().padStart(point + 1, "0");
    return `${sign}${text.slice(0, text.length - point)}.${text.slice(text.length - point)}e${exponent}`;
  });

test("sums: commute, round once to the nearest 17 digits, format canonically", () => {
  fc.assert(
    fc.property(decimalText, decimalText, (left, right) => {
      const answer = sum(left, right);
      expect(sum(right, left)).toBe(answer);
      expect(answer).toMatch(/^(0|-?(0|[1-9][0-9]*)(\.[0-9]{0,16}[1-9])?)$/);
      expect(answer).not.toBe("-0");
      // |answer - (left + right)| <= half of the last digit kept, computed over one common denominator.
      const scale = 100;
      const at = (value: Decimal): bigint => value.digits * 10n ** BigInt(scale - value.scale);
      const error = at(parsed(answer)) - at(parsed(left)) - at(parsed(right));
      expect((error < 0n ? -error : error) * 2n <= 10n ** BigInt(scale - 17)).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("comparison and subtraction agree", () => {
  fc.assert(
    fc.property(decimalText, decimalText, (left, right) => {
      const order = compareDecimals(parsed(left), parsed(right));
      expect(compareDecimals(parsed(right), parsed(left))).toBe(-order === 0 ? 0 : -order);
      const difference = subtractDecimals(parsed(left), parsed(right));
      if (typeof difference === "string") throw new Error("out of range");
      // Rounding may make a difference vanish, never turn it round.
      if (difference.digits !== 0n) expect(difference.digits > 0n ? 1 : -1).toBe(order);
    }),
  );
});

test("noise is refused or read, never thrown at", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."0123456789+-.eE infa x") }), (text) => {
      const value = parseDecimal(bytesOf(text));
      if (typeof value === "string") return;
      expect(Number(text)).not.toBeNaN();
      expect(textOf(formatDecimal(value))).toBe(sum(text, "0"));
    }),
    { numRuns: 2000 },
  );
});
