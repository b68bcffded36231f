/**
 * The loglet contract: what every engine (memory, local, raft, multi-paxos, ...) promises to whoever stands above it.
 * The comments are the specification; `logletConformance` in @quipu/log/testing checks them.
 *
 * The shape is that of Delos (Balakrishnan et al., OSDI 2020): append, check tail, read, trim, seal.
 * Positions are log sequence numbers (LSN), from 1, growing strictly; they need not be dense.
 */
import type { Configuration } from "@quipu/consensus";
import type { Lsn } from "@quipu/core";

/** Where a log ends. */
export interface Tail {
  /** The first unwritten position: every acknowledged record lies below it. */
  readonly tail: Lsn;
  /** True once and for ever after the log was sealed; then `tail` is final. */
  readonly sealed: boolean;
}

/** Positions given to one append: record i of n stands at `last - (n - 1 - i)`. */
export interface Appended {
  readonly first: Lsn;
  readonly last: Lsn;
}

/** What a reader gets, in log order. */
export type LogDelivery =
  | {
      readonly type: "records";
      /** Position of `records[0]`; positions inside one delivery are dense. */
      readonly first: Lsn;
      /** At least one. Read-only bytes: they may be shared with other readers and with the log itself. */
      readonly records: readonly Uint8Array[];
    }
  | {
      /** The reader asked for positions that were trimmed: fetch a snapshot, then go on above it. */
      readonly type: "gap";
      /** Every position up to and including this one is gone. Deliveries go on right above it. */
      readonly trimmedUpTo: Lsn;
    };

/** A running read. */
export interface Subscription {
  /** No delivery after this returns; idempotent; allowed from inside a delivery. */
  close(): void;
}

/**
 * One log on one engine.
 *
 * - Acknowledged means durable (at the engine's fault tolerance) and readable until trimmed.
 * - Deliveries are synchronous: a delivered position is below `tail`, and when a batch becomes durable its
 *   readers get it in the very callback in which the tail moves, before the promise of its append
 *   resolves. So a caller that reads from the start and is not behind has
 *   `applied == tailNow().tail - 1` whenever it is called.
 * - The first sealed tail is final: everything below it is readable, nothing at or above it is ever
 *   acknowledged or delivered.
 */
export interface Loglet {
  /** Name of the engine, for people and metrics: "local", "memory", "raft", "multi-paxos". */
  readonly engine: string;

  /**
   * Appends all records, next to each other, or none. Appends of one caller take effect in call order
   * (pipelining needs no await between them). The log owns the given arrays from here on: whoever
   * changes them afterwards corrupts the log. An empty list is a bug of the caller.
   *
   * Rejects with QuipuError
   * - `LOG_SEALED` (definite): surely not in this log, now or later; go to the successor.
   * - `LOG_APPEND_UNKNOWN`, `DISK_FAILED` (unknown): may be in the log or appear in it, below the sealed tail. Where a
   *   leader died between two messages, of several records perhaps only some.
   * - `OVERLOADED`, `DISK_FULL`, `SHUTTING_DOWN` (definite): not taken. Of an external engine also `NOQUORUM`, `LOG_FULL`,
   *   and `VALUE_TOO_LARGE` for more than one value of its service holds.
   */
  append(records: readonly Uint8Array[]): Promise<Appended>;

  /** Linearizable: covers every append acknowledged, by anyone, before the call. */
  tail(): Promise<Tail>;

  /** The same answer without I/O, where the engine can (one process): a read is answered in its own turn. */
  tailNow?(): Tail;

  /**
   * Delivers every committed record from `from` on, in order, live, until closed. The first delivery never
   * comes before `read` has returned. Several readers are independent of each other.
   */
  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription;

  /** Positions `<= upTo` may go; never more, and perhaps later. `upTo` is below the tail. Monotone, idempotent. */
  trim(upTo: Lsn): Promise<void>;

  /** Closes the log for appends for ever. Idempotent; safe beside appends and other seals. */
  seal(): Promise<void>;

  /** Only of engines that keep the log on several nodes. */
  readonly replication?: LogReplication;

  /** True: it nears an end of its own (an int32 version of its service), and should be succeeded soon. */
  readonly wearsOut?: boolean;

  /** Gives up resources; what is stored stays. Appends under way end as `SHUTTING_DOWN` or resolve. */
  close(): Promise<void>;
}

/**
 * What an engine with copies on several nodes has beside the contract: state snapshots travel above the log, so that a
 * node which lacks trimmed positions gets the state instead. There {@link Loglet.trim} means "the state up to here
 * is durable on this node"; the engine trims what a majority of its members has said that of.
 */
