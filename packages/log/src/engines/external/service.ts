/**
 * The port of the external engines: what a coordination service that the user already trusts (etcd, ZooKeeper, a model of
 * one in the simulator) does for a log. The driver beside this file makes a {@link Loglet} of it, once for all of them: it
 * batches, retries, finds out what became of an append that got no answer, delivers and trims.
 *
 * A log is a row of batches, numbered from 1 without holes, and a head that says how many there are. A batch and the new
 * head are written in one transaction of the service, on the condition that the head is still the one that the writer
 * saw and that the log is not sealed. What is in a batch is the driver's business; to the service it is bytes.
 *
 * Every promise settles within some seconds, and rejects with a QuipuError that names the service and the cause:
 * - `NOQUORUM` (definite): the service cannot be reached or has no leader, and surely nothing was done.
 * - `LOG_APPEND_UNKNOWN` (unknown): no answer came; it may be done, or be done yet. Only where something is written.
 * - `LOG_CORRUPT`: what stands under the log's keys is not what was written there: removed, or somebody else's. Nothing
 *   was overwritten.
 * - `LOG_FULL` (definite): the service takes no more (etcd's quota).
 * - `INVALID_CONFIGURATION`: it refuses user, password, certificate, or the prefix.
 */
import type { Lsn } from "@quipu/core";
import type { MetadataStore } from "../../loglet.ts";

/** One cluster of one service, under one prefix of its keys. */
export interface ExternalService {
  /** Name in the engine table: "etcd", "zookeeper". */
  readonly engine: string;
  /** For people: the endpoints and the prefix. */
  readonly description: string;
  /** Most bytes of one batch, one blob, one register. */
  readonly valueBytesMax: number;
  /** Where the chains of virtual logs may live. Registers are linearizable. */
  readonly registers: MetadataStore;
  /** Where state snapshots lie, in pieces. */
  readonly blobs: BlobStore;
  /** Makes an empty log. Idempotent; rejects with LOG_CORRUPT where keys of somebody else stand in its place. */
  createLog(log: string): Promise<void>;
  /** Rejects with LOG_CORRUPT where there is none. */
  openLog(log: string): Promise<ExternalLog>;
  /** Removes every key of the log. Idempotent. */
  removeLog(log: string): Promise<void>;
  close(): Promise<void>;
}

/** Where a log stands, as of one moment. */
export interface LogHead {
  /** Number of the next batch: batches `firstBatch .. nextBatch - 1` are there. */
  readonly nextBatch: number;
  /** First unwritten position. */
  readonly tail: Lsn;
  /** Batches below are removed, or may be. */
  readonly firstBatch: number;
  /** The last position in a batch below `firstBatch`; 0: none. */
  readonly trimmedUpTo: number;
  /** Final, once true. */
  readonly sealed: boolean;
  /** What the next append is conditional on: the head's revision or version there. Opaque above the service. */
  readonly token: string;
  /** The service nears an end of its own (an int32 version): the log should go on in another segment, soon. */
  readonly wearsOut: boolean;
}

/** One handle on a log. Calls may overlap, but for `append`. */
export interface ExternalLog {
  /** Linearizable: covers everything acknowledged, by anyone, before the call. */
  head(): Promise<LogHead>;
  /**
   * A head that is perhaps older, where that is cheaper (any server answers, and nothing is agreed upon for it). Never older
   * than what this handle's hints or refused appends have told of. Absent: {@link ExternalLog.head} is cheap enough.
   */
  recent?(): Promise<LogHead>;
  /**
   * Writes `batch` as number `at.nextBatch` and the head with the new `tail`, if the head is still `at` and the log is not
   * sealed. Undefined: somebody was faster, or it is sealed; nothing was done.
   */
  append(at: LogHead, batch: Uint8Array, tail: Lsn): Promise<LogHead | undefined>;
  /**
   * Batches from number `from` on, next to each other, at least one unless `from` is not written yet or is trimmed; some
   * `bytesMax` bytes. Covers every head that this handle has shown, and never shows what is not committed; so nothing below
   * such a head, and not trimmed, is a hole in the log. Nobody else changes the bytes.
   */
  read(from: number, bytesMax: number): Promise<readonly Uint8Array[]>;
  /** Idempotent; safe beside appends and other seals. When it resolves, no append succeeds any more. */
  seal(): Promise<void>;
  /** Batches below `firstBatch` may go; `trimmedUpTo` is the last position in them. Monotone, idempotent; another trim may win. */
  trim(firstBatch: number, trimmedUpTo: Lsn): Promise<void>;
  /**
   * `onHint` is called when the head may have changed, with its `nextBatch` where the service says it. Hints may be missed,
   * late or wrong: the driver looks for itself, too.
   */
  watch(onHint: (nextBatch?: number) => void): { readonly close: () => void };
}

/** Small values under names; whole or not at all. Names are ASCII letters, digits, `-` and `/`. */
export interface BlobStore {
  put(name: string, bytes: Uint8Array): Promise<void>;
  get(name: string): Promise<Uint8Array | undefined>;
  /** Idempotent. */
  remove(name: string): Promise<void>;
  /** Names that begin with `prefix`, ascending. */
  list(prefix: string): Promise<readonly string[]>;
}
