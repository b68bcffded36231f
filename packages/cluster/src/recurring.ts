/** What a node does now and then: one run at a time, and not at the same moment on all nodes. */
import type { Clock, Random } from "@quipu/core";

export interface RecurringOptions {
  readonly clock: Pick<Clock, "setTimer">;
  readonly random: Random;
  /** Between the end of one run and the next, half of it at least. */
  readonly everyMs: number;
  /** Never rejects. */
  readonly run: () => Promise<void>;
}

export class Recurring {
  readonly #options: RecurringOptions;
  #isClosed = false;
  #cancelTimer: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: RecurringOptions) {
    this.#options = options;
    this.#later();
  }

  /** For a run that takes long. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** No run begins any more; resolves when the one under way is over. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  #later(): void {
    if (this.#isClosed) return;
    const { clock, random, everyMs, run } = this.#options;
    const half = Math.ceil(everyMs / 2);
    this.#cancelTimer = clock.setTimer(half + random.below(half), () => {
      this.#running = run().then(() => this.#later());
    });
  }
}
