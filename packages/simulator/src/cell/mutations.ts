/**
 * Deliberate bugs of a cell, each with swarm settings that favour it, and whether the simulator sees them. The tables
 * are records over the unions of the packages, so that a new mutation without a line here does not compile.
 */
import type { CellMutation, CheckpointerMutation, MetadataMutation, ReplicaMutation } from "@quipu/cluster";
import type { MultiPaxosMutation, RaftMutation } from "@quipu/consensus";
import type { CounterMutation } from "@quipu/counters";
import type { LogMutation, GroupMutation, VirtualLogMutation } from "@quipu/log";
import type { MutationResult } from "../mutations.ts";
import type { CellMutationSet } from "./mutation-set.ts";
import { CellSimulation } from "./simulation.ts";
import type { CellSwarm } from "./swarm.ts";

export interface CellMutationCase {
  readonly name: string;
  readonly mutations: CellMutationSet;
  /** Settings of the swarm without which the bug cannot show, so that no seed is wasted on others. */
  readonly swarm: Partial<CellSwarm>;
}

type Favours = Partial<CellSwarm>;

const kills: Favours = { kills: 600, chaosEveryUs: 100_000, restartUsMax: 300_000 };
const powerCuts: Favours = {
  ...kills,
  crashEveryEvents: 1_000,
  crashAtEffect: 40,
  crashAtSend: 20,
  crashKeeps: "random",
};
const elections: Favours = {
  ...kills,
  partitions: 1_000,
  partitionUsMax: 3_000_000,
  transfers: 1_000,
  opportunism: 1_000,
  thinkUs: 20_000,
  goes: 300,
};
const changes: Favours = { ...elections, memberChanges: 2_000, nodes: 5, founders: 5 };
const trims: Favours = {
  ...kills,
  checkpoints: 5_000,
  checkpointIntervalMs: 300,
  followerPinBytes: 0,
  goes: 300,
  minorityStaysDead: false,
};
const snapshots: Favours = { ...trims, wipes: 800, partitions: 500, partitionUsMax: 3_000_000 };
const disorder: Favours = {
  ...elections,
  frameLost: 300,
  frameReordered: 5_000,
  frameRepeated: 1_000,
  frameReplayed: 200,
  linkBytesMax: 1_048_576,
};
const damage: Favours = { ...kills, wipes: 800, bitFlipPercent: 30, misdirectedWrites: 50 };
/** Three nodes on a fast network and fast disks. */
const noOtherFaults: Favours = {
  nodes: 3,
  founders: 3,
  minorityStaysDead: false,
  tickMs: 10,
  electionTicks: 5,
  heartbeatTicks: 1,
  appendDeadlineTicks: 200,
  latencyUs: 50,
  jitterUs: 10,
  frameLost: 0,
  linkBytesMax: 1_048_576,
  ioLatencyUsMax: 50,
  slowIo: 0,
  syncErrors: 0,
  writeErrors: 0,
  bitFlipPercent: 0,
  misdirectedWrites: 0,
  crashEveryEvents: 0,
  crashAtEffect: 0,
  driftPerThousand: 0,
  pauses: 0,
  slowLinks: 0,
  wipes: 0,
  transfers: 0,
  memberChanges: 0,
  opportunism: 0,
};
const noSwitches: Favours = { switches: 0, initialEngine: "raft", engines: ["raft"] };
const readers: Favours = {
  ...elections,
  tickMs: 10,
  electionTicks: 5,
  heartbeatTicks: 1,
  clients: 5,
  readers: 2,
  pipelineMax: 1,
  thinkUs: 5_000,
  goes: 2_000,
  pauses: 600,
  pauseUsMax: 3_000_000,
};

const lateEchoes: Favours = {
  lateEchoes: 3_000,
  chaosEveryUs: 200_000,
  partitions: 0,
  kills: 0,
  transfers: 0,
  opportunism: 0,
  pauses: 0,
  tickMs: 50,
  electionTicks: 10,
  heartbeatTicks: 1,
  latencyUs: 50,
  jitterUs: 10,
  frameLost: 0,
  thinkUs: 20_000,
  patienceUs: 300_000,
  linkBytesMax: 1_048_576,
};

/** Live switches, one after the other, with little that keeps them from coming about. */
const switching: Favours = {
  nodes: 3,
  founders: 3,
  tickMs: 10,
  electionTicks: 5,
  heartbeatTicks: 1,
  latencyUs: 500,
  jitterUs: 500,
  thinkUs: 2_000,
  goes: 600,
  clients: 5,
  chaosEveryUs: 50_000,
  kills: 100,
  restartUsMax: 100_000,
  switches: 3_000,
  initialEngine: "raft",
  engines: ["raft", "multi-paxos"],
  minorityStaysDead: false,
};
const quietSwitching: Favours = { ...noOtherFaults, ...switching, kills: 0, latencyUs: 50, jitterUs: 10 };
/** A segment that is long behind some, and not behind others. */
const lateSwitching: Favours = {
  ...switching,
  checkpoints: 5_000,
  checkpointIntervalMs: 300,
  partitions: 1_000,
  partitionUsMax: 1_000_000,
};

