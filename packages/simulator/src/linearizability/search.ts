/**
 * The general check: a search for an order that explains the history, key by key. It is the algorithm of Wing and
 * Gong (1993) with Lowe's memory of configurations (2017): the set of operations placed and the value reached tell
 * everything about what can follow, so no such pair is visited twice. Exponential in the worst case, therefore bounded.
 *
 * Two cuts keep it small; each is an exchange of operations that leaves a linearization one.
 * - What changes nothing is placed as soon as its answer fits, without alternative: taken out of its later place and
 *   put first, it is in nobody's way.
 * - Of operations that ask the same, only one is tried: with equal answers the one that must come first, and one of
 *   unknown outcome only where no answered one fits. The two can change places.
 */
import { type HistoryOperation, type KeyHistory, operationText, partitionByKey, valueText } from "./history.ts";
import { KeySearch } from "./key-search.ts";
import { type ModelChoice, modelOf } from "./models.ts";
import { linearizable, type NotLinearizable, type Verdict } from "./verdict.ts";

export interface SearchOptions {
  readonly model: ModelChoice;
  /** Placements tried, over all keys, before it gives up. */
  readonly stepsMax?: number;
}

/** A few seconds, and some hundred megabytes if each is remembered. */
const defaultStepsMax = 2_000_000;
/** What each key may take in the first round; ten times as many in the next. */
const firstRoundSteps = 1_000;
const roundFactor = 10;

export function searchLinearization(history: readonly HistoryOperation[], options: SearchOptions): Verdict {
  const stepsMax = options.stepsMax ?? defaultStepsMax;
  let searches = partitionByKey(history).map((part) => ({
    part,
    search: new KeySearch(part.operations, modelOf(options.model, part.key)),
  }));
  let steps = 0;
  // In rounds: one key that is refuted settles it, whatever a harder one would take.
  for (let roundSteps = firstRoundSteps; searches.length > 0; roundSteps *= roundFactor) {
    const undecided: typeof searches = [];
    for (const entry of searches) {
      const before = entry.search.steps;
      const outcome = entry.search.run(Math.min(roundSteps, stepsMax - steps));
      steps += entry.search.steps - before;
      if (outcome === "impossible") return refutation(entry.part, entry.search);
      if (outcome === "paused") undecided.push(entry);
    }
    searches = undecided;
    const [first] = searches;
    if (first !== undefined && steps >= stepsMax) {
      return { type: "gave-up", key: first.part.key, why: `${searches.length} keys undecided after ${steps} steps` };
    }
  }
  return linearizable;
}

function refutation(part: KeyHistory, search: KeySearch): NotLinearizable {
  const { placed, value, next } = search.deepest();
  const [blocked] = next;
  const why =
    `key ${valueText(part.key)}: at most ${placed.length} of ${part.operations.length} operations fit one order; ` +
    `then the value is ${valueText(value)} and nothing explains ` +
    `${blocked === undefined ? "the rest" : operationText(blocked)}`;
  return { type: "not-linearizable", key: part.key, why, contradicting: next, linearized: placed };
}
