/**
 * Outlier ejection: an endpoint that fails where others do not is left out for a while (Envoy, "outlier detection").
 * Judged by failures in a row, and by its success rate beside the others'.
 */
import type { EndpointLoad } from "./endpoint-load.ts";

/** So many failures in a row are no accident, and few enough to leave a broken endpoint within a moment. */
export const consecutiveFailuresMax = 5;

/** Success rates are compared once in a window, over endpoints with at least so many requests in it. */
export const rateWindowMs = 5000;
export const rateRequestsMin = 20;

/**
 * An endpoint whose success rate is lower than the mean of the others' by more than this is an outlier. Envoy compares
 * with a multiple of the standard deviation, which in a cell of three can never be exceeded.
 */
export const rateGapMax = 0.3;

/** The first ejection; each further one is twice as long. A restarting node is back within some seconds. */
export const ejectionFirstMs = 1000;
export const ejectionMaxMs = 30_000;

export function isEjected(endpoint: EndpointLoad, nowMs: number): boolean {
  return nowMs < endpoint.ejectedUntilMs;
}

/** So many of `count` may be ejected at a time: half of them, and one always stays. */
export function ejectedMax(count: number): number {
  return Math.floor(count / 2);
}

export class OutlierEjection {
  readonly #endpoints: readonly EndpointLoad[];
  #windowEndsMs: number | undefined = undefined;

  /** The array may grow. */
  constructor(endpoints: readonly EndpointLoad[]) {
    this.#endpoints = endpoints;
  }

  observe(endpoint: EndpointLoad, succeeded: boolean, nowMs: number): void {
    this.#windowEndsMs ??= nowMs + rateWindowMs;
    if (succeeded) {
      endpoint.successes++;
      endpoint.consecutiveFailures = 0;
    } else {
      endpoint.failures++;
      endpoint.consecutiveFailures++;
      if (endpoint.consecutiveFailures >= consecutiveFailuresMax) this.#eject(endpoint, nowMs);
    }
    if (nowMs >= this.#windowEndsMs) this.#endWindow(nowMs);
  }

  #eject(endpoint: EndpointLoad, nowMs: number): void {
    // What failed before it was ejected may be told later; it is no second offence.
    if (isEjected(endpoint, nowMs)) return;
    const ejected = this.#endpoints.filter((each) => isEjected(each, nowMs)).length;
    if (ejected >= ejectedMax(this.#endpoints.length)) return;
    endpoint.consecutiveFailures = 0;
    endpoint.ejectedUntilMs = nowMs + Math.min(ejectionMaxMs, ejectionFirstMs * 2 ** endpoint.ejections);
    endpoint.ejections++;
    endpoint.warmFromMs = endpoint.ejectedUntilMs;
  }

  #endWindow(nowMs: number): void {
    this.#windowEndsMs = nowMs + rateWindowMs;
    const judged = this.#endpoints.filter((each) => each.successes + each.failures >= rateRequestsMin);
    const rates = judged.map((each) => each.successes / (each.successes + each.failures));
    const sum = rates.reduce((total, rate) => total + rate, 0);
    for (const [at, endpoint] of judged.entries()) {
      const rate = rates[at] as number;
      const others = (sum - rate) / (judged.length - 1);
      if (judged.length > 1 && others - rate > rateGapMax) this.#eject(endpoint, nowMs);
    }
    for (const endpoint of this.#endpoints) {
      // A window without a failure wins back some trust.
      const wasGood = endpoint.failures === 0 && endpoint.successes > 0 && !isEjected(endpoint, nowMs);
      if (wasGood && endpoint.ejections > 0) endpoint.ejections--;
      endpoint.successes = 0;
      endpoint.failures = 0;
    }
  }
}
