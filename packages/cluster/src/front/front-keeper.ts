/**
 * Looks after the chain of a log that fronts share, now and then: follows switches that others made, completes those whose
 * maker died, drops what nobody needs, and lets a log that wears out go on in another segment of the same engine.
 */
import { type Clock, QuipuError, type Random } from "@quipu/core";
import type { VirtualLog } from "@quipu/log";

export interface FrontKeeperOptions {
  readonly log: VirtualLog;
  readonly clock: Pick<Clock, "setTimer">;
  readonly random: Random;
  /** A broken invariant. */
  readonly onFatal: (error: unknown) => void;
}

/** Between two looks, half of it at least: several nodes do not all look at once. */
const lookMs = 1_000;

export class FrontKeeper {
  readonly #options: FrontKeeperOptions;
  #isClosed = false;
  #cancelTimer: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: FrontKeeperOptions) {
    this.#options = options;
    this.#later();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  #later(): void {
    if (this.#isClosed) return;
    const { clock, random } = this.#options;
    this.#cancelTimer = clock.setTimer(lookMs / 2 + random.below(lookMs / 2), () => {
      this.#running = this.#look().then(() => this.#later());
    });
  }

  async #look(): Promise<void> {
    const { log, onFatal } = this.#options;
    try {
      await log.finishSealedChain();
      await log.dropTrimmed();
      // Right behind a look at the chain: whoever was faster has a new segment there.
      const last = log.chain().segments.at(-1);
      if (last !== undefined && log.wearsOut()) await log.reconfigure(last.engine, last.parameters);
    } catch (error) {
      // A service that is away: the next look may find it otherwise.
      if (!(error instanceof QuipuError)) onFatal(error);
    }
  }
}
