/** How long no write succeeded: the figure that users of a cell feel. */

export class WriteGaps {
  readonly #nowMs: () => number;
  #lastMs: number;
  #longestMs = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#lastMs = nowMs();
  }

  /** A write was acknowledged. */
  succeeded(): void {
    const nowMs = this.#nowMs();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  /** The longest gap since the last call, the one under way included. */
  take(): number {
    const longestMs = Math.max(this.#longestMs, this.#nowMs() - this.#lastMs);
    this.#longestMs = 0;
    return longestMs;
  }
}
