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

/** Items that a new batch has room for. */
const firstItems = 256;

export class Batch {
  readonly builder: RecordBuilder;
  // By item; only the first #itemCount are valid. Kept through reset: emptied arrays would have to grow anew each time.
  #callers: (Caller | undefined)[] = new Array<Caller | undefined>(firstItems).fill(undefined);
  #tags: Int32Array = new Int32Array(firstItems);
  #places: Int32Array = new Int32Array(firstItems);
  #itemCount = 0;
  /** For the items at `placeRead` and `placeFailure`, in item order. */
  readonly reads: ReadOperation[] = [];
  readonly failures: QuipuError[] = [];
  /** The finished record; set when the batch is closed, empty for a batch that logs nothing. */
  record: Uint8Array = new Uint8Array(0);
  /** The record's number under this incarnation; 0 while the batch is open or logs nothing. */
  number = 0;
  /** True once an append was tried whose outcome was not surely "not in the log". */
  maybeInLog = false;
  /** Monotonic time at which its first item came. */
  openedMs = 0;
  /** Its callers were told that nobody knows; the record itself is repeated until it is applied. */
  isGivenUp = false;

  #readBytes = 0;

  /** What the batch holds, in bytes: its commands, and the keys of its reads. */
  get byteLength(): number {
    return this.builder.byteLength + this.#readBytes;
  }

  /** Where others write too, what is applied here may be behind what they have acknowledged: a read needs a position. */
  readonly #logsReads: boolean;

  /** `seed`: see {@link RecordBuilder}. `isShared`: other nodes write to the log too. */
  constructor(seed: number, isShared: boolean) {
    this.builder = new RecordBuilder(seed);
    this.#logsReads = isShared;
  }

  get itemCount(): number {
    return this.#itemCount;
  }

  get isEmpty(): boolean {
    return this.#itemCount === 0;
  }

  caller(item: number): Caller {
    return this.#callers[item] as Caller;
  }

  /** The caller's own word, a 32-bit integer. */
  tag(item: number): number {
    return this.#tags[item] as number;
  }

  /** Index of the item's command in the record (>= 0; folded adds share one), or one of the constants above. */
  place(item: number): number {
    return this.#places[item] as number;
  }

  /** True if there is anything to log; for reads on a shared log that is an empty record, at whose place they are made. */
  get logs(): boolean {
    return this.builder.commandCount > 0 || (this.#logsReads && this.reads.length > 0);
  }

  push(caller: Caller, tag: number, place: number): void {
    const item = this.#itemCount++;
    if (item === this.#tags.length) this.#grow();
    this.#callers[item] = caller;
    this.#tags[item] = tag;
    this.#places[item] = place;
  }

  #grow(): void {
    const tags = new Int32Array(this.#tags.length * 2);
    const places = new Int32Array(tags.length);
    tags.set(this.#tags);
    places.set(this.#places);
    this.#tags = tags;
    this.#places = places;
  }

  pushRead(caller: Caller, tag: number, operation: ReadOperation): void {
    // A later add must not be folded into a run before this place: the read would see it.
    this.builder.endRuns();
    this.reads.push(operation);
    this.#readBytes += keyBytesOf(operation);
    this.push(caller, tag, placeRead);
  }

  /** Refused, but in its place behind the caller's unfinished commands. */
  pushFailure(caller: Caller, tag: number, error: QuipuError): void {
    this.failures.push(error);
    this.push(caller, tag, placeFailure);
  }

  /** All callers were answered before the record was applied. */
  giveUp(): void {
    this.isGivenUp = true;
    this.#forgetItems();
  }

  /** Back to an open, empty batch. */
  reset(): void {
    this.builder.reset();
    this.#forgetItems();
    this.record = new Uint8Array(0);
    this.number = 0;
    this.maybeInLog = false;
    this.isGivenUp = false;
  }

  #forgetItems(): void {
    // A connection that is gone must not be kept alive by a spare batch.
    this.#callers.fill(undefined, 0, this.#itemCount);
    this.#itemCount = 0;
    this.reads.length = 0;
    this.#readBytes = 0;
    this.failures.length = 0;
  }
}

function keyBytesOf(operation: ReadOperation): number {
  if ("keys" in operation) return operation.keys.reduce((sum, key) => sum + key.length, 0);
  if ("key" in operation) return operation.key.length;
  return "pattern" in operation ? (operation.pattern?.length ?? 0) : 0;
}
