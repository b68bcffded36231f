/** The shard's part of the node's status, from the parts that know it. */
import type { Checkpointer, Replica } from "@quipu/cluster";
import type { CounterMachine } from "@quipu/counters";
import type { VirtualLog } from "@quipu/log";
import type { ChainLink, ShardStatus } from "./node-status.ts";

export interface ShardParts {
  readonly machine: CounterMachine;
  readonly log: VirtualLog;
  /** Undefined between two lives of a shard, as while it fetches its state. */
  readonly replica: Replica | undefined;
  readonly checkpointer: Checkpointer | undefined;
}

export function shardStatus({ machine, log, replica, checkpointer }: ShardParts): ShardStatus {
  const { keys, keysWithExpiry, sessions, idempotencyEntries, expiredKeys } = machine.statistics;
  const replicas = replica?.statistics;
  const checkpoints = checkpointer?.statistics;
  return {
    shard: 0,
    appliedPosition: String(machine.appliedLsn),
    tailPosition: String(log.tailNow()?.tail ?? replica?.nextPosition ?? machine.appliedLsn + 1),
    checkpointedPosition: String(checkpoints?.checkpointedUpTo ?? 0),
    logTimeMs: String(machine.logTimeMs),
    keys,
    keysWithExpiry,
    sessions,
    idempotencyEntries,
    expiredKeys,
    stateHash: machine.hasHashBacklog ? null : machine.stateHash(),
    dirtyEntries: machine.dirtyCount,
    queuedCommands: replicas?.queuedItems ?? 0,
    queuedBytes: replicas?.queuedBytes ?? 0,
    recordsApplied: replicas?.recordsApplied ?? 0,
    checkpoints: checkpoints?.checkpoints ?? 0,
    longestCheckpointSliceMs: checkpoints?.longestSliceMs ?? 0,
  };
}

export function chainOf(log: VirtualLog): readonly ChainLink[] {
  return log.chain().segments.map(({ base, engine, end }) => ({
    base: String(base),
    engine,
    end: end === undefined ? null : String(end),
  }));
}

export function presentEngine(log: VirtualLog): string {
  return log.chain().segments.at(-1)?.engine ?? "none";
}
