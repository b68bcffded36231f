/**
 * What changed: since the last checkpoint (dirty entries, copy on write while a frozen set is written out) and since
 * the last look at the state hash.
 *
 * Every mutation calls {@link ChangeTracker.beforeChange} first. For an entry that changes again and again that is one
 * comparison: a key touched 100,000 times is hashed and written once. A removed entry that the store may hold stays in
 * the table as a tombstone until its deletion is written, so one key never has two ids.
 */
import { invariant } from "@quipu/core";
import { IdList, Uint8Column } from "./columns.ts";
import { ContentHash, type HashSum } from "./hash.ts";

/** What the tracker asks of a table of entries. */
export interface TrackedEntries {
  /** False for tombstones and free ids. */
  isPresent(id: number): boolean;
  /** Feeds the whole content of a present entry. */
  hashEntry(id: number, hash: ContentHash): void;
  /** Key in the store; for present entries and tombstones. */
  storeKey(id: number): Uint8Array;
  /** Value in the store of a present entry. */
  storeValue(id: number): Uint8Array;
  /** Drops a tombstone for good: its id may be used again. */
  forget(id: number): void;
}

export interface ChangeSink {
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
}

/** The content of the entry is not in the hash sum; it is in the list of those to hash. */
const unhashed = 1;
/** In the one or the other list of dirty entries: one is filling while the other is frozen. */
const dirtyEven = 2;
const dirtyOdd = 4;
const dirtyEither = dirtyEven | dirtyOdd;
/** The store may hold it. */
const stored = 8;

/**
 * Entries that may wait to be hashed; beyond it each newcomer hashes the two that wait longest, so that no change ever
 * pays for many. Large enough that 100,000 keys in constant use are not hashed at all until somebody asks for the sum,
 * who then pays some 10 ms at most.
 */
const unhashedMax = 131_072;
/** Of the ring that holds them, at first. */
const firstUnhashedMax = 64;

export class ChangeTracker {
  readonly #entries: TrackedEntries;
  readonly #sum: HashSum;
  readonly #hash = new ContentHash();
  readonly #flags = new Uint8Column();
  /** A ring of ids, oldest first; its length is a power of two. */
  #unhashed = new Uint32Array(firstUnhashedMax);
  #unhashedFirst = 0;
  #unhashedCount = 0;
  #isLoading = false;
  /** Loaded entries not hashed yet: those ids from here on, below the end, that are marked unhashed. Not in the ring. */
  #backlogNext = 0;
  #backlogEnd = 0;
  #dirty = new IdList();
  #dirtyBit = dirtyEven;
  /** Flags of an entry that needs nothing more before a change: unhashed and dirty, not frozen. */
  #settled = unhashed | dirtyEven;
  #frozen = new IdList();
  #isFrozen = false;
  #frozenNext = 0;
  /** Frozen entries that changed before they were written, as they were: value undefined means deleted. */
  #saved: { readonly key: Uint8Array; readonly value: Uint8Array | undefined }[] = [];
  readonly #deleted = new IdList();

  constructor(entries: TrackedEntries, sum: HashSum) {
    this.#entries = entries;
    this.#sum = sum;
  }

  /** Entries changed since the last freeze (an upper bound: some may be back to nothing). */
  get dirtyCount(): number {
    return this.#dirty.length;
  }

