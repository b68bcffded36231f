/**
 * The time that goes into records: the monotonic clock plus an offset, so that it never goes back and does not
 * follow a wall clock that is set while we run (DESIGN §4.4, "Log time").
 *
 * Where several nodes write one log, log time is the highest stamp of any of them, so one wrong clock could push it
 * hours ahead and with it everything that expires. So a node compares its own time with that of the cell, which is
 * the log time that it saw last plus what has passed since on its monotonic clock; where the two differ by more than
 * half a second, it stamps with the cell's. A node that has just started makes no claim, and the others tell it the time
 * (ticker.ts). What this does not do is agree on an offset with a majority beforehand: who writes before anybody has told
 * it the time is believed, as is the first after all nodes were down; and clocks that run fast together, or one that is
 * never off by much at once, take the cell along.
 */
import type { Clock } from "@quipu/core";

/** A wall clock behind ours is approached by running this much slower, never by going back. */
const slewDivisor = 10;

/** Clocks kept by NTP differ by less; one that differs by more does not count (DESIGN §4.4). */
const disagreementMsMax = 500;

/** Since the last record seen, monotonic clocks of two nodes may drift apart by one part in this many. */
const driftDivisor = 1000;

export class LogClock {
  readonly #clock: Clock;
  readonly #floorMs: number;
  #offsetMs: number;
  #lastMonotonicMs: number;
  /** Log time of the cell as last observed, and when that was; undefined where nobody else writes. */
  #cell: { logTimeMs: number; monotonicMs: number } | undefined;
  /** No stamp is below one given before, though the base of the stamps may change; until the cell is first heard of. */
  #lastStampMs = 0;

  /** `floorMs`: log time as it stands; stamps begin above it, so that time goes on after a restart. */
  constructor(clock: Clock, floorMs: number) {
    this.#clock = clock;
    this.#floorMs = floorMs;
    this.#lastMonotonicMs = clock.monotonicMs();
    this.#offsetMs = Math.max(clock.wallMs(), floorMs) - this.#lastMonotonicMs;
  }

  /** A record has just come that brought log time to `logTimeMs`. Only for a log that others write too. */
  observe(logTimeMs: number): void {
    // Only where time went on somebody has said what it is: a log that was idle may stand where it stood long ago.
    if (logTimeMs <= (this.#cell?.logTimeMs ?? this.#floorMs)) return;
    const monotonicMs = this.#clock.monotonicMs();
    if (this.#cell === undefined) {
      this.#cell = { logTimeMs, monotonicMs };
      // What we took for the time until now is worth nothing where the cell knows better.
      this.#lastStampMs = 0;
    } else {
      this.#cell.logTimeMs = logTimeMs;
      this.#cell.monotonicMs = monotonicMs;
    }
  }

  /** Somebody has stamped a record since we began. */
  get knowsCell(): boolean {
    return this.#cell !== undefined;
  }

  /** Milliseconds since the Unix epoch, whole, never decreasing but where the cell is first heard of. */
  nowMs(): number {
    const monotonicMs = this.#clock.monotonicMs();
    const elapsedMs = monotonicMs - this.#lastMonotonicMs;
    if (elapsedMs >= 1000) this.#follow(monotonicMs, elapsedMs);
    const ownMs = this.#offsetMs + monotonicMs;
    const nowMs = Math.floor(this.#cell === undefined ? ownMs : this.#agreed(ownMs, monotonicMs));
    this.#lastStampMs = Math.max(this.#lastStampMs, nowMs);
    return this.#lastStampMs;
  }

  /** Our own time, where the cell agrees with it; never below log time. */
  #agreed(ownMs: number, monotonicMs: number): number {
    const { logTimeMs, monotonicMs: seenMs } = this.#cell as { logTimeMs: number; monotonicMs: number };
    const elapsedMs = monotonicMs - seenMs;
    const cellMs = logTimeMs + elapsedMs;
    const agrees = Math.abs(ownMs - cellMs) <= disagreementMsMax + elapsedMs / driftDivisor;
    return Math.max(agrees ? ownMs : cellMs, logTimeMs);
  }

  /** Once a second or less often: a wall clock set forward is followed at once, one set back slowly. */
  #follow(monotonicMs: number, elapsedMs: number): void {
    this.#lastMonotonicMs = monotonicMs;
    const driftMs = this.#clock.wallMs() - (this.#offsetMs + monotonicMs);
    this.#offsetMs += driftMs >= 0 ? driftMs : Math.max(driftMs, -elapsedMs / slewDivisor);
  }
}
