/**
 * A node: disk, log, state and doors wired together (DESIGN §3). Opened from the bottom up, closed from the top down.
 *
 * disk → write-ahead log → local loglet → virtual log ─┐
 *                         state store → machine ───────┴→ replica → RESP and HTTP doors
 */
import { Checkpointer, defaultReplicaLimits, loadMachine, Replica, type WriterIdentity } from "@quipu/cluster";
import { DiskError, QuipuError } from "@quipu/core";
import { CounterMachine, defaultLimits } from "@quipu/counters";
import type { VirtualLog } from "@quipu/log";
import { Authenticator } from "./authenticator.ts";
import { Closers } from "./closers.ts";
import type { Configuration } from "./config/settings.ts";
import { type DataDirectory, holdDataDirectory, metadataDirectory, walDirectory } from "./data-directory.ts";
import { startHttpDoor } from "./http/http-door.ts";
import { listenFailure } from "./listen-failure.ts";
import type { Log } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { raiseIncarnation } from "./node-identity.ts";
import { openNodeLog } from "./node-log.ts";
import type { ListenAddress, NodeStatus, ShardStatus } from "./node-status.ts";
import { CryptoRandom } from "./ports/crypto-random.ts";
import { NodeClock } from "./ports/node-clock.ts";
import { NodeDisk } from "./ports/node-disk.ts";
import { startRespDoor } from "./resp/door.ts";
import { version } from "./version.ts";

export interface NodeOptions {
  readonly configuration: Configuration;
  readonly log: Log;
  /**
   * The disk failed or an invariant is broken: memory and disk may differ. The owner ends the process without
   * closing the node, and starts it again.
   */
  readonly onFatal: (error: unknown) => void;
}

export interface NodeEndpoints {
  readonly resp: ListenAddress;
  readonly http: ListenAddress;
}

export interface QuipuNode {
  readonly dataDirectory: string;
  readonly endpoints: NodeEndpoints;
  status(): NodeStatus;
  /** Stops the doors, answers what is under way, writes a last checkpoint, lets go of the data directory. */
  close(): Promise<void>;
}

/** Rejects with a QuipuError that says what is in the way; nothing stays open then. */
export async function openNode(options: NodeOptions): Promise<QuipuNode> {
  const closers = new Closers();
  try {
    return await open(options, closers);
  } catch (error) {
    await closers.closeAll().catch((failure: unknown) => {
      options.log.error({ error: String(failure) }, "could not close everything after a failed start");
    });
    throw startFailure(error);
  }
}

/** What the disk answers while a node starts concerns the data directory; the process never was at work. */
function startFailure(error: unknown): unknown {
  if (!(error instanceof DiskError)) return error;
  return new QuipuError("DATA_DIRECTORY_UNUSABLE", error.message, { cause: error });
}

/** The parts below the doors. */
interface Core {
  readonly data: DataDirectory;
  readonly log: VirtualLog;
  readonly identity: WriterIdentity;
  readonly machine: CounterMachine;
  readonly replica: Replica;
  readonly checkpointer: Checkpointer;
}

