/**
 * One shard on one node: machine, replica and checkpointer, in lives. A life ends when this node turns out to lack a part
 * of the log: then the state is fetched from another node and put in place, and a new replica starts above it.
 *
 *   load the store → tell the log what a crash left undone → replica: replay, announce → checkpoints → serving
 *        ▲                                                                                              │
 *        └── install: store, then log ◄── fetch a snapshot ◄── replica and checkpointer stopped ◄────────┘
 */
import type { MemberId } from "@quipu/consensus";
import { type Clock, type KeyValueStore, type Lsn, lsn, QuipuError, type Random } from "@quipu/core";
import { CounterMachine, type MachineOptions } from "@quipu/counters";
import type { LogReplication, VirtualLog } from "@quipu/log";
import { Agreement, type AgreementStatus, type DivergenceReport } from "./agreement/agreement.ts";
import type { ReplicaDoor } from "./caller.ts";
import { Checkpointer, type CheckpointSettings } from "./checkpointer.ts";
import type { ReplicaLimits } from "./limits.ts";
import type { CheckpointerMutation, ReplicaMutation, ShardMutation } from "./mutation.ts";
import { diverged, isDamage, notYet, stopping } from "./log-errors.ts";
import { Replica } from "./replica.ts";
import { ShardDoor } from "./shard-door.ts";
import { type FetchedSnapshot, SnapshotFetcher, type SnapshotFetcherStatistics } from "./snapshot/fetcher.ts";
import { installSnapshot, loadSnapshot, tellLogStart } from "./snapshot/install.ts";
import { loadLogStart } from "./snapshot/log-start.ts";
import { makeSnapshot } from "./snapshot/make.ts";
import { defaultSnapshotSettings, type SnapshotLink, type SnapshotSettings } from "./snapshot/settings.ts";
import { type OfferedSnapshot, SnapshotSource } from "./snapshot/source.ts";
import { loadMachine, rejectState } from "./state-store.ts";
import type { WriterIdentity } from "./submitter.ts";

export interface ShardOptions {
  readonly shard: number;
  readonly log: VirtualLog;
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly link: SnapshotLink;
  /** Who the next replica is to the log: raised and durable before it resolves. */
  readonly nextIdentity: () => Promise<WriterIdentity>;
  readonly machine?: MachineOptions;
  /** Replicas were found to differ: for logs and metrics. What has to be done about it the shard does by itself. */
  readonly onDivergence?: (report: DivergenceReport) => void;
  readonly replica?: Partial<ReplicaLimits>;
  readonly checkpoints?: Partial<CheckpointSettings>;
  readonly snapshots?: Partial<SnapshotSettings>;
  /** In each life: the state is loaded and the log replayed, before anybody is served. */
  readonly recovered?: (shard: Shard) => void;
  /** A broken invariant or a failed disk: the owner ends the process. The shard has already stopped. */
  readonly onFatal: (error: unknown) => void;
  /** Tests only. */
  readonly mutation?: ShardMutation;
  readonly replicaMutation?: ReplicaMutation;
  readonly checkpointerMutation?: CheckpointerMutation;
}

export type ShardPhase = "loading" | "replaying" | "serving" | "fetching" | "stopped";

export interface ShardStatus {
  readonly phase: ShardPhase;
  readonly appliedLsn: Lsn;
  readonly identity: WriterIdentity | undefined;
  /** Replicas started so far. */
  readonly lives: number;
  readonly snapshotsInstalled: number;
  /** Fetched, but they did not decode, or their state did not hash to what they say. */
  readonly snapshotsRejected: number;
  /** State stores of our own that did not decode. */
  readonly storesRejected: number;
  readonly agreement: AgreementStatus;
  readonly fetching: SnapshotFetcherStatistics;
  readonly snapshotsMade: number;
  readonly chunksSent: number;
}

/** Wait after a full disk, or a snapshot that was no good. */
const retryMs = 500;

/** An orderly stop waits this long for what is under way: without a quorum it would wait for ever. */
const drainMsMax = 5_000;

