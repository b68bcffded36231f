/**
 * A node of a cell, without its front doors: everything from the disk up to the door of its shard, wired together. The
 * server and the simulator build on this.
 *
 *   disk → identity, write-ahead log → raft engine ↔ peer hub ↔ network
 *                                        └→ virtual log ─┐        │ snapshots
 *   state store → machine ──────────────────────────────┴→ shard: replica, checkpointer → door
 */
import {
  type Configuration,
  type MemberId,
  membersOf,
  type MultiPaxosMutation,
  type RaftMutation,
  type Role,
} from "@quipu/consensus";
import { type Clock, type Disk, invariant, type KeyValueStore, type Network, type Random } from "@quipu/core";
import type { CounterMachine, CounterMutation } from "@quipu/counters";
import type {
  LogMutation,
  PeerHubStatistics,
  GroupMutation,
  GroupSettings,
  ConsensusGroup,
  LogletEngine,
  VirtualLog,
  VirtualLogMutation,
  WriteAheadLogLimits,
} from "@quipu/log";
import type { DivergenceReport } from "../agreement/agreement.ts";
import type { ReplicaDoor } from "../caller.ts";
import type { CheckpointSettings } from "../checkpointer.ts";
import type { ReplicaLimits } from "../limits.ts";
import type {
  CellMutation,
  CheckpointerMutation,
  MetadataMutation,
  ReplicaMutation,
  ShardMutation,
} from "../mutation.ts";
import { Shard, type ShardOptions, type ShardStatus } from "../shard.ts";
import type { SnapshotSettings } from "../snapshot/settings.ts";
import type { WriterIdentity } from "../submitter.ts";
import { ChainKeeper } from "./chain-keeper.ts";
import { groupOf, metadataGroup, staticMembersOf } from "./group-numbers.ts";
import type { CellIdentity } from "./identity.ts";
import { type CellBootstrap, type CellLog, openCellLog } from "./node-log.ts";

/** Tests only: every layer's deliberate bugs. */
export interface CellMutations {
  readonly counters?: CounterMutation;
  readonly log?: LogMutation;
  readonly engine?: GroupMutation;
  readonly core?: RaftMutation;
  readonly replica?: ReplicaMutation;
  readonly checkpointer?: CheckpointerMutation;
  readonly cell?: CellMutation;
  readonly multiPaxos?: MultiPaxosMutation;
  readonly chain?: VirtualLogMutation;
  readonly metadata?: MetadataMutation;
}

export interface CellNodeSettings {
  readonly wal?: Partial<WriteAheadLogLimits>;
  readonly raft?: Partial<GroupSettings>;
  readonly replica?: Partial<ReplicaLimits>;
  readonly checkpoints?: Partial<CheckpointSettings>;
  readonly snapshots?: Partial<SnapshotSettings>;
}

export interface CellNodeOptions {
  /** Rooted in the data directory. */
  readonly disk: Disk;
  readonly store: KeyValueStore;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  /** Below 2^48. */
  readonly cell: number;
  /** 1 .. 1023, unique in the cell. */
  readonly node: number;
  /** Used only where the disk has no identity yet. */
  readonly bootstrap: CellBootstrap;
  readonly settings?: CellNodeSettings;
  /** Of a cell that is founded by this start: what keeps its log at first; raft by default. */
  readonly initialEngine?: string;
  /** Engines beside those that every cell has: external services, by name. */
  readonly engines?: Readonly<Record<string, LogletEngine>>;
  /** A broken invariant or a failed disk: the owner ends the process without stopping the node. */
  readonly onFatal: (error: unknown) => void;
  readonly mutations?: CellMutations;
  /** For the simulator: between the log and the replica. Passes on `replication`. */
  readonly observeLog?: (log: VirtualLog) => VirtualLog;
  /** For the simulator: after every step of a group. */
  readonly observeGroup?: (group: number, raft: ConsensusGroup) => void;
  /** The highest feature level understood; tests stand in for other versions with it. */
  readonly featureLevelMax?: number;
  /** The log is open, and was damaged: why this node came back under a new generation. Before a quorum is waited for. */
  readonly onDamage?: (text: string) => void;
  /** Replicas were found to differ: for logs and metrics. */
  readonly onDivergence?: (report: DivergenceReport) => void;
  /** The state is loaded and the log replayed, in each life of the replica, before anybody is served. */
  readonly recovered?: (shard: Shard) => void;
}

