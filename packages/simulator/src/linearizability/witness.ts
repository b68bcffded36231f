/**
 * The check by position, the first to run: the log says in which order operations took effect, and the check is that
 * this order explains every answer and contradicts nobody's clock. O(n log n). What it passes is linearizable, for the
 * order is exhibited. What it fails is wrong if positions are, as promised, the order in which operations take effect,
 * even where another order would explain the answers.
 *
 * Operations of unknown outcome whose position is known (from the log) take part, without a deadline. Those without a
 * position may be anywhere or nowhere: where the values have a gap, a small search tries them.
 */
import { invariant } from "@quipu/core";
import {
  callText,
  changesNothing,
  deadlineOf,
  type HistoryOperation,
  type HistoryPosition,
  type HistoryValue,
  type KeyHistory,
  operationText,
  partitionByKey,
  valueText,
} from "./history.ts";
import { KeySearch } from "./key-search.ts";
import { keyModel, type ModelChoice, modelOf, type SequentialModel } from "./models.ts";
import { checkEachKey, linearizable, type Verdict } from "./verdict.ts";

export interface WitnessOptions {
  /** By default a key that is absent before the history, without bounds. */
  readonly model?: ModelChoice;
}

type Positioned = HistoryOperation & { readonly position: HistoryPosition };

/** Placements tried for one gap. Unit adds need no more than there are; unlike ones can ask for any number. */
const gapStepsMax = 10_000;
/** Operations tried for one gap, those invoked first. */
const gapFillersMax = 256;

const defaultModel: SequentialModel = keyModel({ initial: null });

export function checkWitness(history: readonly HistoryOperation[], options: WitnessOptions = {}): Verdict {
  return checkEachKey(partitionByKey(history), (part) =>
    new WitnessCheck(part, modelOf(options.model ?? defaultModel, part.key)).run(),
  );
}

class WitnessCheck {
  readonly #key: string;
  readonly #model: SequentialModel;
  readonly #order: readonly Positioned[];
  readonly #withoutPosition: readonly HistoryOperation[];
  /** Of unknown outcome, without a position and not used yet, by invocation. */
  #fillers: readonly HistoryOperation[];
  #value: HistoryValue;
  /** The last operation that changed the value, and its place. */
  #changer: Positioned | undefined;
  /** The latest invocation so far: everything from here on takes effect no earlier. */
  #latest: HistoryOperation | undefined;

  constructor(part: KeyHistory, model: SequentialModel) {
    this.#key = part.key;
    this.#model = model;
    this.#value = model.initial;
    this.#order = part.operations.filter(isPositioned).toSorted(byPosition);
    this.#withoutPosition = part.operations.filter((operation) => !isPositioned(operation));
    this.#fillers = this.#withoutPosition
      .filter((operation) => operation.returnedAt === undefined && !changesNothing(operation))
      .toSorted((a, b) => a.invokedAt - b.invokedAt);
  }

  run(): Verdict {
    const lost = this.#withoutPosition.find(
      ({ kind, returnedAt, result }) => returnedAt !== undefined && !(kind === "read" && result === undefined),
    );
    if (lost !== undefined) return this.#giveUp(`${operationText(lost)} was answered without a position`);
    const deadlines = this.#deadlines();
    for (let from = 0; from < this.#order.length;) {
      const first = this.#order[from] as Positioned;
      let to = from + 1;
      while (to < this.#order.length && comparePositions(first, this.#order[to] as Positioned) === 0) to += 1;
      const verdict = this.#checkPlace(this.#order.slice(from, to), deadlines[from] as number);
      if (verdict !== undefined) return verdict;
      from = to;
    }
    return linearizable;
  }

  /** For each place, the earliest return of what stands there or later. */
  #deadlines(): Float64Array {
    const deadlines = new Float64Array(this.#order.length);
    let earliest = Number.POSITIVE_INFINITY;
    for (let i = this.#order.length - 1; i >= 0; i--) {
      earliest = Math.min(earliest, deadlineOf(this.#order[i] as Positioned));
      deadlines[i] = earliest;
    }
    return deadlines;
  }

  /** A change, if there is one, and what saw the log up to here. Nothing can take effect in between. */
  #checkPlace(place: readonly Positioned[], deadline: number): Verdict | undefined {
    const [first, second] = place as [Positioned, Positioned | undefined];
    if (second !== undefined && !changesNothing(second)) {
      return this.#refute("two changes have one position", [first, second]);
    }
    for (const operation of place) {
      const verdict = this.#checkTime(operation);
      if (verdict !== undefined) return verdict;
    }
    let after = this.#after(this.#value, place);
    if (after === undefined) {
      const filled = this.#fill(place, deadline);
      if (filled !== "filled") return this.#refuteValue(place, filled);
      after = this.#after(this.#value, place);
      invariant(after !== undefined, `a gap before ${operationText(first)} was filled and still is one`);
    }
    this.#value = after;
    if (!changesNothing(first)) this.#changer = first;
    return undefined;
  }

  /** The value after this place, or undefined where an answer does not fit. */
  #after(before: HistoryValue, place: readonly Positioned[]): HistoryValue | undefined {
    let value = before;
    for (const operation of place) {
      const next = this.#model.step(value, operation);
      if (next !== undefined) value = next;
      else if (operation.returnedAt !== undefined) return undefined;
      // Else it is of unknown outcome, and changed nothing here.
    }
    return value;
  }