export class Shard {
  readonly door: ReplicaDoor;
  readonly #door: ShardDoor;
  readonly #options: ShardOptions;
  readonly #settings: SnapshotSettings;
  readonly #fetcher: SnapshotFetcher;
  readonly #source: SnapshotSource;
  readonly #agreement: Agreement;
  #phase: ShardPhase = "loading";
  #machine: CounterMachine;
  #replica: Replica | undefined;
  #checkpointer: Checkpointer | undefined;
  #identity: WriterIdentity | undefined;
  /** Set while this node lacks a part of the log: whom to ask, and for what. */
  #wanted: { readonly source: MemberId; readonly atLeast: number } | undefined;
  /** The machine of a snapshot just installed: what is in the store. */
  #installed: CounterMachine | undefined;
  /** The state in the store is no good, and does not say so yet. */
  #isRejected = false;
  /** How the log goes on above the state in the store, as far as that is known. */
  #storedLogStart: Uint8Array | undefined;
  /** The snapshot under construction. */
  #making: { readonly position: Lsn; readonly recordBytesBefore: number } | undefined;
  #lives = 0;
  #snapshotsInstalled = 0;
  #snapshotsRejected = 0;
  #storesRejected = 0;
  #isStopped = false;
  /** Ends the life of a serving replica. */
  #endLife: (() => void) | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ShardOptions) {
    this.#options = options;
    const { shard, link, clock, random } = options;
    this.#settings = { ...defaultSnapshotSettings, ...options.snapshots };
    this.#machine = this.#newMachine();
    this.#door = new ShardDoor(
      () => this.#machine,
      () => this.#machine.appliedLsn,
      () => (this.#isStopped ? stopping() : notYet()),
    );
    this.door = this.#door;
    const common = { shard, link, clock, settings: this.#settings };
    const isUnchecked = options.mutation === "snapshot-chunk-unchecked";
    this.#fetcher = new SnapshotFetcher({ ...common, random, isUnchecked });
    this.#source = new SnapshotSource({
      ...common,
      make: (atLeast) => this.makeSnapshot(atLeast),
      isUseful: (position) => this.#isUseful(position),
    });
    this.#agreement = new Agreement({
      shard,
      link,
      clock,
      configuration: () => this.#replication?.configuration(),
      onDiverged: (source, mayFetch) => this.#diverged(source, mayFetch),
      onReport: (report) => options.onDivergence?.(report),
      raise: (level) => this.#replica?.raiseFeatureLevel(level),
    });
    link.handle("snapshotRequest", (from, message) => this.#source.onRequest(from, message));
    link.handle("snapshotChunk", (from, message) => this.#fetcher.onChunk(from, message));
    link.handle("snapshotRefused", (from, message) => this.#fetcher.onRefused(from, message));
  }

  get machine(): CounterMachine {
    return this.#machine;
  }

  get isServing(): boolean {
    return this.#phase === "serving";
  }

  get status(): ShardStatus {
    return {
      phase: this.#phase,
      appliedLsn: this.#machine.appliedLsn,
      identity: this.#identity,
      lives: this.#lives,
      snapshotsInstalled: this.#snapshotsInstalled,
      snapshotsRejected: this.#snapshotsRejected,
      storesRejected: this.#storesRejected,
      agreement: { ...this.#agreement.status, featureLevel: this.#machine.featureLevel },
      fetching: this.#fetcher.statistics,
      snapshotsMade: this.#source.statistics.made,
      chunksSent: this.#source.statistics.chunksSent,
    };
  }

  /** Of the present life; undefined before it and between two. */
  get parts(): { readonly replica: Replica | undefined; readonly checkpointer: Checkpointer | undefined } {
    return { replica: this.#replica, checkpointer: this.#checkpointer };
  }

  /** Resolves when the shard serves for the first time; rejects where it is stopped before, or cannot. */
  start(): Promise<void> {
    this.#replication?.onSnapshotNeeded((source, atLeast) => this.#lacks(source as MemberId, atLeast));
    return new Promise((resolve, reject) => {
      this.#running = this.#run(resolve).then(
        () => reject(stopping()),
        (error: unknown) => {
          this.#fail(error);
          reject(error as Error);
        },
      );
    });
  }

  /** Answers what is under way, as far as that can be had, writes a last checkpoint, stops. */
  async stop(): Promise<void> {
    if (this.isServing && this.#replica !== undefined) {
      const { clock } = this.#options;
      let cancel = (): void => undefined;
      const patience = new Promise<void>((resolve) => (cancel = clock.setTimer(drainMsMax, resolve)));
      await Promise.race([this.#replica.drain(), patience]);
      cancel(); // Else it would keep the process from ending.
      // A full disk takes no checkpoint; the next start replays the log instead.
      await this.#checkpointer?.checkpoint().catch(() => undefined);
    }
    this.#isStopped = true;
    this.#source.close();
    this.#fetcher.cancel(stopping());
    this.#replica?.close();
    this.#endLife?.();
    await this.#running;
    this.#phase = "stopped";
  }

  /** A checkpoint out of turn; does nothing while no replica serves. */
  async checkpoint(): Promise<void> {
    await this.#checkpointer?.checkpoint();
  }

  get #replication(): LogReplication | undefined {
    return this.#options.log.replication?.();
  }

  // Lives

  async #run(serving: () => void): Promise<void> {
    while (!this.#isStopped) {
      await this.#live(serving);
      if (this.#wanted !== undefined && !this.#isStopped) await this.#catchUp();
    }
  }

  /** From the store to the end of a replica. Returns where it was stopped or lacks a part of the log. */
  async #live(serving: () => void): Promise<void> {
    const { recovered, nextIdentity } = this.#options;
    this.#phase = "loading";
    const installed = this.#installed;
    this.#installed = undefined;
    if (installed === undefined) await this.#load();
    else this.#machine = installed;
    const checkpointer = this.#newCheckpointer();
    const identity = await this.#whenThereIsRoom(nextIdentity);
    if (this.#wanted !== undefined || this.#isStopped) return;
    this.#identity = identity;
    this.#lives += 1;
    this.#phase = "replaying";
    const replica = this.#newReplica(identity, installed !== undefined);
    this.#replica = replica;
    if (this.#replication !== undefined) this.#agreement.begin(this.#machine, identity);
    // Snapshots of what is in the store are served from here on: the quorum that this start waits for may need them.
    this.#checkpointer = checkpointer;
    const isOver = (): boolean => this.#wanted !== undefined || this.#isStopped;
    await replica.start().catch((error: unknown) => {
      if (!isOver()) throw error;
    });
    if (!isOver()) {
      recovered?.(this);
      checkpointer.start();
      this.#door.target = replica;
      this.#phase = "serving";
      serving();
      await new Promise<void>((resolve) => {
        this.#endLife = resolve;
      });
      this.#endLife = undefined;
    }
    this.#agreement.end();
    this.#checkpointer = undefined;
    // Else what it still writes could go over the state that comes next.
    await checkpointer.retire();
  }

  /** A state store that does not decode is replaced from another node, where there is one: nothing else was lost. */
  async #load(): Promise<void> {
    const { store } = this.#options;
    const machine = this.#newMachine();
    try {
      await loadMachine(store, machine);
      const logStart = await loadLogStart(store);
      await this.#whenThereIsRoom(() => tellLogStart(logStart, this.#options.link.member, this.#replication));
      this.#machine = machine;
      this.#storedLogStart = logStart?.words;
    } catch (error) {
      // The words of the log beside the state are damaged where the log does not know them.
      if (!isDamage(error) || this.#replication === undefined) throw error;
      this.#storesRejected += 1;
      // The snapshot that is to come replaces what is there, which first has to be read: damaged, it could not be.
      if (error instanceof QuipuError && error.code === "STORE_CORRUPT") await store.renew?.();
      this.#machine = this.#newMachine();
      this.#lacks(undefined, 0);
    }
  }

  /** Repeats what a full disk refuses, until there is room or the shard is stopped. */
  async #whenThereIsRoom<Result>(action: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await action();
      } catch (error) {
        if (this.#isStopped || !(error instanceof QuipuError) || error.code !== "DISK_FULL") throw error;
        await this.#makeRoom();
      }
    }
  }

  async #makeRoom(): Promise<void> {
    await this.#options.store.reopen?.().catch(() => undefined);
    await this.#pause();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.setTimer(retryMs, resolve));
  }

  #newMachine(): CounterMachine {
    return new CounterMachine({ seed: this.#options.random.uint32(), ...this.#options.machine });
  }

  #newCheckpointer(): Checkpointer {
    const { store, log, clock, link, checkpoints, checkpointerMutation } = this.#options;
    const logStart = {
      member: link.member,
      at: (position: Lsn): Uint8Array | undefined => this.#replication?.startAt(position),
      stored: this.#storedLogStart,
    };
    return new Checkpointer({
      store,
      machine: this.#machine,
      log,
      clock,
      storedUpTo: this.#machine.appliedLsn,
      trimLimit: () => this.#trimLimit,
      onFatal: (error) => this.#fail(error),
      ...(this.#replication === undefined ? {} : { logStart }),
      ...(checkpoints === undefined ? {} : { settings: checkpoints }),
      ...(checkpointerMutation === undefined ? {} : { mutation: checkpointerMutation }),
    });
  }

  #newReplica(identity: WriterIdentity, isAboveSnapshot: boolean): Replica {
    const { log, clock, random, replica: limits, replicaMutation } = this.#options;
    const offByOne: ReplicaMutation = "snapshot-position-off-by-one";
    const mutation = this.#options.mutation === offByOne && isAboveSnapshot ? offByOne : replicaMutation;
    return new Replica({
      log,
      machine: this.#machine,
      clock,
      identity,
      seed: random.uint32(),
      isShared: this.#replication !== undefined,
      onApplied: (position) => this.#agreement.applied(position),
      onFatal: (error) => this.#fail(error),
      ...(this.#replication === undefined ? {} : { onGap: (upTo) => this.#lacks(undefined, upTo) }),
      ...(limits === undefined ? {} : { limits }),
      ...(mutation === undefined ? {} : { mutation }),
    });
  }

  /** `member` understands records up to `level`, as the transport has heard; what it says itself counts as well. */
  peerSupports(member: MemberId, level: number): void {
    this.#agreement.peerSupports(member, level);
  }

  /** A majority has another state than ours: nothing of ours is served or stored from here on. */
  #diverged(source: MemberId, mayFetch: boolean): void {
    if (this.#isStopped || this.#wanted !== undefined) return;
    const error = diverged(this.#machine.appliedLsn, mayFetch);
    this.#checkpointer?.abandon();
    this.#source.forget();
    this.#wanted = { source, atLeast: 0 };
    this.#isRejected = true;
    this.#phase = "fetching";
    this.#replica?.close(error);
    if (mayFetch) this.#endLife?.();
    else void this.#rejectState().then(() => this.#fail(error));
  }

  /** Best effort: on a full disk a restart finds out anew. */
  async #rejectState(): Promise<void> {
    await rejectState(this.#options.store).catch(() => undefined);
    this.#isRejected = false;
  }

  /** What stands in memory is no longer to be trusted: nothing of it is served, or written, from here on. */
  #fail(error: unknown): void {
    if (this.#phase === "stopped") return;
    this.#phase = "stopped";
    this.#isStopped = true;
    this.#source.close();
    this.#fetcher.cancel(stopping());
    this.#replica?.close();
    this.#endLife?.();
    this.#options.onFatal(error);
  }

  // Snapshots

  /** The log cannot give us what comes above our state. `source` undefined: the replica's own reader found out. */
  #lacks(source: MemberId | undefined, atLeast: number): void {
    if (this.#isStopped || this.#wanted !== undefined) return;
    // What the store has is not known yet, nor has the log been told of it; whoever says so will say it again.
    if (source !== undefined && this.#phase === "loading") return;
    const { appliedLsn } = this.#machine;
    // Said of an earlier state of things: the log goes on above ours.
    if (source !== undefined && appliedLsn >= atLeast && this.#replication?.startAt(appliedLsn) !== undefined) return;
    this.#wanted = { source: source ?? this.#peerAfter(this.#options.link.member), atLeast };
    this.#replica?.close(notYet());
    this.#endLife?.();
  }

  /** Until a snapshot is in place, or the shard is stopped. */
  async #catchUp(): Promise<void> {
    this.#phase = "fetching";
    if (this.#isRejected) await this.#rejectState();
    for (let wanted = this.#wanted; wanted !== undefined && !this.#isStopped; wanted = this.#wanted) {
      // Never back: what this node has said that it has, it has.
      const atLeast = Math.max(wanted.atLeast, this.#machine.appliedLsn);
      try {
        await this.#install(await this.#fetcher.fetch(wanted.source, atLeast));
        this.#wanted = undefined;
      } catch (error) {
        if (this.#isStopped) return;
        if (!(error instanceof QuipuError)) throw error;
        if (isDamage(error)) {
          this.#snapshotsRejected += 1;
          this.#wanted = { ...wanted, source: this.#peerAfter(wanted.source) };
          await this.#pause();
        } else if (error.code === "DISK_FULL") await this.#makeRoom();
        else throw error;
      }
    }
  }

  /** Whoever gave us what was no good would give it again. */
  #peerAfter(source: MemberId): MemberId {
    const peers = this.#options.link.peers();
    return peers.find((peer) => peer > source) ?? peers[0] ?? source;
  }

  async #install(fetched: FetchedSnapshot): Promise<void> {
    const { store, link, clock, mutation } = this.#options;
    const replication = this.#replication;
    if (replication === undefined) throw new QuipuError("LOG_CORRUPT", "a log on one node has no place for a snapshot");
    const options = {
      store,
      member: link.member,
      replication,
      clock,
      settings: this.#settings,
      ...(mutation === undefined ? {} : { mutation }),
    };
    const machine = this.#newMachine();
    await loadSnapshot(fetched, machine, options);
    if (this.#isStopped) return;
    await installSnapshot(fetched, options);
    this.#snapshotsInstalled += 1;
    this.#installed = machine;
    this.#storedLogStart = fetched.logStart;
  }

  /** Of `atLeast` or later; undefined: not at present. Never rejects. */
  async makeSnapshot(atLeast: number): Promise<OfferedSnapshot | undefined> {
    const checkpointer = this.#checkpointer;
    if (checkpointer === undefined || this.#replication === undefined) return undefined;
    if (this.#machine.appliedLsn < atLeast) return undefined;
    const onPosition = (position: Lsn): number => {
      this.#making = { position, recordBytesBefore: this.#recordBytesApplied };
      return this.#recordBytesApplied;
    };
    try {
      return await makeSnapshot({ checkpointer, settings: this.#settings, onPosition });
    } catch (error) {
      // Too large, or a full disk: whoever asks turns to another node. What is fatal the checkpointer meets by itself.
      // In a life that is over meanwhile the store may have been closed under the reader.
      if (!(error instanceof QuipuError) && checkpointer === this.#checkpointer) this.#fail(error);
      return undefined;
    } finally {
      this.#making = undefined;
    }
  }

  /** What was kept is as good as a new one while the log goes on above it, or nothing newer could be made. */
  #isUseful(position: number): boolean {
    return (
      this.#replication?.startAt(lsn(position)) !== undefined ||
      position === this.#checkpointer?.statistics.checkpointedUpTo
    );
  }

  get #recordBytesApplied(): number {
    return this.#replica?.statistics.recordBytesApplied ?? 0;
  }

  /** Up to where the log may be trimmed, for the sake of those who fetch a snapshot and go on above it. */
  get #trimLimit(): number {
    const held = this.#source.served.map(({ bytes, recordBytesBefore }) => ({
      position: bytes.position,
      recordBytesBefore,
    }));
    if (this.#making !== undefined) held.push(this.#making);
    const since = this.#recordBytesApplied - this.#settings.heldLogBytesMax;
    return held
      .filter(({ recordBytesBefore }) => recordBytesBefore >= since)
      .reduce((limit, { position }) => Math.min(limit, position), Number.POSITIVE_INFINITY);
  }
}
