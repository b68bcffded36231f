/** The last removal in each slot: the version of every key of the slot that does not exist. */
import type { ByteReader, ByteWriter, Lsn } from "@quipu/core";
import { slotCount } from "@quipu/routing";
import { ChangeTracker, type TrackedEntries } from "./change-tracker.ts";
import type { ContentHash, HashSum } from "./hash.ts";
import type { Position } from "./operations.ts";
import { makeStoreKey, storePrefix } from "./store-key.ts";

export class SlotRemovals implements TrackedEntries {
  /** 0: nothing was ever removed there (log sequence numbers begin at 1). */
  readonly #lsns = new Float64Array(slotCount);
  readonly #indexes = new Uint32Array(slotCount);
  readonly #writer: ByteWriter;
  readonly tracker: ChangeTracker;

  constructor(writer: ByteWriter, sum: HashSum) {
    this.#writer = writer;
    this.tracker = new ChangeTracker(this, sum);
  }

  get(slot: number): Position {
    return { lsn: this.#lsns[slot] as Lsn, index: this.#indexes[slot] as number };
  }

  set(slot: number, lsn: number, index: number): void {
    this.tracker.beforeChange(slot);
    this.#lsns[slot] = lsn;
    this.#indexes[slot] = index;
  }

  isPresent(slot: number): boolean {
    return this.#lsns[slot] !== 0;
  }

  hashEntry(slot: number, hash: ContentHash): void {
    hash.start(storePrefix.removal);
    hash.word(slot);
    hash.double(this.#lsns[slot] as number);
    hash.word(this.#indexes[slot] as number);
  }

  storeKey(slot: number): Uint8Array {
    return makeStoreKey(storePrefix.removal, slot, 0, 0);
  }

  storeValue(slot: number): Uint8Array {
    this.#writer.reset();
    this.#writer.varint(this.#lsns[slot] as number);
    this.#writer.u32(this.#indexes[slot] as number);
    return this.#writer.copy();
  }

  load(slot: number, reader: ByteReader): void {
    this.set(slot, reader.varint(), reader.u32());
  }

  /** Removals are only ever overwritten. */
  forget(): void {}
}
