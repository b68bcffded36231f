/**
 * Checkpoints: what changed since the last one goes to the state store in one atomic batch together with the
 * position it stands for, and the log below that position is trimmed (DESIGN §4.4).
 *
 * The set of changed entries is frozen in one step; the batch is filled in short slices between which the replica
 * works on (later changes of a frozen entry copy it first). A hot counter is written once per checkpoint.
 *
 * A full disk ends no process here: the checkpoint is given up, its entries count as changed still, the log stays as it
 * is, and the next one comes an interval later. Any other failure of the store or the log is fatal.
 */
import { type Clock, type KeyValueBatch, type KeyValueStore, lsn, type Lsn, QuipuError } from "@quipu/core";
import type { CounterMachine, FrozenChanges } from "@quipu/counters";
import type { VirtualLog } from "@quipu/log";
import { isTemporary } from "./log-errors.ts";
import type { CheckpointerMutation } from "./mutation.ts";
import { putLogStart } from "./snapshot/log-start.ts";
import { stateRange } from "./state-store.ts";

export interface CheckpointerOptions {
  readonly store: KeyValueStore;
  readonly machine: CounterMachine;
  readonly log: Pick<VirtualLog, "trim">;
  readonly clock: Clock;
  readonly onFatal: (error: unknown) => void;
  /** A checkpoint met a full disk; the next one tries again. */
  readonly onGivenUp?: (error: QuipuError) => void;
  readonly settings?: Partial<CheckpointSettings>;
  /** Where the state in the store stands. Absent: where the machine stands now. */
  readonly storedUpTo?: Lsn;
  /** The log is not trimmed above this for now, though the store has what stands there. */
  readonly trimLimit?: () => number;
  /** Of a log that is kept on several nodes: how it goes on above the state is written beside it. */
  readonly logStart?: {
    readonly member: number;
    readonly at: (position: Lsn) => Uint8Array | undefined;
    /** What the store has now. */
    readonly stored: Uint8Array | undefined;
  };
  /** Tests only. */
  readonly mutation?: CheckpointerMutation;
}

export interface CheckpointSettings {
  /** Pause between two checkpoints while anything changes: bounds the log that a restart replays. */
  readonly intervalMs: number;
  /**
   * Changed entries that start one at once, so that a batch stays small: LevelDB grows it by doubling, and copying the
   * 10 MB of some 200,000 entries in one go is a pause of 6 to 10 ms (measured).
   */
  readonly dirtyEntriesSoon: number;
  /** Longest a slice may hold the event loop, in CPU time of ours. */
  readonly sliceMs: number;
  /** The same while more changes than {@link CheckpointSettings.dirtyEntriesSoon} pile up behind the checkpoint. */
  readonly hurriedSliceMs: number;
  /** Pause between slices: the share of the loop that a checkpoint takes is slice / (slice + pause). */
  readonly pauseMs: number;
}

export const defaultCheckpointSettings: CheckpointSettings = {
  intervalMs: 5_000,
  dirtyEntriesSoon: 120_000,
  sliceMs: 2,
  hurriedSliceMs: 6,
  pauseMs: 2,
};

/** What the state store holds: the state at one position. */
export interface StoredState {
  readonly position: Lsn;
  /** Of the machine at that position. */
  readonly stateHash: string;
  /** How the log goes on above it; undefined where the log did not say. */
  readonly logStart: Uint8Array | undefined;
  /** Everything in the store as of then, in key order; later checkpoints are not seen. To be read, or to be returned. */
  readonly pages: AsyncIterableIterator<readonly (readonly [Uint8Array, Uint8Array])[]>;
}

/** Entries put between two looks at the clock: about a tenth of a millisecond. */
const entriesPerLook = 64;
/** How often the need for an early checkpoint is looked at. */
const lookIntervalMs = 250;
/** Loaded entries hashed per look: about a millisecond. */
const backlogEntriesPerLook = 10_000;

export class Checkpointer {
  readonly #store: KeyValueStore;
  readonly #machine: CounterMachine;
  readonly #log: Pick<VirtualLog, "trim">;
  readonly #clock: Clock;
  readonly #onFatal: (error: unknown) => void;
  readonly #onGivenUp: (error: QuipuError) => void;
  readonly #settings: CheckpointSettings;
  readonly #mutation: CheckpointerMutation | undefined;
  readonly #trimLimit: () => number;
  readonly #logStart: CheckpointerOptions["logStart"];
  #storedLogStart: Uint8Array | undefined;
  /** Resolves when the checkpoint under way is over, however it ended. */
  #running: Promise<void> | undefined;
  #lastMs: number;
  #cancelTimer: (() => void) | undefined;
  #stopped = false;
  #isRetired = false;
  #isAbandoned = false;
  #checkpointedUpTo: Lsn;
  #trimmedUpTo: Lsn;
  /** The last batch failed: the store takes no other before it was reopened. */
  #storeFailed = false;
  #timesReopened = 0;
  #longestSliceMs = 0;
  #checkpoints = 0;

