/**
 * A black box counter whose adds are positive and answer the new value, with reads: no positions needed. The values
 * themselves are the order: each answered add claims the stretch (value - amount, value], a read stands where one
 * stretch ends and the next begins, and what nobody claimed was counted by adds of unknown outcome. O(n log n).
 *
 * Exact where the adds of unknown outcome are all of one amount: every gap then takes a certain number of them, and
 * taking those invoked first for the gaps that come first is best. Unlike ones make a subset-sum of every gap.
 */
import { type Int64, int64Add, int64Negate } from "@quipu/core";
import {
  deadlineOf,
  type HistoryOperation,
  type KeyHistory,
  operationText,
  partitionByKey,
  valueText,
} from "./history.ts";
import { checkEachKey, linearizable, type Verdict } from "./verdict.ts";

export interface CounterCheckOptions {
  /** Of every counter, before the history; 0 by default. An absent key counts as 0. */
  readonly initial?: Int64;
}

/** An answered operation and the values just before and after it: equal for a read. */
interface Claim {
  readonly operation: HistoryOperation;
  readonly before: Int64;
  readonly after: Int64;
}

export function checkAddAndGet(history: readonly HistoryOperation[], options: CounterCheckOptions = {}): Verdict {
  return checkEachKey(partitionByKey(history), (part) => checkKey(part, options.initial ?? 0));
}

function checkKey(part: KeyHistory, initial: Int64): Verdict {
  const claims: Claim[] = [];
  const unknown: HistoryOperation[] = [];
  for (const operation of part.operations) {
    const claim = claimOf(operation);
    if (claim === "foreign") {
      const why = `${operationText(operation)} is no read, and no add of a positive amount that answers its value`;
      return { type: "gave-up", key: part.key, why };
    }
    if (claim === "unknown") unknown.push(operation);
    else if (claim !== "nothing") claims.push(claim);
  }
  claims.sort(byValue);
  unknown.sort((a, b) => a.invokedAt - b.invokedAt);
  return new ValueSweep(part.key, initial, unknown).run(claims);
}

function claimOf(operation: HistoryOperation): Claim | "foreign" | "unknown" | "nothing" {
  const { kind, result, argument } = operation;
  if (kind === "read") {
    if (result === undefined) return "nothing";
    return typeof result === "string" ? "foreign" : { operation, before: result ?? 0, after: result ?? 0 };
  }
  if (kind !== "add" || argument <= 0) return "foreign";
  if (operation.returnedAt === undefined) return "unknown";
  if (result === undefined || result === "refused") return "foreign";
  const before = int64Add(result, int64Negate(argument) ?? 0);
  return before === undefined ? "foreign" : { operation, before, after: result };
}

/** By value; whoever reaches a value stands before those who read it, of whom the first to ask goes first. */
function byValue(left: Claim, right: Claim): number {
  if (left.after !== right.after) return left.after < right.after ? -1 : 1;
  const isReadLast = Number(left.before === left.after) - Number(right.before === right.after);
  return isReadLast || left.operation.invokedAt - right.operation.invokedAt;
}

class ValueSweep {
  readonly #key: string;
  readonly #unknown: readonly HistoryOperation[];
  readonly #isAlike: boolean;
  /** How many of the unknown ones are used. */
  #used = 0;
  #value: Int64;
  #last: HistoryOperation | undefined;
  /** The latest invocation so far: everything from here on takes effect no earlier. */
  #latest: HistoryOperation | undefined;

  constructor(key: string, initial: Int64, unknown: readonly HistoryOperation[]) {
    this.#key = key;
    this.#value = initial;
    this.#unknown = unknown;
    this.#isAlike = unknown.every(({ argument }) => argument === unknown[0]?.argument);
  }

  run(claims: readonly Claim[]): Verdict {
    for (const claim of claims) {
      const verdict = this.#checkValue(claim) ?? this.#checkTime(claim.operation);
      if (verdict !== undefined) return verdict;
      this.#value = claim.after;
      this.#last = claim.operation;
    }
    return linearizable;
  }

  #checkValue({ operation, before }: Claim): Verdict | undefined {
    if (before === this.#value) return undefined;
    if (before < this.#value) {
      return this.#refute(`${this.#text(this.#last)} and ${operationText(operation)} count the same`, operation);
    }
    return this.#fill(operation, before);
  }

  /** Counts from the present value to `target` with adds of unknown outcome, invoked before `operation` returned. */
  #fill(operation: HistoryOperation, target: Int64): Verdict | undefined {
    const first = this.#unknown[this.#used];
    const gap = `nobody answered counted from ${valueText(this.#value)} to ${valueText(target)}`;
    const why = `${gap}, before ${operationText(operation)}`;
    if (first === undefined || first.invokedAt > deadlineOf(operation)) return this.#refute(why, operation);
    if (!this.#isAlike) return this.#giveUp(why);
    const [distance, amount] = [BigInt(target) - BigInt(this.#value), BigInt(first.argument as Int64)];
    const count = distance / amount;
    const left = this.#unknown.length - this.#used;
    if (distance % amount !== 0n || count > left) {
      return this.#refute(`${why}; of unknown outcome are ${left} adds of ${amount}`, operation);
    }
    this.#used += Number(count);
    this.#pass(this.#unknown[this.#used - 1] as HistoryOperation);
    return undefined;
  }

  #checkTime(operation: HistoryOperation): Verdict | undefined {
    this.#pass(operation);
    const latest = this.#latest;
    if (latest === undefined || latest.invokedAt <= deadlineOf(operation)) return undefined;
    const why = `by the values ${operationText(latest)} came first, but it was invoked after the return of`;
    return this.#refute(`${why} ${operationText(operation)}`, operation, latest);
  }

  #pass(operation: HistoryOperation): void {
    if (this.#latest === undefined || operation.invokedAt > this.#latest.invokedAt) this.#latest = operation;
  }

  #text(operation: HistoryOperation | undefined): string {
    return operation === undefined ? `the initial value ${valueText(this.#value)}` : operationText(operation);
  }

  #refute(why: string, operation: HistoryOperation, other: HistoryOperation | undefined = this.#last): Verdict {
    const contradicting = other === undefined ? [operation] : [other, operation];
    return { type: "not-linearizable", key: this.#key, why: `key ${valueText(this.#key)}: ${why}`, contradicting };
  }

  #giveUp(why: string): Verdict {
    const reason = `key ${valueText(this.#key)}: ${why}; those of unknown outcome are of unlike amounts`;
    return { type: "gave-up", key: this.#key, why: reason };
  }
}
