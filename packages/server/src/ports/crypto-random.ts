/** The Random port on the operating system's generator, drawn a page at a time. */
import { randomFillSync } from "node:crypto";
import type { Random } from "@quipu/core";

/** One system call per thousand draws. */
const poolLength = 1024;
const uint32Count = 0x1_0000_0000;

export class CryptoRandom implements Random {
  readonly #pool = new Uint32Array(poolLength);
  #next = poolLength;

  uint32(): number {
    if (this.#next === poolLength) {
      randomFillSync(this.#pool);
      this.#next = 0;
    }
    return this.#pool[this.#next++] as number;
  }

  below(limit: number): number {
    // Rejection keeps it exactly uniform: draws past the last whole multiple are thrown away.
    const usable = uint32Count - (uint32Count % limit);
    let draw = this.uint32();
    while (draw >= usable) draw = this.uint32();
    return draw % limit;
  }

  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator;
  }
}
