/** Waiting on the injected clock: pauses that all end at once when the log is closed, and how long to pause. */
import type { Clock, Random } from "@quipu/core";

export class Pauses {
  readonly #clock: Clock;
  readonly #waiting: Set<() => void> = new Set();
  #ended = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves after `ms`, or when the pauses end; whoever waits looks which. */
  pause(ms: number): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#clock.setTimer(ms, () => {
        this.#waiting.delete(end);
        resolve();
      });
      const end = (): void => {
        cancel();
        resolve();
      };
      this.#waiting.add(end);
    });
  }

  end(): void {
    this.#ended = true;
    for (const end of this.#waiting) end();
    this.#waiting.clear();
  }
}

/** A wait before attempt number `failures + 1`: doubled with each failure up to `maxMs`, the upper half of it by chance. */
export function backOffMs(failures: number, firstMs: number, maxMs: number, random: Random): number {
  const ms = Math.min(firstMs * 2 ** Math.min(failures - 1, 16), maxMs);
  return ms / 2 + random.below(Math.ceil(ms / 2) + 1);
}
