/**
 * The judge of the checkers: tries every order of a small history, one operation after another, with a counter of its
 * own. And where such histories come from: true ones, drawn together with the order that explains them, then spoiled.
 */
import { int64FromBigInt, type Int64, type Random } from "@quipu/core";
import type { HistoryOperation, HistoryValue } from "../src/linearizability/history.ts";

export interface Judge {
  /** Orders must follow the positions; what has none and is of unknown outcome may stand between any two places. */
  readonly byPosition?: boolean;
  readonly initial: HistoryValue;
  readonly maximum?: number;
}

/** Whether any order explains the history of one key. Factorial. */
export function hasLinearization(history: readonly HistoryOperation[], judge: Judge): boolean {
  const tryNext = (left: readonly HistoryOperation[], value: HistoryValue, lastLsn: number): boolean => {
    if (left.every((one) => one.returnedAt === undefined && !(judge.byPosition && one.position !== undefined)))
      return true;
    return left.some((one) => {
      const rest = left.filter((other) => other !== one);
      if (rest.some((other) => other.returnedAt !== undefined && other.returnedAt < one.invokedAt)) return false;
      if (judge.byPosition && rest.some((other) => standsBefore(other, one))) return false;
      const isPlaceOpen = rest.some((other) => other.position !== undefined && other.position.lsn === lastLsn);
      if (judge.byPosition && one.position === undefined && isPlaceOpen) return false;
      const next = answer(value, one, judge);
      const agrees = one.result === undefined || one.result === next.result;
      const wasRefused = one.kind === "add" && one.result === undefined && next.result === "refused";
      if (!agrees || (wasRefused && one.returnedAt !== undefined)) return false;
      return tryNext(rest, next.value, one.position?.lsn ?? lastLsn);
    });
  };
  return tryNext(history, judge.initial, -1);
}

function standsBefore(left: HistoryOperation, right: HistoryOperation): boolean {
  if (left.position === undefined || right.position === undefined) return false;
  if (left.position.lsn !== right.position.lsn) return left.position.lsn < right.position.lsn;
  return isChange(left) && !isChange(right);
}

function isChange(one: HistoryOperation): boolean {
  return one.kind !== "read" && one.result !== "refused" && one.result !== false;
}

interface Answer {
  readonly value: HistoryValue;
  readonly result: HistoryOperation["result"];
}

function answer(value: HistoryValue, one: HistoryOperation, judge: Judge): Answer {
  switch (one.kind) {
    case "read":
      return { value, result: value };
    case "set":
      return { value: one.argument, result: value };
    case "delete":
      return { value: null, result: value !== null };
    case "append":
      return { value: `${value ?? ""}${one.argument}`, result: undefined };
    case "compare-and-set":
      return value === one.argument.expected ? { value: one.argument.next, result: true } : { value, result: false };
    case "add": {
      const sum = int64FromBigInt(BigInt(value ?? 0) + BigInt(one.argument)) as Int64;
      const isRefused = judge.maximum !== undefined && sum > judge.maximum;
      return isRefused ? { value, result: "refused" } : { value: sum, result: sum };
    }
  }
}

export interface Drawing {
  readonly judge: Judge;
  readonly operationsMax: number;
  /** Draws what is asked. */
  readonly ask: (random: Random) => HistoryOperation;
  /** Whether an answered operation is told its result. */
  readonly isTold: (random: Random, one: HistoryOperation) => boolean;
  readonly unknownPercent: number;
  /** How far an interval may reach to either side of its point; by default up to the whole history. */
  readonly reachMax?: number;
}

/** An operation that asks, before it has times. */
export function asked(call: Pick<HistoryOperation, "kind"> & { argument?: unknown }): HistoryOperation {
  return {
    argument: undefined,
    result: undefined,
    process: 0,
    key: "k",
    invokedAt: 0,
    returnedAt: 0,
    ...call,
  } as never;
}

/** A linearizable history: each operation happens at a point within its interval, positions are the order of points. */
export function drawTrue(random: Random, drawing: Drawing): readonly HistoryOperation[] {
  const count = 2 + random.below(drawing.operationsMax - 1);
  const horizon = 3 * count;
  const reach = 1 + random.below(drawing.reachMax ?? horizon);
  const points = Array.from({ length: count }, () => random.below(horizon)).toSorted((a, b) => a - b);
  let value = drawing.judge.initial;
  let lastChange = 0;
  return points
    .map((point, process) => {
      const one = drawing.ask(random);
      const invokedAt = point - random.below(reach);
      const unknown = random.below(100) < drawing.unknownPercent;
      const times = { process, invokedAt, returnedAt: unknown ? undefined : point + random.below(reach) };
      if (unknown && random.chance(1, 2)) return { ...one, ...times }; // It never happened.
      const next = answer(value, one, drawing.judge);
      ({ value } = next);
      const done = { ...one, result: next.result } as HistoryOperation;
      if (isChange(done)) lastChange += 1;
      const position = { lsn: lastChange, index: 0 };
      const result = !unknown && drawing.isTold(random, one) ? next.result : undefined;
      const isHidden = unknown && random.chance(1, 2);
      return { ...one, ...times, result, ...(isHidden ? {} : { position }) } as HistoryOperation;
    })
    .toSorted((a, b) => a.invokedAt - b.invokedAt);
}

/** A third is true, the rest are spoiled in up to five places, or in so many that little is left of the truth. */
export function draw(random: Random, drawing: Drawing): readonly HistoryOperation[] {
  let history = drawTrue(random, drawing);
  const places = random.chance(1, 3) ? 0 : 1 + random.below(random.chance(1, 6) ? 3 * history.length : 5);
  for (let left = places; left > 0; left--) history = spoil(random, history);
  return history;
}

/** Changes one thing somewhere: an answer, a time, a position. The history may still be linearizable. */
function spoil(random: Random, history: readonly HistoryOperation[]): readonly HistoryOperation[] {
  const at = random.below(history.length);
  return history.map((one, i) => (i === at ? spoilOne(random, one) : one));
}

function spoilOne(random: Random, one: HistoryOperation): HistoryOperation {
  const { result, returnedAt, position } = one;
  switch (random.below(6)) {
    case 0: // Sooner.
      return returnedAt === undefined
        ? one
        : { ...one, returnedAt: one.invokedAt + random.below(returnedAt - one.invokedAt + 1) };
    case 1: // Later.
      return { ...one, invokedAt: one.invokedAt + random.below((returnedAt ?? one.invokedAt + 9) - one.invokedAt + 1) };
    case 2:
      return position === undefined
        ? one
        : { ...one, position: { lsn: Math.max(0, position.lsn + random.below(3) - 1), index: 0 } };
    default:
      if (typeof result === "number") return { ...one, result: result + random.below(5) - 2 } as HistoryOperation;
      if (typeof result === "string") return { ...one, result: `${result.slice(1)}a` } as HistoryOperation;
      if (typeof result === "boolean") return { ...one, result: !result } as HistoryOperation;
      return one;
  }
}
