/**
 * The time that goes into records: the monotonic clock plus an offset, so that it never goes back and does not
 * follow a wall clock that is set while we run (DESIGN §4.4, "Log time").
 */
import type { Clock } from "@quipu/core";

/** A wall clock behind ours is approached by running this much slower, never by going back. */
const slewDivisor = 10;

export class LogClock {
  readonly #clock: Clock;
  #offsetMs: number;
  #lastMonotonicMs: number;

  /** `floorMs`: log time as it stands; stamps begin above it, so that time goes on after a restart. */
  constructor(clock: Clock, floorMs: number) {
    this.#clock = clock;
    this.#lastMonotonicMs = clock.monotonicMs();
    this.#offsetMs = Math.max(clock.wallMs(), floorMs) - this.#lastMonotonicMs;
  }

  /** Milliseconds since the Unix epoch, whole, never decreasing. */
  nowMs(): number {
    const monotonicMs = this.#clock.monotonicMs();
    const elapsedMs = monotonicMs - this.#lastMonotonicMs;
    if (elapsedMs >= 1000) this.#follow(monotonicMs, elapsedMs);
    return Math.floor(this.#offsetMs + monotonicMs);
  }

  /** Once a second or less often: a wall clock set forward is followed at once, one set back slowly. */
  #follow(monotonicMs: number, elapsedMs: number): void {
    this.#lastMonotonicMs = monotonicMs;
    const driftMs = this.#clock.wallMs() - (this.#offsetMs + monotonicMs);
    this.#offsetMs += driftMs >= 0 ? driftMs : Math.max(driftMs, -elapsedMs / slewDivisor);
  }
}
