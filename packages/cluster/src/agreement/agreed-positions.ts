/**
 * At which positions replicas hash their state, so that the hashes can be compared (DESIGN §4.4): a function of the log
 * alone, so that whoever applies it comes to the same positions, wherever it began.
 *
 * Log time is in the log. So the record that moves it into another second is such a position: one a second under any
 * load, and each record of a log that is nearly idle. Positions are counted beside it, for a replica whose log time is
 * what went wrong would never hash where the others do. What stands above the last such position when a log falls
 * silent is compared by the idle rule (comparison.ts): all who have applied everything hash where it ends.
 */
import type { Lsn } from "@quipu/core";

/** Where a replica stands, between two records. */
export interface Moment {
  readonly position: Lsn;
  readonly logTimeMs: number;
}

/** `seldom`: also where the hash is dear; a part of those at which it is taken where it is cheap. */
export type Occasion = "no" | "often" | "seldom";

const oftenMs = 1_000;
/** Hashing 100,000 changed entries is a pause of 10 ms: once in so long that is little. */
const seldomMs = 8_000;
/** Records come a few thousand a second at most, so the seconds are what counts in general. */
const oftenPositions = 4_096;
const seldomPositions = 32_768;

/** Whether the state at `after` is to be hashed, where `before` is how it stood before the last record. */
export function occasionOf(before: Moment, after: Moment): Occasion {
  const crosses = (ms: number, positions: number): boolean =>
    Math.floor(before.logTimeMs / ms) !== Math.floor(after.logTimeMs / ms) ||
    Math.floor(before.position / positions) !== Math.floor(after.position / positions);
  if (!crosses(oftenMs, oftenPositions)) return "no";
  return crosses(seldomMs, seldomPositions) ? "seldom" : "often";
}
