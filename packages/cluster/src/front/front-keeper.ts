/**
 * Looks after the chain of a log that fronts share, now and then: follows switches that others made, completes those whose
 * maker died, drops what nobody needs, and lets a log that wears out go on in another segment of the same engine.
 */
import { type Clock, QuipuError, type Random } from "@quipu/core";
import type { VirtualLog } from "@quipu/log";
import { Recurring } from "../recurring.ts";

export interface FrontKeeperOptions {
  readonly log: VirtualLog;
  readonly clock: Pick<Clock, "setTimer">;
  readonly random: Random;
  /** A broken invariant. */
  readonly onFatal: (error: unknown) => void;
}

/** Between two looks. */
const lookMs = 1_000;

export class FrontKeeper {
  readonly #options: FrontKeeperOptions;
  readonly #looks: Recurring;

  constructor(options: FrontKeeperOptions) {
    this.#options = options;
    const { clock, random } = options;
    this.#looks = new Recurring({ clock, random, everyMs: lookMs, run: () => this.#look() });
  }

  close(): Promise<void> {
    return this.#looks.close();
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
