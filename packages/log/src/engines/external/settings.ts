/** Limits and intervals of the driver of external engines, each with its reason. */

export interface ExternalEngineSettings {
  /** Records of one batch, where several appends go together. */
  readonly batchRecordsMax: number;
  /** Appends without an outcome, and their bytes. */
  readonly appendsMax: number;
  readonly appendsBytesMax: number;
  /** Calls of `tail()` without an answer. */
  readonly tailsMax: number;
  /** While the service cannot be reached: an append, a tail, a seal that waits for longer gets its outcome. */
  readonly deadlineMs: number;
  /** How often the head is looked at where no hint comes. */
  readonly pollMs: number;
  /** Between attempts while the service cannot be reached. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** Others append, too: how long each has its turn, as a multiple of how long an append takes... */
  readonly turnFactor: number;
  /** ...and at most. */
  readonly turnMsMax: number;
  /** The newest records, kept for readers that are nearly there. */
  readonly windowBytesMax: number;
  /** Asked for at once by a reader that is behind. */
  readonly readBytesMax: number;
  /** Batches whose first position is remembered. */
  readonly indexMax: number;
}

const mebibyte = 1024 * 1024;

export const externalEngineSettings: ExternalEngineSettings = {
  // Their lengths are decoded at once; more would not be faster.
  batchRecordsMax: 1024,
  // As of the raft engine: a replica has a few records under way, and several shards may share a service.
  appendsMax: 4096,
  appendsBytesMax: 64 * mebibyte,
  tailsMax: 16_384,
  // Longer than an election of etcd or ZooKeeper takes, and well below the 10 s that a replica gives a request: what surely was
  // not done is then told as such.
  deadlineMs: 6_000,
  // Five requests in a second are nothing to a service; a reader that got no hint is late by this.
  pollMs: 200,
  retryMs: 50,
  // A service that is back is found within this.
  retryMsMax: 2000,
  turnFactor: 1,
  turnMsMax: 100,
  // Several times what a service takes in the time of one read.
  windowBytesMax: 4 * mebibyte,
  readBytesMax: 2 * mebibyte,
  // Half a megabyte; minutes of a busy log.
  indexMax: 65_536,
};
