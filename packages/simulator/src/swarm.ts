/**
 * Swarm testing (Groce et al., ISSTA 2012): each seed draws its own sizes, rates and faults, some of them off,
 * because a run with every fault on never gets far enough to meet the rare ones.
 */
import type { Random } from "@quipu/core";

export interface SwarmConfiguration {
  readonly clients: number;
  /** Longest pipeline that one client sends in one go. */
  readonly pipelineMax: number;
  /** Mean pause between two goes of one client. */
  readonly thinkUs: number;
  /** Goes of all clients together before the run heals. */
  readonly goes: number;
  readonly incarnationsMax: number;
  readonly coldKeys: number;
  /** Share of hot keys in percent. */
  readonly hotPercent: number;
  readonly recordsInFlightMax: number;
  readonly recordBytesTarget: number;
  readonly queuedItemsMax: number;
  readonly segmentBytes: number;
  /** Largest frame of the write-ahead log; a larger record is refused. */
  readonly frameBytesMax: number;
  readonly checkpointIntervalMs: number;
  readonly sliceMs: number;
  /** Per 10,000 goes: a checkpoint out of turn, because the checkpointer itself looks only four times a second. */
  readonly checkpoints: number;
  /** Database 1 is flushed now and then; rare, because it touches every slot. */
  readonly flushes: boolean;
  /** Per 10,000 goes: a live switch to a new loglet, so that chains of segments are read, trimmed and completed. */
  readonly reconfigurations: number;
  readonly ioLatencyUsMax: number;
  /** Chances per 10,000 operations of each kind; 0 = off in this run. */
  readonly shortWrites: number;
  readonly writeErrors: number;
  readonly diskFull: number;
  readonly syncErrors: number;
  readonly slowIo: number;
  /** Chance per 10,000 disk and store effects that the power goes right there. */
  readonly crashAtEffect: number;
  /** Mean events between crashes at any event. 0 = only the others. */
  readonly crashEveryEvents: number;
  readonly crashKeeps: "random" | "all" | "none";
  /** Percent of incarnations that end in an orderly stop. */
  readonly orderlyStopPercent: number;
  /** Per 10,000 goes. */
  readonly wallJumps: number;
  /** Percent of restarts before which a bit of the log flips. */
  readonly bitFlipPercent: number;
  /** Per 10,000 appends: the engine loses an append, or its answer, or does it much later. */
  readonly appendLost: number;
  readonly appendAnswerLost: number;
  readonly appendRefused: number;
  readonly appendZombie: number;
  /** Longest delay between a record standing in the log and its delivery to the replica; 0 = none. */
  readonly deliveryDelayUsMax: number;
  /** Another node writes to the same log. */
  readonly peer: boolean;
  /** Per 10,000 batches of the state store: the batch fails and changes nothing. */
  readonly storeErrors: number;
}

export function drawSwarm(random: Random): SwarmConfiguration {
  const pick = <T>(...values: readonly T[]): T => values[random.below(values.length)] as T;
  /** On in `percent` of the seeds. */
  const sometimes = (percent: number, ...values: readonly number[]): number =>
    random.chance(percent, 100) ? pick(...values) : 0;
  const engineFaults = random.chance(50, 100);
  return {
    clients: pick(1, 2, 3, 5),
    pipelineMax: pick(1, 3, 8, 20),
    thinkUs: pick(50, 300, 2_000, 50_000),
    goes: pick(40, 120, 250),
    incarnationsMax: pick(2, 4, 8),
    coldKeys: pick(3, 12, 150),
    hotPercent: pick(20, 50, 90),
    recordsInFlightMax: pick(1, 2, 3, 4),
    recordBytesTarget: pick(200, 1_000, 3_000),
    queuedItemsMax: pick(12, 1_000_000, 1_000_000),
    segmentBytes: pick(32, 32, 48, 96) * 1024,
    frameBytesMax: 8 * 1024,
    checkpointIntervalMs: pick(5, 50, 400, 5_000),
    sliceMs: pick(0.001, 0.005, 2),
    checkpoints: pick(0, 300, 2_000),
    flushes: random.chance(10, 100),
    reconfigurations: sometimes(30, 100, 500),
    ioLatencyUsMax: pick(5, 100, 2_000),
    shortWrites: sometimes(30, 100, 1_000),
    writeErrors: sometimes(15, 10, 50),
    diskFull: sometimes(20, 1_000, 5_000),
    syncErrors: sometimes(20, 20, 100),
    slowIo: sometimes(20, 50, 300),
    crashAtEffect: sometimes(60, 20, 100, 400),
    crashEveryEvents: sometimes(70, 200, 800, 3_000),
    crashKeeps: pick("random", "random", "random", "all", "none"),
    orderlyStopPercent: sometimes(40, 20, 60),
    wallJumps: sometimes(30, 50, 300),
    bitFlipPercent: sometimes(15, 50),
    appendLost: engineFaults ? sometimes(60, 100, 600) : 0,
    appendAnswerLost: engineFaults ? sometimes(60, 100, 600) : 0,
    appendRefused: engineFaults ? sometimes(40, 100, 600) : 0,
    appendZombie: engineFaults ? sometimes(50, 100, 600) : 0,
    deliveryDelayUsMax: engineFaults ? sometimes(50, 200, 5_000) : 0,
    peer: random.chance(35, 100),
    storeErrors: sometimes(15, 500, 3_000),
  };
}
