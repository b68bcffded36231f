/** The search on one key: depth first with a stack of its own, so that no history is too long for it. */
import { invariant } from "@quipu/core";
import { changesNothing, deadlineOf, type HistoryOperation, type HistoryValue } from "./history.ts";
import type { SequentialModel } from "./models.ts";
import { Unplaced } from "./unplaced.ts";

/** An operation, by its index among the answered ones, or among those of unknown outcome. */
interface Member {
  readonly list: Unplaced;
  readonly index: number;
}

/** A place in the order with what can come there. */
interface Frame {
  /** How many are placed before. */
  readonly depth: number;
  readonly value: HistoryValue;
  /** What was not tried yet, the best last. */
  readonly choices: Member[];
}

/** How far a search came that failed. */
export interface Deepest {
  readonly placed: readonly HistoryOperation[];
  readonly value: HistoryValue;
  /** What is answered and could have come next in time, the one that must come first, first. */
  readonly next: readonly HistoryOperation[];
}

export class KeySearch {
  readonly #model: SequentialModel;
  readonly #answered: Unplaced;
  readonly #open: Unplaced;
  readonly #visited = new Set<string>();
  readonly #valueNumbers = new Map<HistoryValue, number>();
  readonly #order: Member[] = [];
  readonly #stack: Frame[] = [];
  #value: HistoryValue;
  #steps = 0;
  #deepest: Deepest | undefined;
  #deepestAnswered = -1;

  constructor(operations: readonly HistoryOperation[], model: SequentialModel) {
    this.#model = model;
    this.#value = model.initial;
    const sorted = operations.toSorted((a, b) => a.invokedAt - b.invokedAt || deadlineOf(a) - deadlineOf(b));
    this.#answered = new Unplaced(sorted.filter(({ returnedAt }) => returnedAt !== undefined));
    // What changes nothing and was not answered need not have happened.
    this.#open = new Unplaced(sorted.filter((one) => one.returnedAt === undefined && !changesNothing(one)));
  }

  /** Placements tried so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Goes on for about `stepsMax` placements. */
  run(stepsMax: number): "found" | "impossible" | "paused" {
    const end = this.#steps + stepsMax;
    if (this.#deepestAnswered < 0) {
      this.#deepestAnswered = 0;
      this.#enter();
    }
    while (this.#answered.count > 0) {
      const frame = this.#stack.at(-1);
      if (frame === undefined) return "impossible";
      this.#backTo(frame);
      if (this.#steps >= end) return "paused";
      const choice = frame.choices.pop();
      if (choice === undefined) {
        this.#stack.pop();
        continue;
      }
      const next = this.#step(choice);
      invariant(next !== undefined, `what could be placed at depth ${frame.depth} no longer can`);
      this.#place(choice, next);
      this.#enter();
    }
    return "found";
  }

  /** What is placed, in order: all that was answered, once it is found. */
  order(): readonly HistoryOperation[] {
    return this.#order.map(({ list, index }) => list.operation(index));
  }

  deepest(): Deepest {
    return this.#deepest ?? { placed: [], value: this.#model.initial, next: [] };
  }

  /** Places what has no alternative, then opens a frame for what has, unless this was seen before. */
  #enter(): void {
    let deadline = this.#answered.earliestDeadline();
    while (this.#placePure(deadline)) deadline = this.#answered.earliestDeadline();
    if (this.#answered.count === 0) return;
    const text = this.#configurationText(deadline);
    const choices = this.#visited.has(text) ? [] : this.#choices(deadline);
    this.#visited.add(text);
    if (choices.length === 0) this.#remember(deadline);
    else this.#stack.push({ depth: this.#order.length, value: this.#value, choices });
  }

  #placePure(deadline: number): boolean {
    const list = this.#answered;
    let placed = false;
    for (let index = list.head; index < list.length; index = list.next(index)) {
      const operation = list.operation(index);
      if (operation.invokedAt > deadline) break;
      if (!changesNothing(operation) || this.#step({ list, index }) === undefined) continue;
      this.#place({ list, index }, this.#value);
      placed = true;
    }
    return placed;
  }

  /** What changes the value and can come next, each kind of question and answer once. */
  #choices(deadline: number): Member[] {
    const found: Member[] = [];
    for (const list of [this.#answered, this.#open]) {
      for (let index = list.head; index < list.length; index = list.next(index)) {
        const operation = list.operation(index);
        if (operation.invokedAt > deadline) break;
        if (changesNothing(operation)) continue;
        const next = this.#step({ list, index });
        // Of unknown outcome and without effect: it may as well not have happened.
        if (next === undefined || (list === this.#open && next === this.#value)) continue;
        found.push({ list, index });
      }
    }
    if (found.length < 2) return found;
    return withoutTwins(found).reverse();
  }

  #step(member: Member): HistoryValue | undefined {
    return this.#model.step(this.#value, member.list.operation(member.index));
  }

  #place(member: Member, next: HistoryValue): void {
    this.#steps += 1;
    this.#order.push(member);
    member.list.take(member.index);
    this.#value = next;
  }

  #backTo(frame: Frame): void {
    while (this.#order.length > frame.depth) {
      const member = this.#order.pop() as Member;
      member.list.putBack(member.index);
    }
    this.#value = frame.value;
  }

  #configurationText(deadline: number): string {
    let number = this.#valueNumbers.get(this.#value);
    if (number === undefined) {
      number = this.#valueNumbers.size;
      this.#valueNumbers.set(this.#value, number);
    }
    return (
      String.fromCharCode(number & 0xffff, number >>> 16) +
      this.#answered.placedText(deadline) +
      this.#open.placedText(deadline)
    );
  }

  /** Nothing can follow here. Kept only if no other dead end was later. */
  #remember(deadline: number): void {
    const placed = this.#answered.length - this.#answered.count;
    if (this.#deepest !== undefined && placed <= this.#deepestAnswered) return;
    this.#deepestAnswered = placed;
    const next: HistoryOperation[] = [];
    for (let index = this.#answered.head; index < this.#answered.length; index = this.#answered.next(index)) {
      const operation = this.#answered.operation(index);
      if (operation.invokedAt > deadline) break;
      next.push(operation);
    }
    this.#deepest = {
      placed: this.order(),
      value: this.#value,
      next: next.toSorted((a, b) => deadlineOf(a) - deadlineOf(b)),
    };
  }
}

/** Earliest deadline first, without those that can change places with one before them. */
function withoutTwins(members: readonly Member[]): Member[] {
  const questions = new Set<string>();
  const answers = new Set<string>();
  return members
    .toSorted((a, b) => deadlineOf(a.list.operation(a.index)) - deadlineOf(b.list.operation(b.index)))
    .filter(({ list, index }) => {
      const operation = list.operation(index);
      const question = questionText(operation);
      const answer = `${question} ${exactText(operation.result)}`;
      const isTwin = answers.has(answer) || (operation.result === undefined && questions.has(question));
      questions.add(question);
      answers.add(answer);
      return !isTwin;
    });
}

/** What was asked; equal only for equal questions. */
function questionText(operation: HistoryOperation): string {
  if (operation.kind !== "compare-and-set") return `${operation.kind} ${exactText(operation.argument)}`;
  return `compare-and-set ${exactText(operation.argument.expected)} ${exactText(operation.argument.next)}`;
}

function exactText(value: HistoryValue | boolean | undefined): string {
  return typeof value === "string" ? `${value.length}:${value}` : `${value}`;
}