  #refuteValue(place: readonly Positioned[], filled: "impossible" | "unclear"): Verdict {
    const fitting = place.findIndex((_, i) => this.#after(this.#value, place.slice(0, i + 1)) === undefined);
    const operation = place[fitting] as Positioned;
    const value = this.#after(this.#value, place.slice(0, fitting)) ?? null;
    const why = `the value is ${valueText(value)}, from which ${callText(operation)} does not follow`;
    if (filled === "unclear") return this.#giveUp(`${why}, unless through operations of unknown outcome`);
    const changer = place.slice(0, fitting).find((one) => !changesNothing(one)) ?? this.#changer;
    return this.#refute(why, changer === undefined ? [operation] : [changer, operation]);
  }

  #checkTime(operation: Positioned): Verdict | undefined {
    this.#pass(operation);
    const latest = this.#latest;
    if (latest === undefined || latest.invokedAt <= deadlineOf(operation)) return undefined;
    const why = "stands before one that returned before it was invoked";
    return this.#refute(`${operationText(latest)} ${why}, ${operationText(operation)}`, [latest, operation]);
  }

  /** Looks for operations of unknown outcome after which this place fits, and makes them happen here. */
  #fill(place: readonly Positioned[], deadline: number): "filled" | "impossible" | "unclear" {
    const candidates = this.#fillers.filter(({ invokedAt }) => invokedAt <= deadline).slice(0, gapFillersMax);
    // Time is settled by the deadline; what is left is a question of values.
    const timeless = new Map<HistoryOperation, HistoryOperation>();
    for (const filler of candidates) timeless.set({ ...filler, invokedAt: 0 }, filler);
    const last: HistoryOperation = { ...(place[0] as Positioned), invokedAt: 0, returnedAt: 0 };
    const step: SequentialModel["step"] = (value, one) =>
      one === last ? this.#after(value, place) : this.#model.step(value, one);
    const search = new KeySearch([last, ...timeless.keys()], { initial: this.#value, step });
    const outcome = search.run(gapStepsMax);
    if (outcome !== "found") return outcome === "impossible" && this.#isExact(deadline) ? outcome : "unclear";
    const used = new Set<HistoryOperation>();
    for (const placed of search.order()) {
      if (placed === last) break;
      const filler = timeless.get(placed);
      invariant(filler !== undefined, `a gap was filled with ${operationText(placed)}, which is no candidate`);
      used.add(filler);
      this.#pass(filler);
      const next = step(this.#value, filler);
      invariant(next !== undefined, `a gap was filled with ${operationText(filler)}, which does not fit`);
      this.#value = next;
    }
    this.#fillers = this.#fillers.filter((filler) => !used.has(filler));
    return "filled";
  }

  /**
   * Whether an unfilled gap is a contradiction. Adds of one amount are interchangeable, every gap needs a certain
   * number of them, and taking those invoked first for the gaps that come first is best. Of unlike operations an earlier
   * gap may have taken the wrong ones.
   */
  #isExact(deadline: number): boolean {
    const candidates = this.#withoutPosition.filter(
      (one) => one.returnedAt === undefined && !changesNothing(one) && one.invokedAt <= deadline,
    );
    const [first] = candidates;
    if (first === undefined) return true;
    return (
      candidates.length <= gapFillersMax &&
      candidates.every(({ kind, argument }) => kind === "add" && argument === first.argument) &&
      this.#order.every(({ kind, result }) => kind !== "compare-and-set" || result !== undefined)
    );
  }

  #pass(operation: HistoryOperation): void {
    if (this.#latest === undefined || operation.invokedAt > this.#latest.invokedAt) this.#latest = operation;
  }

  #refute(why: string, contradicting: readonly HistoryOperation[]): Verdict {
    return { type: "not-linearizable", key: this.#key, why: `key ${valueText(this.#key)}: ${why}`, contradicting };
  }

  #giveUp(why: string): Verdict {
    return { type: "gave-up", key: this.#key, why: `key ${valueText(this.#key)}: ${why}` };
  }
}

function isPositioned(operation: HistoryOperation): operation is Positioned {
  return operation.position !== undefined;
}

function comparePositions(left: Positioned, right: Positioned): number {
  const [a, b] = [left.position, right.position];
  if (a.lsn !== b.lsn) return a.lsn < b.lsn ? -1 : 1;
  if (a.index !== b.index) return a.index < b.index ? -1 : 1; // A read of a whole record may have an infinite index.
  return 0;
}

/** What reads at the position of a change sees it; among reads of one place, whoever asked first goes first. */
function byPosition(left: Positioned, right: Positioned): number {
  return (
    comparePositions(left, right) ||
    Number(changesNothing(left)) - Number(changesNothing(right)) ||
    left.invokedAt - right.invokedAt
  );
}
