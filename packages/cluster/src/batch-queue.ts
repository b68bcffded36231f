/**
 * The batches of a replica that are not on their way yet: the open one, which takes what callers submit now, those that
 * were full and wait for room in flight, and spare ones. Counts what waits, so that the replica can refuse in time.
 */
import { invariant } from "@quipu/core";
import { Batch } from "./batch.ts";
import type { ReplicaLimits } from "./limits.ts";

/** Batches kept for reuse: those in flight, one open, a few that were full. */
const spareBatchesMax = 8;

export class BatchQueue {
  readonly #seed: number;
  readonly #isShared: boolean;
  readonly #recordBytesTarget: number;
  readonly #queuedBytesMax: number;
  readonly #queuedItemsMax: number;
  #open: Batch;
  /** Closed because they were full. Oldest first. */
  readonly #full: Batch[] = [];
  readonly #spare: Batch[] = [];
  #queuedBytes = 0;
  #queuedItems = 0;

  /** `seed`: of the hash tables of batches. `isShared`: other nodes write to the log too. */
  constructor(limits: ReplicaLimits, seed: number, isShared: boolean) {
    this.#seed = seed;
    this.#isShared = isShared;
    this.#recordBytesTarget = limits.recordBytesTarget;
    this.#queuedBytesMax = limits.queuedBytesMax;
    this.#queuedItemsMax = limits.queuedItemsMax;
    this.#open = new Batch(seed, isShared);
  }

  /** Takes what callers submit now; each item is announced with {@link BatchQueue.pushed}. */
  get open(): Batch {
    return this.#open;
  }

  /** Nothing waits here; batches that were taken may be under way. */
  get isEmpty(): boolean {
    return this.#open.isEmpty && this.#full.length === 0;
  }

  /** Bytes of full batches. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Items pushed and not yet finished, those of batches under way included. */
  get queuedItems(): number {
    return this.#queuedItems;
  }

  get hasTooManyItems(): boolean {
    return this.#queuedItems > this.#queuedItemsMax;
  }

  get hasTooManyBytes(): boolean {
    return this.#queuedBytes > this.#queuedBytesMax;
  }

  /** An item was pushed onto the open batch. True if that filled it, so that another is open now. */
  pushed(): boolean {
    this.#queuedItems += 1;
    const batch = this.#open;
    if (batch.byteLength < this.#recordBytesTarget) return false;
    this.#queuedBytes += batch.byteLength;
    this.#full.push(batch);
    this.#open = this.spare();
    return true;
  }

  /** The batch whose turn is next; undefined if nothing waits. */
  next(): Batch | undefined {
    const batch = this.#full[0] ?? this.#open;
    return batch.isEmpty ? undefined : batch;
  }

  /** Removes the batch that {@link BatchQueue.next} gave. */
  take(): Batch {
    const full = this.#full.shift();
    if (full !== undefined) {
      this.#queuedBytes -= full.byteLength;
      return full;
    }
    const batch = this.#open;
    invariant(!batch.isEmpty, "an empty batch was taken");
    this.#open = this.spare();
    return batch;
  }

  /** An empty batch: for a record without commands, too. */
  spare(): Batch {
    return this.#spare.pop() ?? new Batch(this.#seed, this.#isShared);
  }

  /** Its items no longer count as waiting. Before they are answered: what they set off may look at the limits. */
  finished(batch: Batch): void {
    this.#queuedItems -= batch.itemCount;
  }

  /** Its callers were answered, but its record is still under way. */
  giveUp(batch: Batch): void {
    this.finished(batch);
    batch.giveUp();
  }

  /** All its items are answered: it may be used again. */
  recycle(batch: Batch): void {
    batch.reset();
    if (this.#spare.length < spareBatchesMax) this.#spare.push(batch);
  }
}