export interface LogReplication {
  /** Describes how the log goes on above a snapshot of exactly `position`; opaque. Undefined: trimmed, or not there. */
  startAt(position: Lsn): Uint8Array | undefined;
  /**
   * A state snapshot, of exactly the position that `start` was made for, is durable on this node: the log begins anew
   * above it, unless it reaches it already. Durable when it resolves. Rejects with LOG_CORRUPT if `start` does not decode.
   */
  installed(start: Uint8Array): Promise<void>;
  /** Who decides on this log at present, as far as this node has heard. */
  configuration(): Configuration;
  /**
   * Up to here a majority has the state in synced snapshots, and no member that is alive waits for the log: what lies
   * below can go as a whole, once it is sealed.
   */
  agreedUpTo(): Lsn;
  /** `handler` hears, again and again, that this node needs a snapshot of `atLeast` or later, first to be asked of `source`. */
  onSnapshotNeeded(handler: (source: number, atLeast: Lsn) => void): void;
}

/** One link of a virtual log's chain. Its records are at `base .. end - 1`. */
export interface ChainSegment extends LogletName {
  /** First LSN of this segment; never changes. Position p of the loglet is LSN `base + p - 1`. */
  readonly base: Lsn;
  /** First LSN that is no longer in this segment, once sealed: the base of its successor. */
  readonly end?: Lsn;
}

/** Names one loglet of one engine. */
export interface LogletName {
  /** Name of the engine in the engine table. */
  readonly engine: string;
  /** What the engine needs to find this loglet again; opaque above the engine. */
  readonly parameters: string;
}

/** The chain of a virtual log. Segments are contiguous, only the last is open, versions grow. */
export interface Chain {
  readonly version: number;
  readonly segments: readonly ChainSegment[];
  /**
   * A switch is under way: this loglet is made ready, and follows the last segment as soon as that is sealed. Whoever
   * sees it may carry on: seal, read the final tail, extend the chain. All come to the same chain.
   */
  readonly next?: LogletName;
}

/** A chain of loglets that looks like one log which is never sealed. */
export interface VirtualLog {
  /** As {@link Loglet.append}, but never `LOG_SEALED`: it follows the chain and appends there. */
  append(records: readonly Uint8Array[]): Promise<Appended>;
  tail(): Promise<Tail>;
  /** Undefined where the present engine cannot tell without I/O, or while the chain is changing. */
  tailNow(): Tail | undefined;
  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription;
  trim(upTo: Lsn): Promise<void>;
  /** Of the present segment's engine, in positions of this log; undefined where it keeps the log on one node only. */
  replication?(): LogReplication | undefined;
  /** The chain as last seen. */
  chain(): Chain;
  /**
   * Seals the present segment and goes on in a new one of `engine`, live. `request` is for the engine: what its
   * {@link LogletEngine.prepare} takes. With `instead` nothing is done unless that is the present segment. Returns the chain
   * afterwards, which is somebody else's if they were faster.
   */
  reconfigure(engine: string, request?: string, instead?: LogletName): Promise<Chain>;
  /** Completes a chain whose last segment is sealed without successor, or about to be (its sealer died); else does nothing. */
  finishSealedChain(): Promise<void>;
  /** Drops leading segments that nobody needs any more. Best effort. */
  dropTrimmed(): Promise<void>;
  /** Whether the present segment nears an end of its own: see {@link Loglet.wearsOut}. */
  wearsOut(): boolean;
  close(): Promise<void>;
}

/**
 * One engine in the table: how loglets of this kind come to be and are found again. `Opened` is `Loglet` where every node
 * that knows a loglet's parameters keeps a part of it, or can reach it.
 */
export interface LogletEngine<Opened extends Loglet | undefined = Loglet | undefined> {
  /**
   * Makes ready a new loglet and returns its parameters. Done before the old segment is sealed, so that
   * the gap is short; a prepared loglet that lost the race is given back through `discard`. `request` is what an
   * operator asked for in words of this engine, if anything.
   */
  prepare(request?: string): Promise<string>;
  /** Opens the loglet with these parameters, again after a restart. Undefined: this node keeps no part of it. */
  open(parameters: string): Promise<Opened>;
  /** The loglet is in no chain, or all of it is trimmed: its storage may go. */
  discard(parameters: string): Promise<void>;
}

/** Versioned registers with compare-and-set: where chains (later the shard map) live. Never on a virtual log. */
export interface MetadataStore {
  get(key: string): Promise<Register | undefined>;
  /**
   * Sets `key` if its version is `expectedVersion` (0 = absent); the new version is one higher. Durable
   * when it resolves to true; false means that somebody else was first, and nothing changed.
   */
  compareAndSet(key: string, expectedVersion: number, value: Uint8Array): Promise<boolean>;
  /**
   * What this node knows by itself, without asking anybody: perhaps old, never older than what it has shown before, not
   * even before a restart. Absent: it knows no more than {@link MetadataStore.get} says.
   */
  known?(key: string): Register | undefined;
  /** `onChange` is called when a register may have changed. A hint. */
  watch?(onChange: () => void): Subscription;
  close?(): Promise<void>;
}

export interface Register {
  /** From 1. */
  readonly version: number;
  readonly value: Uint8Array;
}
