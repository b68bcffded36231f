/**
 * How much may be sent a second time: a share of what is sent a first time, and a little per second, so that retries
 * never make an overload worse (Finagle's `RetryBudget`; gRPC's retry throttling). A token bucket.
 */
import { invariant } from "@quipu/core";

export interface RetryBudgetOptions {
  /** Retries per request, 0 to 1. */
  readonly share: number;
  /** Retries per second beside, for those who ask seldom. */
  readonly perSecond: number;
  /** What may be saved up: the largest burst. */
  readonly tokensMax: number;
}

/** A fifth, and ten per second, are Finagle's. A failover sends everything in flight at once, hence the burst. */
export const retryBudgetDefaults: RetryBudgetOptions = { share: 0.2, perSecond: 10, tokensMax: 200 };

const msPerSecond = 1000;

export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  /** 0 to tokensMax. Full in the beginning: the first failover may come early. */
  #tokens: number;
  #filledAtMs: number;

  constructor(options: RetryBudgetOptions, nowMs: number) {
    const { share, perSecond, tokensMax } = options;
    invariant(share >= 0 && share <= 1 && perSecond >= 0 && tokensMax >= 0, "a retry budget out of range");
    this.#options = options;
    this.#tokens = tokensMax;
    this.#filledAtMs = nowMs;
  }

  /** A request was sent for the first time. */
  deposit(): void {
    this.#tokens = Math.min(this.#options.tokensMax, this.#tokens + this.#options.share);
  }

  /** Whether so many retries may be made now. */
  affords(retries: number, nowMs: number): boolean {
    const grown = (Math.max(0, nowMs - this.#filledAtMs) * this.#options.perSecond) / msPerSecond;
    this.#tokens = Math.min(this.#options.tokensMax, this.#tokens + grown);
    this.#filledAtMs = Math.max(this.#filledAtMs, nowMs);
    return this.#tokens >= retries;
  }

  /** One retry. False: it must wait. */
  withdraw(nowMs: number): boolean {
    if (!this.affords(1, nowMs)) return false;
    this.#tokens--;
    return true;
  }
}
