/** Every bound of the replica (promise P9), each with its reason. */

export interface ReplicaLimits {
  /** A record larger than this is closed at once. Large enough to fold well, small enough for one 1 MiB engine entry. */
  readonly recordBytesTarget: number;
  /**
   * A command that takes more in the log is refused alone: in a record it would take its neighbours down with it.
   * All records in flight, each as large as this and the target together, fit one frame of the write-ahead log (8 MiB).
   */
  readonly commandBytesMax: number;
  /** Commands waiting or in flight, in bytes, before the replica refuses: a second or two of a fast disk's work. */
  readonly queuedBytesMax: number;
  /** Callers waiting, before the replica refuses: bounds the memory of the items themselves. */
  readonly queuedItemsMax: number;
  /** Records appended and not yet applied. More would only move the waiting from our queue into the engine's. */
  readonly recordsInFlightMax: number;
  /** Changed entries not yet in the state store, before writes are refused while a checkpoint catches up. */
  readonly dirtyEntriesMax: number;
  /** Wait before a failed append is tried again; doubled with every failure, up to the next. */
  readonly retryDelayMs: number;
  /** Longest wait before a failed append is tried again: a leader may be back at any time. */
  readonly retryDelayMsMax: number;
  /**
   * A caller whose command has not been applied after this long is told INDOUBT (or OVERLOADED, if it never was on its
   * way); a read OVERLOADED. Longer than any election, shorter than the patience of clients.
   */
  readonly requestDeadlineMs: number;
}

export const defaultReplicaLimits: ReplicaLimits = {
  recordBytesTarget: 512 * 1024,
  commandBytesMax: 3 * 1024 * 1024,
  queuedBytesMax: 64 * 1024 * 1024,
  queuedItemsMax: 1_000_000,
  recordsInFlightMax: 2,
  dirtyEntriesMax: 8_000_000,
  retryDelayMs: 10,
  retryDelayMsMax: 200,
  requestDeadlineMs: 10_000,
};

/**
 * Where other nodes write the log too. While a record is on its way more commands gather for the next: a record costs every
 * node a sync, messages and a turn, and with one under way a closed loop of clients sends half as many of them. A node
 * still moves a whole `recordBytesTarget` in each round trip.
 */
export const sharedReplicaLimits: ReplicaLimits = { ...defaultReplicaLimits, recordsInFlightMax: 1 };
