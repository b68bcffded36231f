/** The seeded generator: the same numbers everywhere (promise P10), and no number likelier than another. */
import { InvariantViolation, SeededRandom } from "@quipu/core";
import { describe, expect, test } from "vitest";

const mask = 0xffff_ffffn;
const rotateLeft = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (32n - by))) & mask;

/** splitmix32 and xoshiro128** once more, in `bigint`, where no operator of JavaScript wraps by itself. */
function* reference(seed: number): Generator<number> {
  let mix = (BigInt(seed) & mask) ^ (((BigInt(seed) >> 32n) * 0x9e37_79b1n) & mask);
  const next = (): bigint => {
    mix = (mix + 0x9e37_79b9n) & mask;
    let z = mix ^ (mix >> 16n);
    z = (z * 0x21f0_aaadn) & mask;
    z ^= z >> 15n;
    z = (z * 0x735a_2d97n) & mask;
    return z ^ (z >> 15n);
  };
  let [a, b, c, d] = [next(), next(), next(), next() | 1n];
  for (;;) {
    yield Number((rotateLeft((b * 5n) & mask, 7n) * 9n) & mask);
    const shifted = (b << 9n) & mask;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotateLeft(d, 11n);
  }
}

/** Hands out the given draws, to show what `below` makes of each. */
class Scripted extends SeededRandom {
  readonly #draws: number[];
  constructor(draws: readonly number[]) {
    super(0);
    this.#draws = [...draws];
  }
  override uint32(): number {
    const draw = this.#draws.shift();
    if (draw === undefined) throw new Error("out of draws");
    return draw;
  }
}

const take = (random: SeededRandom, count: number): number[] => Array.from({ length: count }, () => random.uint32());

describe("sequence", () => {
  // Stored seeds of the simulator mean something only while these stay as they are.
  test("golden values", () => {
    expect(take(new SeededRandom(0), 4)).toMatchInlineSnapshot(`
      [
        1789933344,
        44971166,
        2521392804,
        3836935353,
      ]
    `);
    expect(take(new SeededRandom(1), 4)).toMatchInlineSnapshot(`
      [
        393288148,
        2174103013,
        3814759091,
        2092745082,
      ]
    `);
    expect(take(new SeededRandom(Number.MAX_SAFE_INTEGER), 4)).toMatchInlineSnapshot(`
      [
        219981187,
        3356140,
        4212152102,
        1362076277,
      ]
    `);
  });

  test.each([0, 1, 2 ** 32 - 1, 2 ** 32, 123_456_789_012, Number.MAX_SAFE_INTEGER])("seed %i: as published", (seed) => {
    const expected = reference(seed);
    for (const drawn of take(new SeededRandom(seed), 1_000)) expect(drawn).toBe(expected.next().value);
  });

  test("both halves of the seed count", () => {
    expect(take(new SeededRandom(7), 2)).not.toEqual(take(new SeededRandom(7 + 2 ** 32), 2));
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53])("seed %d is refused", (seed) => {
    expect(() => new SeededRandom(seed)).toThrow(InvariantViolation);
  });
});

describe("below", () => {
  // 2^32 = q·limit + r: the first q·limit draws map q to each result, the last r are drawn again.
  test.each([1, 2, 3, 6, 7, 1_000, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1])(
    "limit %i: draws past q·limit are rejected",
    (limit) => {
      const usable = 2 ** 32 - (2 ** 32 % limit);
      expect(usable % limit).toBe(0);
      expect(new Scripted([0]).below(limit)).toBe(0);
      expect(new Scripted([usable - 1]).below(limit)).toBe(limit - 1);
      if (usable < 2 ** 32) expect(new Scripted([usable, 2 ** 32 - 1, 0]).below(limit)).toBe(0);
    },
  );

  test("limit 2^32 takes every draw", () => {
    expect(new Scripted([2 ** 32 - 1]).below(2 ** 32)).toBe(2 ** 32 - 1);
  });

  test("stays in range and meets every result", () => {
    const random = new SeededRandom(5);
    const counts = new Array<number>(10).fill(0);
    for (let draw = 0; draw < 10_000; draw++) {
      const result = random.below(10);
      counts[result] = (counts[result] ?? 0) + 1;
    }
    expect(counts).toHaveLength(10);
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150); // Five standard deviations.
  });

  test.each([0, -1, 0.5, 2 ** 32 + 1, Number.NaN])("limit %d is refused", (limit) => {
    expect(() => new SeededRandom(0).below(limit)).toThrow(InvariantViolation);
  });
});

test("chance: numerator of denominator draws are true", () => {
  const outcomes = [0, 1, 2, 3].map((draw) => new Scripted([draw]).chance(3, 4));
  expect(outcomes).toEqual([true, true, true, false]);
  expect(new SeededRandom(1).chance(0, 1)).toBe(false);
  expect(new SeededRandom(1).chance(1, 1)).toBe(true);
});
