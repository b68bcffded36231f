/** Seeded randomness. Nothing in the pure packages draws chance from anywhere else. */
import { invariant } from "./invariant.ts";

/** A source of chance, injected. Ratios instead of floats, so that a seed means the same everywhere. */
export interface Random {
  /** A uniform unsigned 32-bit integer. */
  uint32(): number;
  /** A uniform integer in [0, limit); limit in 1..2^32. */
  below(limit: number): number;
  /** True with probability numerator/denominator. */
  chance(numerator: number, denominator: number): boolean;
}

/**
 * xoshiro128** (Blackman and Vigna, 2018), seeded through splitmix32.
 * The same seed gives the same sequence on every machine.
 */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    invariant(Number.isSafeInteger(seed) && seed >= 0, `seed must be a safe integer >= 0: ${seed}`);
    // Both halves of a 53-bit seed take part.
    let state = (seed >>> 0) ^ Math.imul(Math.floor(seed / 0x1_0000_0000), 0x9e3779b1);
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let z = state ^ (state >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1; // The all-zero state is the one that never leaves zero.
  }

  uint32(): number {
    const scrambled = Math.imul(this.#b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  below(limit: number): number {
    invariant(Number.isInteger(limit) && limit >= 1 && limit <= 0x1_0000_0000, `limit out of range: ${limit}`);
    // Rejection keeps it exactly uniform: draws past the last whole multiple are thrown away.
    const usable = 0x1_0000_0000 - (0x1_0000_0000 % limit);
    let draw = this.uint32();
    while (draw >= usable) draw = this.uint32();
    return draw % limit;
  }

  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator;
  }
}
