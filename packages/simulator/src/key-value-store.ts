/**
 * A key-value store that forgets, deterministically: batches are atomic and ordered; a crash loses any
 * suffix of the unsynced ones (LevelDB's promise, and no more than that).
 */
import { invariant, type KeyValueBatch, type KeyValueStore, type Random } from "@quipu/core";

export interface SimulatedKeyValueStoreOptions {
  readonly random: Random;
  /** Runs `action` when the I/O completes. */
  readonly complete: (action: () => void) => void;
  /** Asked before every batch and read; an error it returns rejects that operation, which changes nothing. */
  readonly fault?: (operation: "get" | "write" | "entries") => Error | undefined;
  /** Entries per page of `entries`. */
  readonly pageEntries?: number;
}

/** Undefined: deleted. */
type Change = readonly [key: string, value: Uint8Array | undefined];

/** Which unsynced batches a crash keeps: always a prefix. */
export type KeyValueCrashKeeps = "random" | "all" | "none";

export class SimulatedKeyValueStore implements KeyValueStore {
  readonly #options: SimulatedKeyValueStoreOptions;
  /** What is sure to survive, then the batches written since the last synced one, oldest first. */
  readonly #durable: Map<string, Uint8Array>;
  #unsynced: (readonly Change[])[] = [];
  readonly #current: Map<string, Uint8Array>;
  #crashed = false;
  #closed = false;

  constructor(
    options: SimulatedKeyValueStoreOptions,
    contents: ReadonlyMap<string, Uint8Array> = new Map<string, Uint8Array>(),
  ) {
    this.#options = options;
    this.#durable = new Map(contents);
    this.#current = new Map(contents);
  }

  /** Batches that a crash may lose. */
  get unsyncedBatches(): number {
    return this.#unsynced.length;
  }

  /** What a crash is sure to keep under `key`. */
  durable(key: Uint8Array): Uint8Array | undefined {
    return this.#durable.get(keyOf(key));
  }

  /** Power off: this store answers nothing any more; the returned one is what the machine finds. */
  crash(keeps: KeyValueCrashKeeps = "random"): SimulatedKeyValueStore {
    this.#crashed = true;
    const all = this.#unsynced.length;
    const kept = keeps === "random" ? this.#options.random.below(all + 1) : keeps === "all" ? all : 0;
    const contents = new Map(this.#durable);
    for (const changes of this.#unsynced.slice(0, kept)) applyChanges(contents, changes);
    return new SimulatedKeyValueStore(this.#options, contents);
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#operate("get", () => this.#current.get(keyOf(key))?.slice());
  }

  batch(): KeyValueBatch {
    const changes: Change[] = [];
    let done = false;
    const open = (): void => invariant(!done, "the batch was written or abandoned");
    return {
      put: (key, value) => {
        open();
        changes.push([keyOf(key), value.slice()]);
      },
      delete: (key) => {
        open();
        changes.push([keyOf(key), undefined]);
      },
      write: ({ sync }) => {
        open();
        done = true;
        return this.#write(changes, sync);
      },
      abandon: () => {
        done = true;
        return Promise.resolve();
      },
    };
  }

  async *entries(
    from: Uint8Array,
    to: Uint8Array,
  ): AsyncGenerator<readonly (readonly [Uint8Array, Uint8Array])[], void, undefined> {
    // A snapshot, as an iterator of LevelDB: batches written meanwhile are not seen.
    const [low, high] = [keyOf(from), keyOf(to)];
    const snapshot = [...this.#current].filter(([key]) => key >= low && key < high).sort(byKey);
    const pageEntries = this.#options.pageEntries ?? 100;
    for (let at = 0; at < snapshot.length; at += pageEntries) {
      const page = snapshot.slice(at, at + pageEntries);
      yield await this.#operate("entries", () => page.map(([key, value]) => [bytesOf(key), value.slice()] as const));
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #write(changes: readonly Change[], sync: boolean): Promise<void> {
    let batches = 0;
    return this.#operate(
      "write",
      () => {
        applyChanges(this.#current, changes);
        this.#unsynced.push(changes);
        batches = this.#unsynced.length;
      },
      () => {
        if (!sync) return;
        // This batch and all before it; a sync that completed earlier may have taken some already.
        const upTo = this.#unsynced.indexOf(changes) + 1;
        invariant(upTo <= batches, `a batch moved back from ${batches} to ${upTo}`);
        for (const earlier of this.#unsynced.splice(0, upTo)) applyChanges(this.#durable, earlier);
      },
    );
  }

  /** `effect` now, the answer and `atCompletion` when the scheduler says; a crash in between loses both. */
  #operate<Result>(
    operation: "get" | "write" | "entries",
    effect: () => Result,
    atCompletion?: () => void,
  ): Promise<Result> {
    invariant(!this.#closed, `${operation} on a closed store`);
    return new Promise((resolve, reject) => {
      if (this.#crashed) return;
      const fault = this.#options.fault?.(operation);
      const result = fault === undefined ? effect() : undefined;
      this.#options.complete(() => {
        if (this.#crashed) return;
        if (fault !== undefined) {
          reject(fault);
          return;
        }
        atCompletion?.();
        resolve(result as Result);
      });
    });
  }
}

/** One character per byte, so that strings compare as unsigned bytes do. */
function keyOf(bytes: Uint8Array): string {
  let key = "";
  for (const byte of bytes) key += String.fromCharCode(byte);
  return key;
}

function bytesOf(key: string): Uint8Array {
  return Uint8Array.from(key, (character) => character.charCodeAt(0));
}

function byKey(left: readonly [string, unknown], right: readonly [string, unknown]): number {
  return left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0;
}

function applyChanges(contents: Map<string, Uint8Array>, changes: readonly Change[]): void {
  for (const [key, value] of changes) {
    if (value === undefined) contents.delete(key);
    else contents.set(key, value);
  }
}