export interface CellNodeStatus {
  readonly member: MemberId;
  readonly identity: CellIdentity;
  /** Why this node came back under a new generation at this start; undefined if it did not. */
  readonly damage: string | undefined;
  readonly network: PeerHubStatistics;
  /** Undefined until the chain of the log is known, which at the first start takes a quorum. */
  readonly shard: ShardStatus | undefined;
}

/** A cell as one of its nodes sees it. */
export interface CellView {
  readonly member: MemberId;
  /** Who belongs to the cell. */
  readonly configuration: Configuration;
  /** In the group that keeps the present segment of the log; where no group does, in the metadata group. */
  readonly role: Role;
  readonly term: number;
  readonly leader: MemberId | undefined;
  /** Of the metadata group: carries out what operators ask. */
  readonly cellLeader: MemberId | undefined;
  /** Position in the log. */
  readonly committedPosition: number;
}

export class CellNode {
  readonly #options: CellNodeOptions;
  #log: CellLog | undefined;
  #virtualLog: VirtualLog | undefined;
  #keeper: ChainKeeper | undefined;
  #shard: Shard | undefined;
  #isStopped = false;

  constructor(options: CellNodeOptions) {
    this.#options = options;
  }

  /** Resolves when the node serves, which takes a quorum of its cell. Rejects where it cannot, or is stopped before. */
  async start(): Promise<void> {
    const { observeLog, store, clock, random, onFatal } = this.#options;
    const log = await openCellLog(this.#logOptions());
    this.#log = log;
    if (log.damage !== undefined) this.#options.onDamage?.(log.damage);
    if (this.#isStopped) await this.stop();
    const virtualLog = await log.opening.opened;
    this.#virtualLog = virtualLog;
    this.#keeper = new ChainKeeper({
      log: virtualLog,
      clock,
      random,
      metadataGroup: () => this.metadataGroup,
      logGroup: () => this.logGroup,
      onFatal,
    });
    const shard = new Shard({
      shard: 0,
      log: observeLog === undefined ? virtualLog : observeLog(virtualLog),
      store,
      clock,
      random,
      link: log.opening.link,
      nextIdentity: () => this.#nextIdentity(log),
      onFatal,
      ...shardExtras(this.#options),
      ...(this.#options.onDivergence === undefined ? {} : { onDivergence: this.#options.onDivergence }),
      ...(this.#options.recovered === undefined ? {} : { recovered: this.#options.recovered }),
    });
    this.#shard = shard;
    if (this.#isStopped) await this.stop();
    await shard.start();
  }

  /** Answers what is under way, writes a last checkpoint, closes everything but the ports it was given. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#keeper?.close();
    await this.#shard?.stop();
    await this.#log?.close();
  }

  get member(): MemberId {
    return this.#opened.identity.member;
  }

  /** Undefined until the log is open. */
  get openShard(): Shard | undefined {
    return this.#shard;
  }

  /** From the moment at which the log is open; the next two as well. */
  get shard(): Shard {
    invariant(this.#shard !== undefined, "the node has not opened its log yet");
    return this.#shard;
  }

  get door(): ReplicaDoor {
    return this.shard.door;
  }

  get machine(): CounterMachine {
    return this.shard.machine;
  }

  /** From the moment at which its chain is known, which at the first start takes a quorum. */
  get log(): VirtualLog {
    invariant(this.#virtualLog !== undefined, "the node has not opened its log yet");
    return this.#virtualLog;
  }

  get isServing(): boolean {
    return this.#shard?.isServing ?? false;
  }

  get groups(): readonly ConsensusGroup[] {
    return this.#log?.opening.engines.groups() ?? [];
  }

  /** Numbers of those that have something on this node's disk, open or not. */
  get groupsMade(): readonly number[] {
    return this.#log?.opening.engines.made() ?? [];
  }

  /** Who belongs to the cell stands in its configuration. */
  get metadataGroup(): ConsensusGroup | undefined {
    return this.groups.find(({ group }) => group === metadataGroup);
  }

  /** Keeps the present segment of the log; undefined: this node has no part in that, or no group of the cell does it. */
  get logGroup(): ConsensusGroup | undefined {
    const last = this.#virtualLog?.chain().segments.at(-1);
    const number = last === undefined ? undefined : groupOf(last);
    return this.groups.find(({ group }) => group === number);
  }

  /** Who leads the log, who belongs to the cell, how far the log is; undefined before the disk is read. */
  get view(): CellView | undefined {
    const cell = this.metadataGroup?.inspect();
    if (cell === undefined) return undefined;
    const last = this.#virtualLog?.chain().segments.at(-1);
    const log = this.logGroup?.inspect();
    const { member, configuration } = cell;
    const { role, term, leader } = log ?? cell;
    const applied = this.#shard?.status.appliedLsn ?? 0;
    const committedPosition =
      log === undefined || last === undefined ? applied : Math.max(last.base - 1 + log.committed, last.base - 1);
    return { member, configuration, role, term, leader, cellLeader: cell.leader, committedPosition };
  }

  /** Who keeps the present segment of the log; undefined: none of the cell, or it is not known here. */
  get logMembers(): readonly MemberId[] | undefined {
    const last = this.#virtualLog?.chain().segments.at(-1);
    if (last === undefined) return undefined;
    const group = this.logGroup?.inspect();
    return staticMembersOf(last) ?? (group === undefined ? undefined : membersOf(group.configuration));
  }

  get status(): CellNodeStatus {
    const { identity, damage, hub } = this.#opened;
    return {
      member: identity.member,
      identity: identity.present,
      damage,
      network: hub.statistics(),
      shard: this.#shard?.status,
    };
  }

  async checkpoint(): Promise<void> {
    await this.#shard?.checkpoint();
  }

  /** The transport has heard that `member` understands records up to feature level `level`. */
  peerSupports(member: MemberId, level: number): void {
    this.#shard?.peerSupports(member, level);
  }

  get #opened(): CellLog {
    invariant(this.#log !== undefined, "the node has not opened its log yet");
    return this.#log;
  }

  async #nextIdentity({ identity }: CellLog): Promise<WriterIdentity> {
    const { incarnation } = identity.present;
    const isKept = this.#options.mutations?.cell === "incarnation-not-raised" && incarnation > 0;
    return { node: identity.member, incarnation: isKept ? incarnation : await identity.raiseIncarnation() };
  }

  #logOptions(): Parameters<typeof openCellLog>[0] {
    const { disk, network, clock, random, cell, node, bootstrap, settings, onFatal, mutations } = this.#options;
    const { observeGroup, initialEngine, engines } = this.#options;
    return {
      disk,
      network,
      clock,
      random,
      cell,
      node,
      bootstrap,
      onFatal,
      ...(settings?.wal === undefined ? {} : { wal: settings.wal }),
      ...(settings?.raft === undefined ? {} : { settings: settings.raft }),
      ...(initialEngine === undefined ? {} : { initialEngine }),
      ...(engines === undefined ? {} : { engines }),
      ...(observeGroup === undefined ? {} : { observeGroup }),
      ...(mutations === undefined ? {} : { mutations }),
    };
  }
}

function shardExtras({
  settings,
  mutations,
  featureLevelMax,
  node,
}: CellNodeOptions): Pick<
  ShardOptions,
  "machine" | "replica" | "checkpoints" | "snapshots" | "mutation" | "replicaMutation" | "checkpointerMutation"
> {
  const cell = mutations?.cell;
  const isShards = cell !== undefined && !isNodes(cell);
  const drifts = cell === "state-drifts-on-one-node" && node === 1;
  const counters = drifts ? "bounds-lost-on-set" : mutations?.counters;
  return {
    machine: {
      ...(counters === undefined ? {} : { mutation: counters }),
      ...(featureLevelMax === undefined ? {} : { featureLevelMax }),
    },
    ...(settings?.replica === undefined ? {} : { replica: settings.replica }),
    ...(settings?.checkpoints === undefined ? {} : { checkpoints: settings.checkpoints }),
    ...(settings?.snapshots === undefined ? {} : { snapshots: settings.snapshots }),
    ...(isShards ? { mutation: cell } : {}),
    ...(mutations?.replica === undefined ? {} : { replicaMutation: mutations.replica }),
    ...(mutations?.checkpointer === undefined ? {} : { checkpointerMutation: mutations.checkpointer }),
  };
}

function isNodes(mutation: CellMutation): mutation is Exclude<CellMutation, ShardMutation> {
  return (
    mutation === "rejoin-under-old-identity" ||
    mutation === "incarnation-not-raised" ||
    mutation === "state-drifts-on-one-node"
  );
}
