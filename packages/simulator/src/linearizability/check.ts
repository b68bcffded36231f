/** The check for a history of any kind: key by key, the fastest checker that understands it, the search at last. */
import { checkAddAndGet } from "./add-and-get.ts";
import { checkBlindAdds } from "./blind-adds.ts";
import { type HistoryOperation, partitionByKey } from "./history.ts";
import { keyModel, type ModelOptions } from "./models.ts";
import { searchLinearization } from "./search.ts";
import type { Verdict } from "./verdict.ts";
import { checkWitness } from "./witness.ts";

export interface CheckOptions extends ModelOptions {
  /** For the search, over all keys that are left to it. */
  readonly stepsMax?: number;
}

export function checkHistory(history: readonly HistoryOperation[], options: CheckOptions): Verdict {
  const undecided: HistoryOperation[] = [];
  for (const { operations } of partitionByKey(history)) {
    const verdict = checkFast(operations, options);
    if (verdict?.type === "not-linearizable") return verdict;
    if (verdict === undefined) for (const operation of operations) undecided.push(operation);
  }
  // All at once, because the search shares its steps out: a key soon refuted need not wait for a hard one.
  const { stepsMax } = options;
  return searchLinearization(undecided, { model: keyModel(options), ...(stepsMax === undefined ? {} : { stepsMax }) });
}

/** undefined where no fast checker decides. */
function checkFast(operations: readonly HistoryOperation[], options: CheckOptions): Verdict | undefined {
  const { initial, minimum, maximum } = options;
  if (operations.some(({ position }) => position !== undefined)) {
    const verdict = checkWitness(operations, { model: keyModel(options) });
    if (verdict.type !== "gave-up") return verdict;
  }
  // The black box checks know no bounds.
  if (typeof initial === "string" || minimum !== undefined || maximum !== undefined) return undefined;
  for (const check of [checkAddAndGet, checkBlindAdds]) {
    const verdict = check(operations, { initial: initial ?? 0 });
    if (verdict.type !== "gave-up") return verdict;
  }
  return undefined;
}
