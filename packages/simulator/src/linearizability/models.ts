/** Sequential models: what one key answers when operations come one after another. The search replays them. */
import { type Int64, int64Add } from "@quipu/core";
import type { HistoryOperation, HistoryValue } from "./history.ts";

/** What a key does with operations that come one at a time. */
export interface SequentialModel {
  readonly initial: HistoryValue;
  /**
   * The value after `operation`, or undefined where its answer is impossible at `value`. Of an operation of unknown
   * outcome that would change nothing, undefined too: nobody can tell it from one that never happened.
   */
  step(value: HistoryValue, operation: HistoryOperation): HistoryValue | undefined;
}

/** One model for every key, or one for each. */
export type ModelChoice = SequentialModel | ((key: string) => SequentialModel);

export function modelOf(choice: ModelChoice, key: string): SequentialModel {
  return typeof choice === "function" ? choice(key) : choice;
}

export interface ModelOptions {
  /** Of every key, before the history. */
  readonly initial: HistoryValue;
  /** The bounds of every key; an add that would leave them, or 64 bits, is refused. */
  readonly minimum?: Int64;
  readonly maximum?: Int64;
}

/** A key with everything on it: counter, register with compare-and-set, text with append. */
export function keyModel(options: ModelOptions): SequentialModel {
  return { initial: options.initial, step: (value, operation) => stepKey(options, value, operation) };
}

function stepKey(options: ModelOptions, value: HistoryValue, operation: HistoryOperation): HistoryValue | undefined {
  const { result } = operation;
  switch (operation.kind) {
    case "read":
      return result === undefined || result === value ? value : undefined;
    case "add": {
      const next = addWithin(options, value, operation.argument);
      if (operation.result === "refused") return next === undefined ? value : undefined;
      return result === undefined || result === next ? next : undefined;
    }
    case "set":
      return result === undefined || result === value ? operation.argument : undefined;
    case "delete":
      return result === undefined || result === (value !== null) ? null : undefined;
    case "compare-and-set": {
      const { expected, next } = operation.argument;
      const isExpected = value === expected;
      if (result !== undefined && result !== isExpected) return undefined;
      if (isExpected) return next;
      return operation.returnedAt === undefined ? undefined : value;
    }
    case "append":
      return typeof value === "string" || value === null ? (value ?? "") + operation.argument : undefined;
  }
}

/** undefined where the sum is refused. */
function addWithin(options: ModelOptions, value: HistoryValue, delta: Int64): Int64 | undefined {
  if (typeof value === "string") return undefined;
  const sum = int64Add(value ?? 0, delta);
  if (sum === undefined) return undefined;
  if (options.minimum !== undefined && sum < options.minimum) return undefined;
  return options.maximum !== undefined && sum > options.maximum ? undefined : sum;
}