async function open(options: NodeOptions, closers: Closers): Promise<QuipuNode> {
  const { configuration, log } = options;
  const startedMs = performance.now();
  const metrics = new Metrics();
  const core = await openCore(options, metrics, closers);
  log.info(
    { position: core.machine.appliedLsn, keys: core.machine.statistics.keys, ms: since(startedMs) },
    "the state is loaded and the log is replayed",
  );
  let isReady = false;
  // Filled in when the doors know their ports.
  let endpoints: NodeEndpoints = { resp: { host: "", port: 0 }, http: { host: "", port: 0 } };
  const status = (): NodeStatus => nodeStatus(core, endpoints, isReady, startedMs);
  metrics.watch(status);
  const shared = { replica: core.replica, authenticator: new Authenticator(configuration.tokens), log };
  const { bind, respPort, httpPort } = configuration;
  const doors: { close(): Promise<void> }[] = [];
  // Together, so that both stop listening at once and neither waits for the other's slow callers.
  closers.add("the doors", async () => void (await Promise.all(doors.map((door) => door.close()))));
  const resp = await startRespDoor({
    ...shared,
    clock: new NodeClock(),
    random: new CryptoRandom(),
    bind,
    port: respPort,
    options: { allowFlush: configuration.allowFlush, version },
  }).catch((error: unknown) => {
    throw listenFailure(error, "--resp-port", bind, respPort);
  });
  doors.push(resp);
  metrics.watchResp(resp);
  const http = await startHttpDoor({ ...shared, status, metrics }, bind, httpPort);
  doors.push(http);
  endpoints = {
    resp: { host: bind, port: resp.port },
    http: { host: bind, port: http.port },
  };
  isReady = true;
  return {
    dataDirectory: core.data.path,
    endpoints,
    status,
    close: async () => {
      isReady = false;
      await closers.closeAll();
      log.info({}, "stopped; everything acknowledged is on disk");
    },
  };
}

async function openCore(options: NodeOptions, metrics: Metrics, closers: Closers): Promise<Core> {
  const { configuration, onFatal } = options;
  const clock = new NodeClock();
  // First: LevelDB's lock keeps a second process away from everything else in the directory.
  const data = await holdDataDirectory(configuration.dataDirectory);
  closers.add("the data directory", () => data.release());
  const disk = new NodeDisk(data.path, { onSync: (durationMs) => metrics.observeSync(durationMs) });
  const { log, metadata } = await openNodeLog({ disk, clock, onFatal, closers });
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
    onGivenUp: (error) => options.log.warn({ error: error.message }, "no room for a checkpoint; it is tried again"),
    settings: { intervalMs: configuration.checkpointSeconds * 1000 },
  });
  checkpointer.start();
  closers.add("the checkpointer", () => finishCheckpoints(checkpointer, options.log));
  closers.add("what is under way", () => replica.drain());
  return { data, log, identity, machine, replica, checkpointer };
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

function nodeStatus(core: Core, endpoints: NodeEndpoints, isReady: boolean, startedMs: number): NodeStatus {
  const { segments } = core.log.chain();
  return {
    version,
    node: core.identity.node,
    incarnation: core.identity.incarnation,
    uptimeSeconds: since(startedMs) / 1000,
    ready: isReady,
    overloaded: core.replica.overloaded,
    endpoints,
    engine: segments.at(-1)?.engine ?? "none",
    chain: segments.map(({ base, engine, end }) => ({
      base: String(base),
      engine,
      end: end === undefined ? null : String(end),
    })),
    shards: [shardStatus(core)],
    limits: { ...defaultLimits, ...defaultReplicaLimits },
  };
}

function shardStatus({ log, machine, replica, checkpointer }: Core): ShardStatus {
  const { keys, keysWithExpiry, sessions, idempotencyEntries, expiredKeys } = machine.statistics;
  return {
    shard: 0,
    appliedPosition: String(machine.appliedLsn),
    tailPosition: String(log.tailNow()?.tail ?? replica.nextPosition),
    checkpointedPosition: String(checkpointer.statistics.checkpointedUpTo),
    logTimeMs: String(machine.logTimeMs),
    keys,
    keysWithExpiry,
    sessions,
    idempotencyEntries,
    expiredKeys,
    stateHash: machine.hasHashBacklog ? null : machine.stateHash(),
    dirtyEntries: machine.dirtyCount,
    queuedCommands: replica.statistics.queuedItems,
    queuedBytes: replica.statistics.queuedBytes,
    recordsApplied: replica.statistics.recordsApplied,
    checkpoints: checkpointer.statistics.checkpoints,
    longestCheckpointSliceMs: checkpointer.statistics.longestSliceMs,
  };
}

function since(startedMs: number): number {
  return Math.round(performance.now() - startedMs);
}
