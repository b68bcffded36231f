/** A whole node as the simulation needs it; `CellNode` of @quipu/cluster fits, and anything else that shall be tried. */
import type { ReplicaDoor } from "@quipu/cluster";
import type { MemberId } from "@quipu/consensus";
import type { Clock, Disk, KeyValueStore, Network, Random } from "@quipu/core";
import type { CounterMachine } from "@quipu/counters";
import type { LogletEngine, VirtualLog } from "@quipu/log";
import type { ObservedGroup } from "./book.ts";
import type { CellMutationSet } from "./mutation-set.ts";
import type { CellSwarm } from "./swarm.ts";

export interface GroupUnderTest extends ObservedGroup {
  readonly group: number;
  changeMembers(voters: readonly MemberId[], learners: readonly MemberId[]): unknown;
  transferLeadership(to: MemberId): unknown;
}

export interface NodeUnderTest {
  start(): Promise<void>;
  stop(): Promise<void>;
  readonly member: MemberId;
  readonly door: ReplicaDoor;
  readonly machine: CounterMachine;
  readonly isServing: boolean;
  readonly groups: readonly GroupUnderTest[];
  checkpoint(): Promise<void>;
  /** Has the log go on in a new segment, live. Only of nodes with a chain; so is the next. */
  reconfigure?(engine: string): Promise<unknown>;
  /** Numbers of the groups that have something on the disk. */
  readonly groupsMade?: readonly number[];
  /** For people, when a run is stuck. */
  describe(): string;
}

/** One life's ports, and who wants to hear of it. */
export interface LifeOptions {
  readonly disk: Disk;
  readonly store: KeyValueStore;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly node: number;
  readonly bootstrap: { readonly type: "found"; readonly founders: readonly number[] } | { readonly type: "join" };
  readonly swarm: CellSwarm;
  readonly mutations: CellMutationSet;
  /** Beside those that every cell has. */
  readonly engines: Readonly<Record<string, LogletEngine>>;
  readonly onFatal: (error: unknown) => void;
  readonly observeLog: (log: VirtualLog) => VirtualLog;
  readonly observeGroup: (group: number, raft: ObservedGroup) => void;
  readonly recovered: () => void;
  /** The node found replicas to differ. */
  readonly diverged: (text: string) => void;
}

export type MakeNode = (options: LifeOptions) => NodeUnderTest;
