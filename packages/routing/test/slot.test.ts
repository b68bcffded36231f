/** Hash slots agree with Redis Cluster: check values of the specification, its hash-tag examples, a naive model. */
import { InvariantViolation } from "@quipu/core";
import { crc16, keySlot, slot, slotCount } from "@quipu/routing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const slotOf = (text: string): number => keySlot(bytes(text));

/** Bit by bit, without a table: what the polynomial says. */
function crc16BitByBit(input: Uint8Array): number {
  let crc = 0;
  for (const byte of input) {
    for (let bit = 7; bit >= 0; bit--) {
      const carry = ((crc >>> 15) & 1) ^ ((byte >>> bit) & 1);
      crc = (crc << 1) & 0xffff;
      if (carry === 1) crc ^= 0x1021;
    }
  }
  return crc;
}

/** The hash-tag rule as a regular expression over one char per byte. */
function hashedPart(key: Uint8Array): Uint8Array {
  const text = String.fromCharCode(...key);
  const tag = /^[^{]*\{([^}]+)\}/s.exec(text)?.[1];
  return tag === undefined ? key : Uint8Array.from(tag, (char) => char.charCodeAt(0));
}

describe("crc16", () => {
  test("check value of CRC-16/XMODEM", () => {
    expect(crc16(bytes("123456789"))).toBe(0x31c3);
    expect(crc16(bytes(""))).toBe(0);
  });

  test("equals the division bit by bit, on any range of any buffer", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(64), fc.nat(64), (input, from, length) => {
        const start = Math.min(from, input.length);
        const end = Math.min(start + length, input.length);
        expect(crc16(input, start, end)).toBe(crc16BitByBit(input.subarray(start, end)));
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});

describe("keySlot", () => {
  test.each([
    ["123456789", 0x31c3],
    ["foo", 12_182],
    ["bar", 5_061],
    ["", 0],
    ["hello", 866],
  ])("%j is in slot %i", (key, expected) => {
    expect(slotOf(key)).toBe(expected);
  });

  test.each([
    ["{user1000}.following", "user1000"],
    ["{user1000}.followers", "user1000"],
    ["foo{bar}{zap}", "bar"], // The first tag counts.
    ["foo{{bar}}zap", "{bar"], // From the first `{` to the first `}` after it.
    ["{bar", "{bar"],
    ["}{bar}", "bar"], // A `}` before the `{` closes nothing.
  ])("%j hashes as %j", (key, hashed) => {
    expect(slotOf(key)).toBe(crc16(bytes(hashed)) % slotCount);
  });

  test.each(["foo{}{bar}", "{}", "{}bar", "foo{bar", "foo}bar{", "{", "}", "}{"])("%j counts whole", (key) => {
    expect(slotOf(key)).toBe(crc16(bytes(key)) % slotCount);
  });

  test("a key inside a larger buffer: braces outside its range do not count", () => {
    const buffer = bytes("{a}foo{b}");
    expect(keySlot(buffer, 3, 6)).toBe(12_182);
    expect(keySlot(buffer, 1, 6)).toBe(crc16(bytes("a}foo")) % slotCount);
    expect(keySlot(buffer, 3, 8)).toBe(crc16(bytes("foo{b")) % slotCount);
  });

  test("equals the naive rule on keys full of braces", () => {
    const byte = fc.oneof(fc.constantFrom(0x7b, 0x7d, 0x61), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 12 }), (input) => {
        const key = Uint8Array.from(input);
        expect(keySlot(key)).toBe(crc16BitByBit(hashedPart(key)) % slotCount);
      }),
      { seed: 1, numRuns: 2_000 },
    );
  });

  test("reaches every slot", () => {
    const seen = new Set<number>();
    for (let number = 0; number < 200_000 && seen.size < slotCount; number++) seen.add(slotOf(`k${number}`));
    expect(seen.size).toBe(slotCount);
  });
});

test("slot() takes 0 to 16383 and nothing else", () => {
  expect(slot(0)).toBe(0);
  expect(slot(16_383)).toBe(16_383);
  for (const bad of [-1, 16_384, 0.5, Number.NaN]) expect(() => slot(bad)).toThrow(InvariantViolation);
});
