/** Swarm testing of a cell: each seed draws its own sizes, rates and faults, some of them off (see ../swarm.ts). */
import type { Random } from "@quipu/core";
import type { FaultRates } from "../faults.ts";
import type { WorkloadShape } from "../workload.ts";

/** Rates of the network's faults; chances are per 10,000 frames. */
export interface NetworkRates {
  /** One way, without the jitter. */
  readonly latencyUs: number;
  readonly jitterUs: number;
  readonly frameLost: number;
  readonly frameRepeated: number;
  /** Frames that overtake others; without this each link keeps their order. */
  readonly frameReordered: number;
  /** Frames that come once more, much later: across terms, restarts and pauses. */
  readonly frameReplayed: number;
  readonly frameDamaged: number;
  /** Bytes under way on one link before further frames are dropped. */
  readonly linkBytesMax: number;
}

/** Per 10,000 steps of the chaos, which come every `chaosEveryUs`. */
export interface ChaosRates {
  readonly chaosEveryUs: number;
  readonly partitions: number;
  readonly slowLinks: number;
  /** A leader whom nobody hears any more hears for a while what was said to it before. */
  readonly lateEchoes: number;
  readonly pauses: number;
  readonly kills: number;
  readonly wipes: number;
  readonly wallJumps: number;
  readonly transfers: number;
  readonly memberChanges: number;
  readonly checkpoints: number;
  readonly orderlyStops: number;
  /** Of what keeps the log, live, to one of the swarm's engines. */
  readonly switches: number;
  /** The service beside the cell is away for a while. */
  readonly outages: number;
  /** Per 10,000 moments that are bad ones (an election, a joint configuration, a snapshot under way). */
  readonly opportunism: number;
}

export interface CellSwarm extends FaultRates, WorkloadShape, NetworkRates, ChaosRates {
  readonly nodes: number;
  /** The others join. */
  readonly founders: number;
  readonly clients: number;
  /** Of the clients, those that only read. */
  readonly readers: number;
  readonly pipelineMax: number;
  readonly thinkUs: number;
  readonly goes: number;
  /** The faulty part ends at the latest then, however few requests got through. */
  readonly chaosMsMax: number;
  /** A client that waits longer takes its connection for lost. */
  readonly patienceUs: number;
  readonly recordsInFlightMax: number;
  readonly recordBytesTarget: number;
  readonly segmentBytes: number;
  readonly frameBytesMax: number;
  readonly checkpointIntervalMs: number;
  readonly snapshotChunkBytes: number;
  /** How long a node waits for a peer that is to send it a snapshot. */
  readonly peerPatienceMs: number;
  /** How much log is kept for a member that is behind; beyond it, that member gets a snapshot. */
  readonly followerPinBytes: number;
  readonly rewriteBytesMax: number;
  readonly tickMs: number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly messageBytesMax: number;
  /** Patience of the raft engine with an append, or a tail. */
  readonly appendDeadlineTicks: number;
  readonly forwardWindow: number;
  readonly messagesInFlightMax: number;
  /** Chance per 10,000 frames sent, disk operations aside, that the power goes right there. */
  readonly crashAtSend: number;
  /** Mean events of a host between crashes at any event. 0 = only the others. */
  readonly crashEveryEvents: number;
  readonly crashKeeps: "random" | "all" | "none";
  /** Percent of restarts before which a bit of the log flips. */
  readonly bitFlipPercent: number;
  /** Per 10,000 writes. */
  readonly misdirectedWrites: number;
  readonly restartUsMax: number;
  /** Clocks run up to this many parts per thousand fast or slow. */
  readonly driftPerThousand: number;
  readonly pauseUsMax: number;
  readonly partitionUsMax: number;
  readonly deliveryDelayUsMax: number;
  /** In the healed part a minority stays dead. */
  readonly minorityStaysDead: boolean;
  /** What keeps the log at first. */
  readonly initialEngine: SwitchEngine;
  /** What it is switched to. */
  readonly engines: readonly SwitchEngine[];
}

/** "external": the model of a service that all nodes reach. */
export type SwitchEngine = "raft" | "multi-paxos" | "external";

export function drawCellSwarm(random: Random): CellSwarm {
  const pick = <T>(...values: readonly T[]): T => values[random.below(values.length)] as T;
  /** On in `percent` of the seeds. */
  const sometimes = (percent: number, ...values: readonly number[]): number =>
    random.chance(percent, 100) ? pick(...values) : 0;
  const nodes = pick(3, 3, 5);
  const founders = nodes === 5 ? pick(3, 5) : 3;
  const swarm: CellSwarm = {
    nodes,
    founders,
    ...drawLoad(pick, random),
    ...drawNetwork(pick, sometimes),
    ...drawDisk(pick, sometimes),
    ...drawChaos(pick, sometimes),
    minorityStaysDead: random.chance(15, 100),
    ...drawSwitches(pick, sometimes),
  };
  return isTooTight(swarm) ? { ...swarm, electionTicks: 10 } : swarm;
}

/**
 * A known limit of the Multi-Paxos core (seed 30285): where an election timeout is hardly two round trips, a candidate that has
 * much to recover in small messages is given up before it is done, again and again. Nodes have 500 ms for it.
 */
