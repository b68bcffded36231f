/** What every checker of this folder answers. */
import type { HistoryOperation, KeyHistory } from "./history.ts";

export type Verdict =
  | { readonly type: "linearizable" }
  | NotLinearizable
  /** Neither shown nor refuted: out of steps, or the history holds what this checker does not understand. */
  | { readonly type: "gave-up"; readonly key: string; readonly why: string };

export interface NotLinearizable {
  readonly type: "not-linearizable";
  readonly key: string;
  /** One sentence with the numbers. */
  readonly why: string;
  /** The operations that contradict each other, as few as the checker can name; the one that fails last. */
  readonly contradicting: readonly HistoryOperation[];
  /** An order of the longest part that fits, where the checker knows one. */
  readonly linearized?: readonly HistoryOperation[];
}

export const linearizable: Verdict = { type: "linearizable" };

/** The verdict on all keys: the first contradiction if there is any, else the first that gave up. */
export function checkEachKey(parts: readonly KeyHistory[], checkKey: (part: KeyHistory) => Verdict): Verdict {
  let gaveUp: Verdict | undefined;
  for (const part of parts) {
    const verdict = checkKey(part);
    if (verdict.type === "not-linearizable") return verdict;
    if (verdict.type === "gave-up") gaveUp ??= verdict;
  }
  return gaveUp ?? linearizable;
}