  /** Before any change of `id`, its creation and removal included. */
  beforeChange(id: number): void {
    if ((this.#flags.get(id) & (unhashed | dirtyEither)) !== this.#settled) this.#firstChange(id);
  }

  #firstChange(id: number): void {
    this.#flags.ensure(id);
    if (this.#isLoading) {
      this.#flags.set(id, unhashed | stored);
      if (id >= this.#backlogEnd) this.#backlogEnd = id + 1;
      return;
    }
    let flags = this.#flags.get(id);
    const frozenBit = dirtyEither ^ this.#dirtyBit;
    if ((flags & frozenBit) !== 0) {
      this.#save(id, flags);
      flags = this.#flags.get(id) & ~frozenBit;
    }
    if ((flags & unhashed) === 0) {
      if (this.#entries.isPresent(id)) {
        this.#hashEntry(id);
        this.#sum.subtract(this.#hash);
      }
      flags |= unhashed;
      this.#pushUnhashed(id);
    }
    if ((flags & this.#dirtyBit) === 0) {
      flags |= this.#dirtyBit;
      this.#dirty.push(id);
    }
    this.#flags.set(id, flags);
  }

  /** After a removal: the entry is no longer present. Tombstone, or gone at once if the store never saw it. */
  afterRemoval(id: number): void {
    if ((this.#flags.get(id) & stored) === 0) this.#entries.forget(id);
  }

  /**
   * Entries come from the store or a snapshot until {@link ChangeTracker.endLoad}: they count as stored and clean, and
   * their hashes wait in the backlog.
   */
  beginLoad(): void {
    invariant(!this.#isFrozen && this.#dirty.length === 0, "loaded over changes");
    this.#isLoading = true;
  }

  /** `inStore`: what was loaded came out of our own store. Else all of it is dirty. */
  endLoad(inStore: boolean): void {
    this.#isLoading = false;
    if (inStore) return;
    for (let id = 0; id < this.#backlogEnd; id++) {
      if ((this.#flags.get(id) & unhashed) === 0) continue;
      this.#flags.set(id, unhashed | this.#dirtyBit);
      this.#dirty.push(id);
    }
  }

  /** True while loaded entries wait to be hashed: the sum is not to be had without a pause. */
  get hasBacklog(): boolean {
    return this.#backlogNext < this.#backlogEnd;
  }

  /** Hashes up to `count` loaded entries; returns how many of `count` are left over. */
  hashBacklog(count: number): number {
    let left = count;
    // An entry of the backlog that was changed since is hashed as it is now: its change saw it marked as unhashed.
    for (; left > 0 && this.#backlogNext < this.#backlogEnd; left--) this.#hashIfUnhashed(this.#backlogNext++);
    return left;
  }

  /** Changed entries that wait to be hashed. */
  get hashPendingCount(): number {
    return this.#unhashedCount;
  }

  /** Brings the hash sum up to date. */
  hashPending(): void {
    this.hashBacklog(Number.POSITIVE_INFINITY);
    while (this.#unhashedCount > 0) this.#hashOldest();
  }

  #pushUnhashed(id: number): void {
    if (this.#unhashedCount === this.#unhashed.length) {
      if (this.#unhashedCount < unhashedMax) this.#growUnhashed();
      else {
        this.#hashOldest();
        this.#hashOldest();
      }
    }
    const at = (this.#unhashedFirst + this.#unhashedCount++) & (this.#unhashed.length - 1);
    this.#unhashed[at] = id;
  }

  #growUnhashed(): void {
    const grown = new Uint32Array(this.#unhashed.length * 2);
    grown.set(this.#unhashed.subarray(this.#unhashedFirst));
    grown.set(this.#unhashed.subarray(0, this.#unhashedFirst), this.#unhashed.length - this.#unhashedFirst);
    this.#unhashed = grown;
    this.#unhashedFirst = 0;
  }

  #hashOldest(): void {
    const id = this.#unhashed[this.#unhashedFirst] as number;
    this.#unhashedFirst = (this.#unhashedFirst + 1) & (this.#unhashed.length - 1);
    this.#unhashedCount--;
    this.#hashIfUnhashed(id);
  }

  #hashIfUnhashed(id: number): void {
    const flags = this.#flags.get(id);
    if ((flags & unhashed) === 0) return;
    this.#flags.set(id, flags & ~unhashed);
    if (!this.#entries.isPresent(id)) return;
    this.#hashEntry(id);
    this.#sum.add(this.#hash);
  }

  /** The entries dirty now become the frozen set. Returns how many. */
  freeze(): number {
    invariant(!this.#isFrozen, "frozen twice");
    this.#isFrozen = true;
    const frozen = this.#dirty;
    this.#dirty = this.#frozen;
    this.#frozen = frozen;
    this.#frozenNext = 0;
    this.#dirtyBit ^= dirtyEither;
    this.#settled = unhashed | this.#dirtyBit;
    return frozen.length;
  }

  /** Gives up to `count` frozen entries to the sink, as of the freeze. Returns how many of `count` are left over. */
  writeFrozen(count: number, sink: ChangeSink): number {
    const frozenBit = dirtyEither ^ this.#dirtyBit;
    let left = count;
    for (; left > 0 && this.#frozenNext < this.#frozen.length; left--) {
      const id = this.#frozen.at(this.#frozenNext++);
      const flags = this.#flags.get(id);
      if ((flags & frozenBit) === 0) continue; // Saved when it changed.
      this.#flags.set(id, flags & ~frozenBit);
      if (this.#entries.isPresent(id)) {
        this.#flags.set(id, (flags & ~frozenBit) | stored);
        sink.put(this.#entries.storeKey(id), this.#entries.storeValue(id));
      } else if ((flags & stored) !== 0) {
        this.#deleted.push(id);
        sink.delete(this.#entries.storeKey(id));
      }
    }
    for (; left > 0 && this.#saved.length > 0; left--) {
      const saved = this.#saved.pop();
      if (saved === undefined) break;
      if (saved.value === undefined) sink.delete(saved.key);
      else sink.put(saved.key, saved.value);
    }
    return left;
  }

  /** Ends the freeze. What was written is clean; what was given up is dirty again. */
  release(written: boolean): void {
    const frozenBit = dirtyEither ^ this.#dirtyBit;
    if (!written) {
      for (let index = 0; index < this.#frozen.length; index++) {
        const id = this.#frozen.at(index);
        let flags = this.#flags.get(id) & ~frozenBit;
        if ((flags & this.#dirtyBit) === 0) {
          flags |= this.#dirtyBit;
          this.#dirty.push(id);
        }
        this.#flags.set(id, flags);
      }
    } else {
      for (let index = 0; index < this.#deleted.length; index++) this.#bury(this.#deleted.at(index));
    }
    this.#deleted.clear();
    this.#frozen.clear();
    this.#saved = [];
    this.#isFrozen = false;
  }

  /** A deletion was written: the tombstone goes, unless the key came back or changed since. */
  #bury(id: number): void {
    const flags = this.#flags.get(id);
    if (this.#entries.isPresent(id) || (flags & dirtyEither) !== 0) return;
    this.#flags.set(id, flags & ~stored);
    this.#entries.forget(id);
  }

  /** Copy on write: keeps a frozen entry as it is now. */
  #save(id: number, flags: number): void {
    if (this.#entries.isPresent(id)) {
      this.#saved.push({ key: this.#entries.storeKey(id), value: this.#entries.storeValue(id) });
      this.#flags.set(id, flags | stored);
    } else if ((flags & stored) !== 0) {
      this.#saved.push({ key: this.#entries.storeKey(id), value: undefined });
    }
  }

  #hashEntry(id: number): void {
    this.#entries.hashEntry(id, this.#hash);
    this.#hash.finish();
  }
}
