/** What a balancer knows of one endpoint: what it was told, and what its use has shown. */

/**
 * Half-life, roughly, of a latency once measured. Finagle's default: long enough to remember a bad moment, short
 * enough that an endpoint left for its slowness is tried again.
 */
const latencyMemoryMs = 10_000;

/** Stands for the latency of an endpoint that owes its first answer; its next requests should go elsewhere. */
const unknownLatencyMs = 1000;

export class EndpointLoad {
  readonly index: number;
  /** > 0. */
  readonly weight: number;
  readonly zone: string | undefined;
  /** Whether requests can be sent to it at all, by what its owner says. */
  up = true;
  /** Requests begun and not finished; >= 0. */
  outstanding = 0;
  /** Failures since the last success. */
  consecutiveFailures = 0;
  /** In the present window of success rates. */
  successes = 0;
  failures = 0;
  /** Ejected before this time. */
  ejectedUntilMs: number = -Infinity;
  /** How many ejections the next one's length remembers. */
  ejections = 0;
  /** Its load grows slowly from here on (slow start). */
  warmFromMs: number = -Infinity;
  #latencyMs = 0;
  #measuredAtMs = 0;

  constructor(index: number, weight: number, zone: string | undefined) {
    this.index = index;
    this.weight = weight;
    this.zone = zone;
  }

  /**
   * Peak-sensitive, as Finagle's `PeakEwma`: a worse latency counts at once and in full, a better one only little by
   * little. The weight of the past is memory / (memory + elapsed) instead of an exponential: many small steps come
   * to the same, and arithmetic without `exp` is the same on every machine.
   */
  observe(latencyMs: number, nowMs: number): void {
    const past = this.#pastWeight(nowMs);
    this.#latencyMs = latencyMs > this.#latencyMs ? latencyMs : this.#latencyMs * past + latencyMs * (1 - past);
    this.#measuredAtMs = nowMs;
  }

  /** A failure: one that came at once says nothing about speed, one that took long does. */
  observeFailure(latencyMs: number, nowMs: number): void {
    if (latencyMs > this.#latencyMs) this.observe(latencyMs, nowMs);
  }

  /** Expected cost of one more request: latency times those it would share the endpoint with. */
  cost(nowMs: number): number {
    // Without samples it fades, so that who was left for its slowness is tried again.
    const latencyMs = this.#latencyMs * this.#pastWeight(nowMs);
    if (latencyMs === 0 && this.outstanding > 0) return unknownLatencyMs * (this.outstanding + 1);
    return latencyMs * (this.outstanding + 1);
  }

  #pastWeight(nowMs: number): number {
    return latencyMemoryMs / (latencyMemoryMs + Math.max(0, nowMs - this.#measuredAtMs));
  }
}
