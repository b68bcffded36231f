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
    for (const [i, operation] of this.#order.entries()) {
      const verdict =
        this.#checkPlace(operation) ??
        this.#checkTime(operation) ??
        this.#checkValue(operation, deadlines[i] as number);
      if (verdict !== undefined) return verdict;
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

  #checkPlace(operation: Positioned): Verdict | undefined {
    const changer = this.#changer;
    if (changer === undefined || changesNothing(operation) || comparePositions(changer, operation) !== 0)
      return undefined;
    return this.#refute("two changes have one position", [changer, operation]);
  }

  #checkTime(operation: Positioned): Verdict | undefined {
    this.#pass(operation);
    const latest = this.#latest;
    if (latest === undefined || latest.invokedAt <= deadlineOf(operation)) return undefined;
    const why = "stands before one that returned before it was invoked";
    return this.#refute(`${operationText(latest)} ${why}, ${operationText(operation)}`, [latest, operation]);
  }

  #checkValue(operation: Positioned, deadline: number): Verdict | undefined {
    const before = this.#value;
    let after = this.#model.step(before, operation);
    if (after === undefined && operation.returnedAt === undefined) return undefined; // It changed nothing here.
    if (after === undefined) {
      const filled = this.#fill(operation, deadline);
      if (filled !== "filled") return this.#refuteValue(operation, filled);
      after = this.#model.step(this.#value, operation);
    }
    if (after !== undefined) this.#value = after;
    if (!changesNothing(operation)) this.#changer = operation;
    return undefined;
  }

  #refuteValue(operation: Positioned, filled: "impossible" | "unclear"): Verdict {
    const why = `the value is ${valueText(this.#value)}, from which ${callText(operation)} does not follow`;
    if (filled === "unclear") return this.#giveUp(`${why}, unless through operations of unknown outcome`);
    return this.#refute(why, this.#changer === undefined ? [operation] : [this.#changer, operation]);
  }

  /** Looks for operations of unknown outcome after which `operation` fits, and makes them happen here. */
  #fill(operation: Positioned, deadline: number): "filled" | "impossible" | "unclear" {
    const candidates = this.#fillers.filter(({ invokedAt }) => invokedAt <= deadline).slice(0, gapFillersMax);
    // Time is settled by the deadline; what is left is a question of values.
    const timeless = new Map<HistoryOperation, HistoryOperation>();
    for (const filler of candidates) timeless.set({ ...filler, invokedAt: 0 }, filler);
    const last: HistoryOperation = { ...operation, invokedAt: 0, returnedAt: 0 };
    const step: SequentialModel["step"] = (value, one) => this.#model.step(value, one);
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
   * number of them, and taking those invoked first for the gaps that come first is best. But of unlike operations an
   * earlier gap may have taken the wrong ones, and unlike answers at one place may belong to either side of a gap.
   */
  #isExact(deadline: number): boolean {
    const movable = this.#withoutPosition.filter((one) => one.returnedAt === undefined && !changesNothing(one));
    if (movable.length === 0) return true;
    if (this.#order.some((operation, i) => this.#mayPrecede(operation, this.#order[i - 1]))) return false;
    const candidates = movable.filter(({ invokedAt }) => invokedAt <= deadline);
    const [first] = candidates;
    if (first === undefined) return true;
    return (
      candidates.length <= gapFillersMax &&
      candidates.every(({ kind, argument }) => kind === "add" && argument === first.argument) &&
      this.#order.every(({ kind, result }) => kind !== "compare-and-set" || result !== undefined)
    );
  }

  /** Whether two of unlike answers stand at one place, in an order that is only our choice. */
  #mayPrecede(operation: Positioned, before: Positioned | undefined): boolean {
    if (before === undefined || !changesNothing(before) || comparePositions(before, operation) !== 0) return false;
    return !(operation.kind === "read" && before.kind === "read" && operation.result === before.result);
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
  return left.position.lsn - right.position.lsn || left.position.index - right.position.index;
}

/** What reads at the position of a change sees it; among reads of one place, whoever asked first goes first. */
function byPosition(left: Positioned, right: Positioned): number {
  return (
    comparePositions(left, right) ||
    Number(changesNothing(left)) - Number(changesNothing(right)) ||
    left.invokedAt - right.invokedAt
  );
}
