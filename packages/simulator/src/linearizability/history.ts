/**
 * A history as clients saw it: who asked what and when, and what came back. All checkers of this folder read this.
 *
 * An operation of unknown outcome (no `returnedAt`) may take effect at any time after its invocation, or never.
 * One that surely was not made is left out of the history by whoever records it.
 */
import { type Int64, invariant } from "@quipu/core";

/** What a key can hold: a number, a text, or nothing. */
export type HistoryValue = Int64 | string | null;

/** Where the log put an operation: the record, and the place in it. A read of what a whole record left: infinite. */
export interface HistoryPosition {
  readonly lsn: number;
  readonly index: number;
}

/** What was asked and what was answered; a result of `undefined` was not told. */
export type HistoryCall =
  | { readonly kind: "read"; readonly argument?: undefined; readonly result: HistoryValue | undefined }
  /** Counts from 0 where the key is absent. Answers the new value, or that it would leave the bounds. */
  | { readonly kind: "add"; readonly argument: Int64; readonly result: Int64 | "refused" | undefined }
  /** Answers the value before. */
  | { readonly kind: "set"; readonly argument: Int64 | string; readonly result: HistoryValue | undefined }
  /** Answers whether the key was there. */
  | { readonly kind: "delete"; readonly argument?: undefined; readonly result: boolean | undefined }
  /** Answers whether the value was the expected one, and so became the next one. */
  | { readonly kind: "compare-and-set"; readonly argument: CompareAndSet; readonly result: boolean | undefined }
  /** Appends to the text under the key; an absent key counts as the empty text. */
  | { readonly kind: "append"; readonly argument: string; readonly result?: undefined };

export interface CompareAndSet {
  readonly expected: HistoryValue;
  readonly next: HistoryValue;
}

export type HistoryOperation = HistoryCall & {
  /** The client. One client may have several operations under way, as a pipeline has. */
  readonly process: number;
  readonly key: string;
  /** On any clock that never goes back and is the same for all processes. Equal times count as concurrent. */
  readonly invokedAt: number;
  /** >= invokedAt. undefined: the outcome is unknown. */
  readonly returnedAt: number | undefined;
  /**
   * Of what changed the value: its own place, no other operation has it. Of anything else: the place up to which it
   * saw the log, that place included.
   */
  readonly position?: HistoryPosition | undefined;
};

/** The operations of one key, in the order of the history. */
export interface KeyHistory {
  readonly key: string;
  readonly operations: readonly HistoryOperation[];
}

/** Linearizability is local (Herlihy and Wing 1990, theorem 1): a history has it if each key's part has it. */
export function partitionByKey(history: readonly HistoryOperation[]): readonly KeyHistory[] {
  const keys = new Map<string, HistoryOperation[]>();
  for (const operation of history) {
    assertTimes(operation);
    const part = keys.get(operation.key);
    if (part === undefined) keys.set(operation.key, [operation]);
    else part.push(operation);
  }
  return [...keys].map(([key, operations]) => ({ key, operations }));
}

function assertTimes(operation: HistoryOperation): void {
  const { invokedAt, returnedAt } = operation;
  invariant(Number.isFinite(invokedAt), `an operation is invoked at ${invokedAt}`);
  invariant(
    returnedAt === undefined || (Number.isFinite(returnedAt) && returnedAt >= invokedAt),
    `an operation is invoked at ${invokedAt} and returns at ${returnedAt}`,
  );
}

/** When it must have taken effect; never, where the outcome is unknown. */
export function deadlineOf(operation: HistoryOperation): number {
  return operation.returnedAt ?? Number.POSITIVE_INFINITY;
}

/** True for what leaves every value as it is, by its kind or by its answer. */
export function changesNothing(operation: HistoryOperation): boolean {
  switch (operation.kind) {
    case "read":
      return true;
    case "add":
      return operation.result === "refused";
    case "delete":
    case "compare-and-set":
      return operation.result === false;
    case "set":
    case "append":
      return false;
  }
}

/**
 * The history as it stood just after `time`: what was not invoked yet is gone, what had not returned is of unknown
 * outcome. If a history is linearizable, so is every such beginning of it.
 */
export function beginningOf(history: readonly HistoryOperation[], time: number): readonly HistoryOperation[] {
  return history
    .filter(({ invokedAt }) => invokedAt <= time)
    .map((operation) =>
      deadlineOf(operation) <= time ? operation : { ...operation, returnedAt: undefined, result: undefined },
    );
}

/** For explanations: `client 3: add 1 -> 17 [204, 209]`. */
export function operationText(operation: HistoryOperation): string {
  const { process, invokedAt, returnedAt, position } = operation;
  const at = position === undefined ? "" : ` at ${position.lsn}-${position.index}`;
  return `client ${process}: ${callText(operation)} [${invokedAt}, ${returnedAt ?? "?"}]${at}`;
}

/** What was asked and answered, without who and when. */
export function callText(operation: HistoryOperation): string {
  const { kind, argument, result } = operation;
  const parts = [kind === "compare-and-set" ? "cas" : kind];
  if (kind === "compare-and-set") parts.push(valueText(argument.expected), valueText(argument.next));
  else if (argument !== undefined) parts.push(valueText(argument));
  const answer = operation.returnedAt === undefined ? "?" : result === undefined ? "ok" : valueText(result);
  return `${parts.join(" ")} -> ${answer}`;
}

const shownCharacters = 40;

export function valueText(value: HistoryValue | boolean): string {
  if (value === null) return "none";
  if (typeof value !== "string") return `${value}`;
  // The end of a long text tells more than its beginning: appends go there.
  return value.length <= shownCharacters ? `"${value}"` : `"…${value.slice(-shownCharacters)}"`;
}
