/**
 * One batch: the commands of this node's callers that will become one record, and who waits for what.
 *
 * Kept as parallel arrays, not objects: a batch holds thousands of items and is filled and drained in one turn each.
 */
import type { Int64, QuipuError } from "@quipu/core";
import { type OutcomeValue, RecordBuilder, type ReadOperation } from "@quipu/counters";
import type { Caller } from "./caller.ts";

/** `places[i]` when item i is not a command of the record. */
export const placeRide = -1;
export const placeRead = -2;
export const placeFailure = -3;

/** What an add run answered, kept for the callers that were folded into it. */
export interface RunResult {
  first: Int64;
  delta: Int64;
  admitted: number;
  /** The ordinal of the next caller to be answered. */
  next: number;
  /** What the callers from `admitted` on get. */
  rejection: OutcomeValue;
}

export class Batch {
  readonly builder: RecordBuilder = new RecordBuilder();
  readonly callers: Caller[] = [];
  readonly tags: number[] = [];
  /** Index of the item's command in the record (>= 0; folded adds share one), or one of the constants above. */
  readonly places: number[] = [];
  /** For the items at `placeRead` and `placeFailure`, in item order. */
  readonly reads: ReadOperation[] = [];
  readonly failures: QuipuError[] = [];
  /** The finished record; set when the batch is closed, empty for a batch that logs nothing. */
  record: Uint8Array = new Uint8Array(0);
  /** The record's number under this incarnation; 0 while the batch is open or logs nothing. */
  number = 0;
  /** True once an append was tried whose outcome was not surely "not in the log". */
  maybeInLog = false;

  get itemCount(): number {
    return this.places.length;
  }

  get isEmpty(): boolean {
    return this.places.length === 0;
  }

  /** True if there is anything to log. */
  get logs(): boolean {
    return this.builder.commandCount > 0;
  }

  push(caller: Caller, tag: number, place: number): void {
    this.callers.push(caller);
    this.tags.push(tag);
    this.places.push(place);
  }

  /** Back to an open, empty batch; the arrays keep their capacity. */
  reset(): void {
    this.builder.reset();
    this.callers.length = 0;
    this.tags.length = 0;
    this.places.length = 0;
    this.reads.length = 0;
    this.failures.length = 0;
    this.record = new Uint8Array(0);
    this.number = 0;
    this.maybeInLog = false;
  }
}
