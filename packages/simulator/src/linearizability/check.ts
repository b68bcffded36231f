/** The check for a history of any kind: key by key, the fastest checker that understands it, the search at last. */
import { checkAddAndGet } from "./add-and-get.ts";
import { checkBlindAdds } from "./blind-adds.ts";
import { type HistoryOperation, type KeyHistory, partitionByKey } from "./history.ts";
import { keyModel, type ModelOptions } from "./models.ts";
import { searchLinearization } from "./search.ts";
import { checkEachKey, type Verdict } from "./verdict.ts";
import { checkWitness } from "./witness.ts";

export interface CheckOptions extends ModelOptions {
  /** For the search, on each key. */
  readonly stepsMax?: number;
}

export function checkHistory(history: readonly HistoryOperation[], options: CheckOptions): Verdict {
  return checkEachKey(partitionByKey(history), (part) => checkKey(part, options));
}

function checkKey({ operations }: KeyHistory, options: CheckOptions): Verdict {
  const model = keyModel(options);
  const { initial, minimum, maximum, stepsMax } = options;
  const checks: ((history: readonly HistoryOperation[]) => Verdict)[] = [];
  if (operations.some(({ position }) => position !== undefined)) {
    checks.push((history) => checkWitness(history, { model }));
  }
  // The black box checks know no bounds.
  if (typeof initial !== "string" && minimum === undefined && maximum === undefined) {
    const counter = { initial: initial ?? 0 };
    checks.push(
      (history) => checkAddAndGet(history, counter),
      (history) => checkBlindAdds(history, counter),
    );
  }
  for (const check of checks) {
    const verdict = check(operations);
    if (verdict.type !== "gave-up") return verdict;
  }
  return searchLinearization(operations, stepsMax === undefined ? { model } : { model, stepsMax });
}