const core: Readonly<Record<RaftMutation, Favours>> = {
  "seal-not-final": switching,
  "vote-not-persisted": elections,
  "acknowledge-before-persist": powerCuts,
  "leader-counts-itself-early": elections,
  "commit-old-term-by-counting": elections,
  "truncate-matching-suffix": disorder,
  "vote-ignores-log": elections,
  "two-votes-per-term": { ...elections, goes: 100 },
  // A disk slower than the network: the quorum's echo comes before the term's first entry is durable.
  "read-before-own-term-commit": { ...readers, ioLatencyUsMax: 5_000, slowIo: 100, latencyUs: 50, frameLost: 1_500 },
  "read-without-quorum": readers,
  // Late echoes of a leadership that is over: a leader that is heard by nobody and hears what was sent long ago.
  "barrier-reused": { ...readers, ...lateEchoes },
  "joint-quorum-of-new-only": changes,
  "learner-counted": { ...changes, wipes: 800 },
  "configuration-kept-after-truncation": changes,
  // Writes that are still under way when another leader replaces what they hold.
  "stale-acknowledgement": { ...disorder, tickMs: 10, electionTicks: 5, ioLatencyUsMax: 5_000, slowIo: 300 },
  "restart-forgets-configuration": { ...changes, ...trims },
  "commit-beyond-match": disorder,
  "change-before-own-term-commit": changes,
};

const engine: Readonly<Record<GroupMutation, Favours>> = {
  "reader-passes-seal": switching,
  "send-after-ignored": powerCuts,
  "hard-state-not-written": elections,
  "append-acknowledged-when-proposed": elections,
  "trim-on-own-checkpoint-only": snapshots,
  "barrier-answer-cached": readers,
  "forward-order-ignored": { ...disorder, recordsInFlightMax: 4, pipelineMax: 8 },
};

/**
 * A log that a snapshot replaces although it reaches further: a leader that nobody hears gathers much, the others get a
 * little ahead of what they had in common, and trim. Nothing else goes wrong, or it would hardly ever come to that.
 */
const overtaken: Favours = {
  ...noOtherFaults,
  clients: 30,
  readers: 0,
  pipelineMax: 1,
  thinkUs: 60_000,
  goes: 600,
  patienceUs: 5_000_000,
  recordsInFlightMax: 32,
  checkpoints: 10_000,
  checkpointIntervalMs: 300,
  followerPinBytes: 0,
  chaosEveryUs: 20_000,
  partitions: 5_000,
  partitionUsMax: 300_000,
  kills: 100,
  restartUsMax: 100_000,
};

const onPaxos: Favours = { initialEngine: "multi-paxos", engines: ["multi-paxos"], wipes: 0, memberChanges: 0 };
const paxosElections: Favours = { ...elections, ...onPaxos };
const paxosDisorder: Favours = { ...disorder, ...onPaxos };
const paxosReaders: Favours = { ...readers, ...onPaxos };

const multiPaxos: Readonly<Partial<Record<MultiPaxosMutation, Favours>>> = {
  "own-value-although-one-was-reported": paxosElections,
  "no-noop-fill": paxosDisorder,
  "promise-not-durable": { ...powerCuts, ...paxosElections },
  "accept-not-durable": { ...powerCuts, ...onPaxos },
  "leader-counts-itself-early": paxosElections,
  "trimmed-acceptor-says-empty": { ...snapshots, ...paxosElections, ...trims, wipes: 0 },
  "accepts-below-promise": paxosDisorder,
  "ballot-without-node": paxosElections,
  "stale-higher-slots-kept": paxosDisorder,
  "barrier-without-quorum": paxosReaders,
  "barrier-reused": { ...paxosReaders, ...lateEchoes },
  "read-before-recovered": paxosReaders,
  "phase-1-quorum-too-small": paxosElections,
  "phase-1-takes-half-an-answer": { ...paxosDisorder, messageBytesMax: 512 },
  "reported-lower-ballot-wins": paxosDisorder,
  "seal-forgotten-in-phase-1": { ...switching, engines: ["multi-paxos"], initialEngine: "multi-paxos", kills: 600 },
  "chosen-in-another-ballot": paxosDisorder,
  "install-forgets-accepted": { ...overtaken, ...onPaxos },
  "proposes-behind-seal": { ...switching, engines: ["multi-paxos"], initialEngine: "multi-paxos" },
};