function isTooTight({ tickMs, electionTicks, initialEngine, engines, switches }: CellSwarm): boolean {
  const isPaxos = initialEngine === "multi-paxos" || (switches > 0 && engines.includes("multi-paxos"));
  return isPaxos && tickMs * electionTicks < 100;
}

/** Drawn last: seeds without switches are what they were before there were any. */
function drawSwitches(pick: Pick1, sometimes: Sometimes) {
  const initialEngine: SwitchEngine = pick("raft", "raft", "multi-paxos");
  const engines = pick<readonly SwitchEngine[]>(
    ["raft"],
    ["multi-paxos"],
    ["raft", "multi-paxos"],
    ["raft", "multi-paxos", "external"],
    ["external", "raft"],
  );
  return { initialEngine, engines, switches: sometimes(60, 100, 500, 2_000), outages: sometimes(30, 300) };
}

type Pick1 = <T>(...values: readonly T[]) => T;
type Sometimes = (percent: number, ...values: readonly number[]) => number;

function drawLoad(pick: Pick1, random: Random) {
  return {
    clients: pick(2, 3, 5),
    readers: pick(0, 1, 1),
    pipelineMax: pick(1, 3, 8),
    thinkUs: pick(2_000, 20_000, 60_000),
    goes: pick(60, 150, 300),
    chaosMsMax: 60_000,
    patienceUs: pick(300_000, 1_000_000, 5_000_000),
    coldKeys: pick(3, 12, 60),
    hotPercent: pick(20, 50, 90),
    flushes: random.chance(10, 100),
    recordsInFlightMax: pick(1, 2, 4),
    recordBytesTarget: pick(200, 1_000, 3_000),
    segmentBytes: pick(192, 256) * 1024,
    frameBytesMax: 64 * 1024,
    checkpointIntervalMs: pick(300, 1_000, 10_000),
    snapshotChunkBytes: pick(256, 1_024, 16_384),
    peerPatienceMs: pick(300, 1_500),
    followerPinBytes: pick(0, 2_000, 1_000_000),
    rewriteBytesMax: pick(4_000, 16_000),
    appendDeadlineTicks: pick(20, 60, 200),
    forwardWindow: pick(1, 4, 64),
    tickMs: pick(10, 50, 50),
    electionTicks: pick(5, 10),
    heartbeatTicks: pick(1, 2),
    messageBytesMax: pick(512, 4_096, 16_384),
    messagesInFlightMax: pick(2, 8, 64),
  } as const;
}

function drawNetwork(pick: Pick1, sometimes: Sometimes): NetworkRates {
  return {
    latencyUs: pick(50, 500, 5_000),
    jitterUs: pick(10, 500, 10_000),
    frameLost: sometimes(50, 50, 300, 1_500),
    frameRepeated: sometimes(40, 100, 1_000),
    frameReordered: sometimes(50, 500, 5_000),
    frameReplayed: sometimes(40, 20, 200),
    frameDamaged: sometimes(25, 20, 200),
    linkBytesMax: pick(16, 64, 1_024) * 1024,
  };
}

function drawDisk(pick: Pick1, sometimes: Sometimes) {
  return {
    ioLatencyUsMax: pick(50, 500, 5_000),
    shortWrites: sometimes(20, 100, 1_000),
    writeErrors: sometimes(10, 5, 20),
    diskFull: sometimes(15, 1_000, 5_000),
    syncErrors: sometimes(20, 10, 50),
    slowIo: sometimes(20, 20, 100),
    storeErrors: sometimes(10, 300, 2_000),
    crashAtEffect: sometimes(50, 10, 40),
    crashAtSend: sometimes(50, 5, 20),
    crashEveryEvents: sometimes(50, 1_000, 4_000),
    crashKeeps: pick("random", "random", "random", "all", "none"),
    bitFlipPercent: sometimes(20, 30),
    misdirectedWrites: sometimes(15, 10, 50),
    restartUsMax: pick(50_000, 500_000, 5_000_000),
    driftPerThousand: sometimes(40, 1, 20, 150),
    pauseUsMax: pick(2_000, 200_000, 3_000_000, 60_000_000),
    partitionUsMax: pick(300_000, 3_000_000, 15_000_000),
    deliveryDelayUsMax: sometimes(25, 200, 5_000),
  } as const;
}

function drawChaos(pick: Pick1, sometimes: Sometimes): Omit<ChaosRates, "switches" | "outages"> {
  return {
    chaosEveryUs: pick(20_000, 100_000, 400_000),
    partitions: sometimes(60, 200, 1_000),
    slowLinks: sometimes(25, 300),
    lateEchoes: sometimes(15, 300),
    pauses: sometimes(50, 100, 600),
    kills: sometimes(50, 100, 500),
    wipes: sometimes(30, 500, 2_000),
    wallJumps: sometimes(20, 200),
    transfers: sometimes(40, 200, 1_000),
    memberChanges: sometimes(40, 200, 1_000),
    checkpoints: sometimes(60, 500, 2_000),
    orderlyStops: sometimes(20, 100),
    opportunism: sometimes(50, 100, 1_000),
  };
}
