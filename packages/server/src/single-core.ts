/**
 * The core of a single process, on the `local` engine.
 *
 * disk → write-ahead log → local loglet → virtual log ─┐
 *                         state store → machine ───────┴→ replica
 */
import { Checkpointer, loadMachine, Replica } from "@quipu/cluster";
import { QuipuError } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import type { VirtualLog } from "@quipu/log";
import type { Closers } from "./closers.ts";
import type { Configuration } from "./config/settings.ts";
import { holdDataDirectory, metadataDirectory, walDirectory } from "./data-directory.ts";
import type { Log } from "./log.ts";
import type { NodeCore } from "./node-core.ts";
import { raiseIncarnation } from "./node-identity.ts";
import { openNodeLog } from "./node-log.ts";
import type { NodePorts } from "./ports/node-ports.ts";
import { CryptoRandom } from "./ports/crypto-random.ts";
import { chainOf, presentEngine, shardStatus } from "./shard-status.ts";

export interface CoreOptions {
  readonly configuration: Configuration;
  readonly log: Log;
  readonly ports: NodePorts;
  readonly onFatal: (error: unknown) => void;
  readonly closers: Closers;
}

export async function openSingleCore({
  configuration,
  log: output,
  ports,
  onFatal,
  closers,
}: CoreOptions): Promise<NodeCore> {
  const { clock } = ports;
  // First: LevelDB's lock keeps a second process away from everything else in the directory.
  const data = await holdDataDirectory(configuration.dataDirectory);
  closers.add("the data directory", () => data.release());
  const { log, metadata } = await openNodeLog({ disk: ports.openDisk(data.path), clock, onFatal, closers });
  // So that nobody can choose keys that collide.
  const seed = new CryptoRandom().uint32();
  const machine = new CounterMachine({ seed });
  await loadMachine(data.store, machine);
  await requireLogReaches(log, machine);
  const identity = await raiseIncarnation(metadata);
  const replica = new Replica({ log, machine, clock, identity, seed, onFatal });
  closers.add("the replica", () => replica.close());
  await replica.start();
  const checkpointer = new Checkpointer({
    store: data.store,
    machine,
    log,
    clock,
    onFatal,
    onGivenUp: (error) => output.warn({ error: error.message }, "no room for a checkpoint; it is tried again"),
    settings: { intervalMs: configuration.checkpointSeconds * 1000 },
  });
  checkpointer.start();
  closers.add("the checkpointer", () => finishCheckpoints(checkpointer, output));
  closers.add("what is under way", () => replica.drain());
  return {
    dataDirectory: data.path,
    door: replica,
    serving: Promise.resolve(),
    isServing: true,
    status: () => ({
      node: identity.node,
      incarnation: identity.incarnation,
      overloaded: replica.overloaded,
      engine: presentEngine(log),
      chain: chainOf(log),
      shards: [shardStatus({ machine, log, replica, checkpointer })],
      cell: null,
    }),
    announce: () => undefined,
    operate: () => Promise.reject(new QuipuError("INVALID_ARGUMENT", "this server is a single process, not a cell")),
  };
}

/** The log is cut only below a checkpoint, so it always ends above one: else part of the directory is missing. */
async function requireLogReaches(log: VirtualLog, machine: CounterMachine): Promise<void> {
  const { tail } = await log.tail();
  if (tail > machine.appliedLsn) return;
  throw new QuipuError(
    "LOG_CORRUPT",
    `the state store stands at position ${machine.appliedLsn}, but the log ends before position ${tail}: ` +
      `was ${walDirectory}/ or ${metadataDirectory}/ removed or replaced? Restore the data directory as a whole.`,
  );
}

/** A last checkpoint makes the next start short. Should it fail, nothing is lost: the log still holds it all. */
async function finishCheckpoints(checkpointer: Checkpointer, log: Log): Promise<void> {
  await checkpointer.stop();
  try {
    await checkpointer.checkpoint();
  } catch (error) {
    log.warn({ error: String(error) }, "no last checkpoint; the next start replays the log instead");
  }
}