  constructor(options: CheckpointerOptions) {
    this.#store = options.store;
    this.#machine = options.machine;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#onFatal = options.onFatal;
    this.#onGivenUp = options.onGivenUp ?? ((): void => {});
    this.#logStart = options.logStart;
    this.#storedLogStart = options.logStart?.stored;
    this.#mutation = options.mutation;
    this.#trimLimit = options.trimLimit ?? ((): number => Number.POSITIVE_INFINITY);
    this.#settings = { ...defaultCheckpointSettings, ...options.settings };
    this.#lastMs = options.clock.monotonicMs();
    this.#checkpointedUpTo = options.storedUpTo ?? options.machine.appliedLsn;
    this.#trimmedUpTo = this.#checkpointedUpTo;
  }

  get statistics(): {
    readonly checkpoints: number;
    readonly checkpointedUpTo: number;
    readonly longestSliceMs: number;
  } {
    return {
      checkpoints: this.#checkpoints,
      checkpointedUpTo: this.#checkpointedUpTo,
      longestSliceMs: this.#longestSliceMs,
    };
  }

  start(): void {
    this.#cancelTimer = this.#clock.setTimer(lookIntervalMs, () => {
      if (this.#machine.hasHashBacklog) this.#machine.hashBacklog(backlogEntriesPerLook);
      if (this.#isDue()) this.#runInBackground();
      if (!this.#stopped) this.start();
    });
  }

  /** A checkpoint of the state as of now (or the one under way, and then another). Durable when it resolves. */
  async checkpoint(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    await this.#run();
  }

  /**
   * A checkpoint of the state as of now, opened for reading: how snapshots are made without a second copy of the state,
   * and without holding up the machine.
   */
  async openState(): Promise<StoredState> {
    // In slices: the hash of what was loaded at start would be a pause.
    for (; this.#machine.hasHashBacklog; await this.#pause()) this.#machine.hashBacklog(backlogEntriesPerLook);
    while (this.#running !== undefined) await this.#running;
    return await this.#exclusively(async () => {
      const stateHash =
        this.#machine.appliedLsn === this.#checkpointedUpTo
          ? this.#machine.stateHash()
          : await this.#writeChanges(() => this.#machine.stateHash());
      const pages = this.#store.entries(...stateRange)[Symbol.asyncIterator]();
      // The store's view is taken with the first call, before another checkpoint can begin.
      const first = pages.next();
      first.catch(() => undefined); // Seen by whoever reads.
      const logStart = this.#storedLogStart;
      const timesReopened = this.#timesReopened;
      const isReopened = (): boolean => this.#timesReopened !== timesReopened;
      return { position: this.#checkpointedUpTo, stateHash, logStart, pages: withFirst(first, pages, isReopened) };
    });
  }

  /** Waits for a checkpoint under way; begins none. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  /** As {@link Checkpointer.stop}, for good: nothing of this machine goes to the store after this resolves. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    await this.stop();
    while (this.#running !== undefined) await this.#running;
  }

  /** At once, for a state that is no good: what is being written does not become durable any more, either. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#isRetired = true;
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  #isDue(): boolean {
    if (this.#running !== undefined || this.#stopped) return false;
    if (this.#machine.appliedLsn === this.#trimmedUpTo) return false;
    return (
      this.#machine.dirtyCount >= this.#settings.dirtyEntriesSoon ||
      this.#clock.monotonicMs() - this.#lastMs >= this.#settings.intervalMs
    );
  }

  #runInBackground(): void {
    this.#run().catch((error: unknown) => {
      if (error instanceof QuipuError && error.code === "STATE_DIVERGED") return;
      if (error instanceof QuipuError && error.code === "DISK_FULL") this.#onGivenUp(error);
      else this.#onFatal(error);
    });
  }

  #run(): Promise<void> {
    return this.#exclusively(() => this.#write());
  }

  #exclusively<Result>(action: () => Promise<Result>): Promise<Result> {
    if (this.#isRetired) return Promise.reject(new QuipuError("SHUTTING_DOWN", "this state is written no more"));
    const run = action().finally(() => {
      this.#running = undefined;
      this.#lastMs = this.#clock.monotonicMs();
    });
    this.#running = run.then(nothing, nothing);
    return run;
  }

  async #write(): Promise<void> {
    if (this.#machine.appliedLsn !== this.#checkpointedUpTo) await this.#writeChanges(nothing);
    const position = lsn(Math.min(this.#checkpointedUpTo, this.#trimLimit()));
    if (position <= this.#trimmedUpTo) return;
    try {
      await this.#log.trim(position);
      this.#trimmedUpTo = position;
    } catch (error) {
      // What keeps the log, or its chain, is out of reach: the next checkpoint trims as well.
      if (!isTemporary(error)) throw error;
    }
  }

  /** `look` is called with the machine exactly as it is written, and its result returned. */
  async #writeChanges<Result>(look: () => Result): Promise<Result> {
    if (this.#storeFailed) {
      this.#timesReopened += 1;
      await this.#store.reopen?.();
    }
    this.#storeFailed = false;
    const batch = this.#mutation === "position-not-atomic-with-state" ? this.#tornBatch() : this.#store.batch();
    const frozen = this.#machine.freezeChanges();
    const seen = look();
    const logStart = this.#logStart?.at(frozen.position);
    let written = false;
    try {
      await this.#fill(frozen, batch);
      if (this.#logStart !== undefined) putLogStart(batch, this.#logStart.member, logStart);
      if (this.#isAbandoned) {
        await batch.abandon();
        throw new QuipuError("STATE_DIVERGED", "this state is not to be stored");
      }
      if (this.#mutation === "trim-before-store-sync") await this.#log.trim(frozen.position);
      // Synced before the log is cut: the store is then the only place that holds what was cut.
      await batch.write({ sync: true });
      written = true;
    } finally {
      this.#storeFailed = !written;
      // What a failed write may have lost counts as changed still.
      frozen.release(written);
    }
    this.#checkpointedUpTo = frozen.position;
    this.#storedLogStart = logStart;
    this.#checkpoints += 1;
    return seen;
  }

  /** Tests only: a batch whose position and record ids become durable before the entries that they stand for. */
  #tornBatch(): KeyValueBatch {
    const [entries, position] = [this.#store.batch(), this.#store.batch()];
    const of = (key: Uint8Array): KeyValueBatch =>
      key[0] === "m".charCodeAt(0) || key[0] === "w".charCodeAt(0) ? position : entries;
    return {
      put: (key, value) => of(key).put(key, value),
      delete: (key) => of(key).delete(key),
      write: async (options) => {
        await position.write(options);
        await entries.write(options);
      },
      abandon: async () => {
        await position.abandon();
        await entries.abandon();
      },
    };
  }

  async #fill(frozen: FrozenChanges, batch: KeyValueBatch): Promise<void> {
    let more = true;
    while (more) {
      const startMs = this.#clock.monotonicMs();
      let elapsedMs = 0;
      const sliceMs = this.#isPressed ? this.#settings.hurriedSliceMs : this.#settings.sliceMs;
      while (more && elapsedMs < sliceMs) {
        more = frozen.next(entriesPerLook, batch);
        elapsedMs = this.#clock.monotonicMs() - startMs;
      }
      this.#longestSliceMs = Math.max(this.#longestSliceMs, elapsedMs);
      if (more) await this.#pause();
    }
  }

  /** More is changing than a leisurely checkpoint keeps up with: the next one would be larger still. */
  get #isPressed(): boolean {
    return this.#machine.dirtyCount * 2 >= this.#settings.dirtyEntriesSoon;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isPressed) this.#clock.endOfTurn(resolve);
      else this.#clock.setTimer(this.#settings.pauseMs, resolve);
    });
  }
}

function nothing(): void {
  // The state is not looked at; a failure is seen by whoever asked for the checkpoint.
}

type Page = readonly (readonly [Uint8Array, Uint8Array])[];

/** A full disk may have the store opened anew while it is read: the reading is over then, and nothing is broken. */
function withFirst(
  first: Promise<IteratorResult<Page>>,
  rest: AsyncIterator<Page>,
  isReopened: () => boolean,
): AsyncIterableIterator<Page> {
  let pending: Promise<IteratorResult<Page>> | undefined = first;
  return {
    next: async () => {
      const page = pending ?? rest.next();
      pending = undefined;
      try {
        return await page;
      } catch (cause) {
        if (!isReopened()) throw cause;
        throw new QuipuError("OVERLOADED", "the state store was opened anew under its reader", { cause });
      }
    },
    return: async () => {
      await rest.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
