/**
 * A black box counter whose adds are all of one amount and answer nothing, with reads. O(n log n).
 *
 * Slot i is the i-th add to take effect. It has the window [R(i), D(i)]: not before the latest invocation of a read that
 * saw fewer than i adds, not after the earliest return of one that saw i or more. Both grow with i, so an add fits a contiguous run of slots, and giving each slot
 * the add that must come first fills all of them if anything does (convex bipartite matching, Glover 1967). Adds
 * without a slot take effect after all reads.
 */
import type { Int64 } from "@quipu/core";
import type { CounterCheckOptions } from "./add-and-get.ts";
import { EarliestFirst } from "./earliest-first.ts";
import {
  deadlineOf,
  type HistoryOperation,
  type KeyHistory,
  operationText,
  partitionByKey,
  valueText,
} from "./history.ts";
import { checkEachKey, linearizable, type Verdict } from "./verdict.ts";

export function checkBlindAdds(history: readonly HistoryOperation[], options: CounterCheckOptions = {}): Verdict {
  return checkEachKey(partitionByKey(history), (part) => checkKey(part, options.initial ?? 0));
}

function checkKey(part: KeyHistory, initial: Int64): Verdict {
  const [reads, adds]: [HistoryOperation[], HistoryOperation[]] = [[], []];
  for (const operation of part.operations) {
    if (operation.kind === "read" && typeof operation.result !== "string") {
      if (operation.result !== undefined) reads.push(operation);
    } else if (isLike(operation, adds[0] ?? operation)) adds.push(operation);
    else {
      const why = `${operationText(operation)} is no read, and no add of the one amount without an answer`;
      return { type: "gave-up", key: part.key, why };
    }
  }
  const amount = adds[0]?.argument as Int64 | undefined;
  const windows = new SlotWindows(part.key, adds.length);
  for (const read of reads) {
    const seen = addsSeen(read, initial, amount ?? 1);
    if (seen === undefined || seen > adds.length) {
      const why = `${operationText(read)}, of ${adds.length} adds of ${amount ?? "nothing"} to ${valueText(initial)}`;
      return refute(part.key, why, [read]);
    }
    windows.add(read, seen);
  }
  return windows.check() ?? windows.match(adds);
}

function isLike({ kind, argument, result, returnedAt }: HistoryOperation, first: HistoryOperation): boolean {
  return (
    kind === "add" &&
    argument === first.argument &&
    argument !== 0 &&
    !(returnedAt !== undefined && result !== undefined)
  );
}

/** How many adds the read saw; undefined where its value is no number of them. */
function addsSeen(read: HistoryOperation, initial: Int64, amount: Int64): number | undefined {
  const value = (read.result ?? 0) as Int64;
  if (typeof value === "number" && typeof initial === "number" && typeof amount === "number") {
    const distance = value - initial;
    if (Number.isSafeInteger(distance)) {
      return distance % amount === 0 && distance / amount >= 0 ? Math.abs(distance / amount) : undefined;
    }
  }
  const distance = BigInt(value) - BigInt(initial);
  const seen = distance / BigInt(amount);
  return seen >= 0n && seen * BigInt(amount) === distance ? Number(seen) : undefined;
}

function refute(key: string, why: string, contradicting: readonly HistoryOperation[]): Verdict {
  return { type: "not-linearizable", key, why: `key ${valueText(key)}: ${why}`, contradicting };
}

class SlotWindows {
  readonly #key: string;
  /** By slot, from 1: the read invoked last of those that saw fewer adds. */
  readonly #opens: (HistoryOperation | undefined)[];
  /** By slot, from 1: the read that returned first of those that saw as many adds or more. */
  readonly #closes: (HistoryOperation | undefined)[];
  /** The most adds that a read saw: that many slots must be filled. */
  #slots = 0;

  constructor(key: string, adds: number) {
    this.#key = key;
    this.#opens = Array.from({ length: adds + 2 });
    this.#closes = Array.from({ length: adds + 2 });
  }

  add(read: HistoryOperation, seen: number): void {
    this.#slots = Math.max(this.#slots, seen);
    this.#opens[seen + 1] = laterInvoked(this.#opens[seen + 1], read);
    this.#closes[seen] = earlierReturned(this.#closes[seen], read);
  }

  /** No read may see more than one that began after it had returned. */
  check(): Verdict | undefined {
    for (let slot = 1; slot <= this.#slots + 1; slot++) {
      this.#opens[slot] = laterInvoked(this.#opens[slot - 1], this.#opens[slot]);
    }
    for (let slot = this.#slots; slot >= 1; slot--) {
      this.#closes[slot] = earlierReturned(this.#closes[slot], this.#closes[slot + 1]);
    }
    for (let slot = 1; slot <= this.#slots; slot++) {
      const [less, more] = [this.#opens[slot], this.#closes[slot]];
      if (less === undefined || more === undefined || less.invokedAt <= deadlineOf(more)) continue;
      return refute(this.#key, `${operationText(more)} returned before ${operationText(less)} began`, [more, less]);
    }
    return undefined;
  }

  match(adds: readonly HistoryOperation[]): Verdict {
    const waiting = adds.toSorted((a, b) => a.invokedAt - b.invokedAt);
    const heap = new EarliestFirst();
    let next = 0;
    for (let slot = 1; slot <= this.#slots; slot++) {
      const read = this.#closes[slot];
      const closesAt = read === undefined ? Number.POSITIVE_INFINITY : deadlineOf(read);
      for (; next < waiting.length && (waiting[next] as HistoryOperation).invokedAt <= closesAt; next++) {
        heap.push(waiting[next] as HistoryOperation);
      }
      const add = heap.pop();
      if (add === undefined) {
        const only = `of ${slot} adds that took effect before it returned, only ${slot - 1} were invoked`;
        return refute(this.#key, `${read === undefined ? "a read" : operationText(read)}: ${only}`, read ? [read] : []);
      }
      const verdict = this.#checkDeadline(add, slot);
      if (verdict !== undefined) return verdict;
    }
    for (; next < waiting.length; next++) heap.push(waiting[next] as HistoryOperation);
    const first = heap.pop();
    return (first === undefined ? undefined : this.#checkDeadline(first, this.#slots + 1)) ?? linearizable;
  }

  /** The add comes no earlier than `slot`: all slots before are filled by others that had to come first. */
  #checkDeadline(add: HistoryOperation, slot: number): Verdict | undefined {
    const read = this.#opens[slot];
    if (read === undefined || read.invokedAt <= deadlineOf(add)) return undefined;
    const why = `returned before ${operationText(read)} was invoked, which with all that it saw leaves no room for it`;
    return refute(this.#key, `${operationText(add)} ${why}`, [add, read]);
  }
}

function laterInvoked(
  left: HistoryOperation | undefined,
  right: HistoryOperation | undefined,
): HistoryOperation | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return left.invokedAt >= right.invokedAt ? left : right;
}

function earlierReturned(
  left: HistoryOperation | undefined,
  right: HistoryOperation | undefined,
): HistoryOperation | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return deadlineOf(left) <= deadlineOf(right) ? left : right;
}
