/**
 * What one client may be told: every reply against the history, in the client's own order, reads at a place that
 * is not before anything acknowledged when they began (promises P2, P4, P5).
 */
import type { ReadOperation } from "@quipu/counters";
import { check } from "./failure.ts";
import type { History } from "./history.ts";
import { valueText } from "./naive-entries.ts";
import { entryKey } from "./naive-operations.ts";
import { boundedMaximum } from "./workload.ts";

export class ReplyChecker {
  readonly #history: History;
  /** Where the client's replies stand: within record `#lsn`, everything up to `#floor` is before its next read. */
  #lsn = 0;
  #floor = 0;
  /** The step that the client's last read in this record needs at least; its later writes stand above it. */
  #readStep = -1;

  constructor(history: History) {
    this.#history = history;
  }

  /** The client lost its connection: its order begins anew. */
  reset(): void {
    this.#lsn = 0;
  }

  /** Returns the step of the record after which it took effect. */
  write(lsn: number, text: string, reply: string): number {
    this.#moveTo(lsn);
    const expected = this.#history.takeReply(lsn, text, reply, this.#readStep);
    check(
      expected !== undefined,
      "reply-differs",
      () => `${text} was answered ${reply} from record ${lsn}, which has it not`,
    );
    check(
      expected.reply === reply,
      "reply-differs",
      () => `${text} in record ${lsn} was answered ${reply} instead of ${expected.reply}`,
    );
    check(
      expected.step > this.#readStep,
      "reply-order",
      () => `${text} took effect at ${lsn}.${expected.step}, before a read that it follows (${this.#readStep})`,
    );
    this.#floor = Math.max(this.#floor, expected.step);
    return expected.step;
  }

  /** A read in a pipeline, at its place behind the client's writes. */
  readInOrder(lsn: number, operation: ReadOperation, reply: string): void {
    this.#moveTo(lsn);
    const key = keyOf(operation);
    const { entries } = this.#history.model;
    const places = [this.#floor, ...entries.stepsWithin(key, lsn, this.#floor)];
    const found = places.find((step) => valueText(entries.at(key, { lsn, step })) === reply);
    check(
      found !== undefined,
      "read-differs",
      () => `${key} read ${reply} behind step ${this.#floor} of record ${lsn}, which never was so`,
    );
    this.#floor = found;
    this.#readStep = Math.max(this.#readStep, found);
    this.#bounds(key, reply);
  }

  /** A read at the state of record `appliedLsn`; `sinceLsn` was acknowledged when it began. */
  read(appliedLsn: number, sinceLsn: number, operation: ReadOperation, reply: string): void {
    const key = keyOf(operation);
    check(
      appliedLsn >= sinceLsn,
      "read-stale",
      () => `${key} was read at ${appliedLsn}, though a write at ${sinceLsn} had been acknowledged before`,
    );
    const expected = valueText(this.#history.model.entries.at(key, this.#history.endOf(appliedLsn)));
    check(expected === reply, "read-differs", () => `${key} read ${reply} at ${appliedLsn} instead of ${expected}`);
    this.#bounds(key, reply);
  }

  #moveTo(lsn: number): void {
    if (lsn === this.#lsn) return;
    check(lsn > this.#lsn, "reply-order", () => `a reply from record ${lsn} after one from ${this.#lsn}`);
    this.#lsn = lsn;
    this.#floor = 0;
    this.#readStep = -1;
  }

  #bounds(key: string, reply: string): void {
    if (!key.startsWith("0/b") || !reply.startsWith("i:")) return;
    const value = BigInt(reply.slice(2));
    check(value >= 0n && value <= BigInt(boundedMaximum), "bounds", () => `${key} is ${value}`);
  }
}

function keyOf(operation: ReadOperation): string {
  check(operation.type === "get", "threw", () => `the workload reads by get, not ${operation.type}`);
  return entryKey(operation.database, operation.key);
}
