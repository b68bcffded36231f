/** How far a history is linearizable: the moment at which it stops being so, and who returned then. */
import { beginningOf, deadlineOf, type HistoryOperation } from "./history.ts";
import type { Verdict } from "./verdict.ts";

export interface Break {
  /** The history is linearizable as it stood before this time, and is not at it. */
  readonly brokenAt: number;
  /** What returned at that time: its answer is the first that nothing explains. */
  readonly returning: readonly HistoryOperation[];
}

/**
 * Finds the break with about log2(n) checks; undefined where the history is linearizable, or the check gives up on a
 * beginning. If a history is linearizable so are its beginnings, so bisection finds the first that is not.
 */
export function findBreak(
  history: readonly HistoryOperation[],
  check: (history: readonly HistoryOperation[]) => Verdict,
): Break | undefined {
  const times = [...new Set(history.flatMap(({ returnedAt }) => (returnedAt === undefined ? [] : [returnedAt])))];
  times.sort((a, b) => a - b);
  let [good, bad] = [-1, times.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    const verdict = check(beginningOf(history, times[middle] as number));
    if (verdict.type === "gave-up") return undefined;
    if (verdict.type === "linearizable") good = middle;
    else bad = middle;
  }
  const brokenAt = times[bad];
  if (brokenAt === undefined) return undefined;
  return { brokenAt, returning: history.filter((operation) => deadlineOf(operation) === brokenAt) };
}
