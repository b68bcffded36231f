/** How long to wait before another attempt: doubling, with jitter so that clients do not come in step. */
import type { Random } from "@quipu/core";

export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #random: Random;
  #ms: number;

  constructor(firstMs: number, maxMs: number, random: Random) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#random = random;
    this.#ms = firstMs;
  }

  /** Between half the present pause and the whole; the next one is twice as long. */
  nextMs(): number {
    const pause = this.#ms;
    this.#ms = Math.min(this.#maxMs, pause * 2);
    const half = Math.floor(pause / 2);
    return half + this.#random.below(pause - half + 1);
  }

  /** After a success. */
  reset(): void {
    this.#ms = this.#firstMs;
  }
}