const chain: Readonly<Record<VirtualLogMutation, Favours>> = {
  "tail-before-seal": quietSwitching,
  "extended-without-seal": quietSwitching,
  "chain-not-conditional": quietSwitching,
  "reader-crosses-early": { ...switching, pauses: 600, pauseUsMax: 1_000_000, slowLinks: 1_000 },
  "dropped-on-own-checkpoint": lateSwitching,
};

const metadata: Readonly<Record<MetadataMutation, Favours>> = {
  "metadata-shown-before-file": { ...switching, crashEveryEvents: 1_000, ioLatencyUsMax: 5_000, crashKeeps: "none" },
};

const cell: Readonly<Record<CellMutation, Favours>> = {
  "install-before-store-sync": { ...snapshots, crashAtEffect: 100 },
  "snapshot-chunk-unchecked": {
    ...snapshots,
    ...disorder,
    snapshotChunkBytes: 256,
    coldKeys: 60,
    peerPatienceMs: 300,
    slowLinks: 1_000,
    chaosEveryUs: 50_000,
  },
  "snapshot-position-off-by-one": snapshots,
  "rejoin-under-old-identity": damage,
  "state-drifts-on-one-node": { nodes: 3, founders: 3, wipes: 0, kills: 0, crashEveryEvents: 0, goes: 400 },
  "incarnation-not-raised": kills,
};

const log: Readonly<Record<LogMutation, Favours>> = {
  // Seen only by a start after the replacement: many of them.
  "restart-keeps-old-records": { ...overtaken, kills: 800, chaosEveryUs: 8_000 },
  "acknowledge-before-sync": powerCuts,
  "torn-tail-rule-in-mid-file": damage,
  "fsync-error-retried": { ...kills, syncErrors: 100 },
  "directory-not-synced": { ...powerCuts, crashKeeps: "none" },
  "truncation-forgotten-at-recovery": elections,
  "overwritten-record-read": elections,
  "write-split-in-two-frames": powerCuts,
};

const replica: Readonly<Record<Exclude<ReplicaMutation, CellMutation>, Favours>> = {
  "resubmit-with-new-number": disorder,
  "read-ignores-tail": readers,
};

const checkpointer: Readonly<Record<CheckpointerMutation, Favours>> = {
  "position-not-atomic-with-state": { ...trims, crashAtEffect: 100 },
  "trim-before-store-sync": { ...trims, crashAtEffect: 100, crashKeeps: "none" },
};

/** Those that show between nodes; the others are caught on a single one (../mutations.ts). */
const counters: Readonly<Partial<Record<CounterMutation, Favours>>> = {
  "duplicate-record-applied": disorder,
  "writer-gap-accepted": disorder,
  "snapshot-without-sessions": snapshots,
  "snapshot-without-idempotency": snapshots,
  "expired-session-reregistered": {},
};

function casesOf<Name extends string>(
  table: Readonly<Partial<Record<Name, Favours>>>,
  mutations: (name: Name) => CellMutationSet,
  prefix: string = "",
): readonly CellMutationCase[] {
  return (Object.keys(table) as Name[]).map((name) => ({
    name: prefix + name,
    mutations: mutations(name),
    swarm: { ...noSwitches, ...table[name], diskFull: 0 },
  }));
}

/** All of them; docs/testing.md has the table. */
export const cellMutationCases: readonly CellMutationCase[] = [
  ...casesOf(core, (name) => ({ core: name })),
  ...casesOf(engine, (name) => ({ engine: name })),
  ...casesOf(multiPaxos, (name) => ({ multiPaxos: name }), "multi-paxos: "),
  ...casesOf(chain, (name) => ({ chain: name })),
  ...casesOf(metadata, (name) => ({ metadata: name })),
  ...casesOf(cell, (name) => ({ cell: name })),
  ...casesOf(log, (name) => ({ log: name })),
  ...casesOf(replica, (name) => ({ replica: name })),
  ...casesOf(checkpointer, (name) => ({ checkpointer: name })),
  ...casesOf(counters, (name) => ({ counters: name })),
];

export async function runCellMutation(
  test: CellMutationCase,
  seedsMax: number,
  firstSeed: number = 1,
): Promise<MutationResult> {
  for (let seeds = 1; seeds <= seedsMax; seeds++) {
    const { name, mutations, swarm } = test;
    const seed = firstSeed + seeds - 1;
    const { failure } = await new CellSimulation({ seed, mutations, swarm }).run();
    if (failure !== undefined) return { name, seeds, caughtBy: failure.check, message: failure.message };
  }
  return { name: test.name, seeds: undefined, caughtBy: undefined, message: "survived" };
}
