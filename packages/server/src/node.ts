/** A node: a core and its doors, wired together (DESIGN §3). Opened from the bottom up, closed from the top down. */
import { defaultReplicaLimits } from "@quipu/cluster";
import { DiskError, QuipuError } from "@quipu/core";
import { defaultLimits } from "@quipu/counters";
import { Authenticator } from "./authenticator.ts";
import { openCellCore } from "./cell/cell-core.ts";
import type { CellSettings } from "./cell/cell-settings.ts";
import { Closers } from "./closers.ts";
import type { Configuration } from "./config/settings.ts";
import { isServiceEngine } from "./engines/engine-names.ts";
import { startHttpDoor } from "./http/http-door.ts";
import { listenFailure } from "./listen-failure.ts";
import type { Log } from "./log.ts";
import { Metrics } from "./metrics.ts";
import type { NodeCore } from "./node-core.ts";
import type { NodeEndpoints, NodeStatus } from "./node-status.ts";
import { CryptoRandom } from "./ports/crypto-random.ts";
import { type NodePorts, nodePorts } from "./ports/node-ports.ts";
import { startRespDoor } from "./resp/door.ts";
import { openServiceCore } from "./service-core.ts";
import { type CoreOptions, openSingleCore } from "./single-core.ts";
import { version } from "./version.ts";

export interface NodeOptions {
  readonly configuration: Configuration;
  readonly log: Log;
  /**
   * The disk failed or an invariant is broken: memory and disk may differ. The owner ends the process without
   * closing the node, and starts it again.
   */
  readonly onFatal: (error: unknown) => void;
  /** Production's, unless a test of faults brings its own. */
  readonly ports?: NodePorts;
  /** Gives the start up, which in a cell may wait for other nodes for ever. */
  readonly signal?: AbortSignal;
}

export interface QuipuNode {
  readonly dataDirectory: string;
  readonly endpoints: NodeEndpoints;
  status(): NodeStatus;
  /** Stops the doors, answers what is under way, writes a last checkpoint, lets go of the data directory. */
  close(): Promise<void>;
}

/** Resolves when the node serves. Rejects with a QuipuError that says what is in the way; nothing stays open then. */
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

async function open(options: NodeOptions, closers: Closers): Promise<QuipuNode> {
  const { configuration, log, onFatal } = options;
  const startedMs = performance.now();
  const metrics = new Metrics();
  const ports = options.ports ?? nodePorts((durationMs) => metrics.observeSync(durationMs));
  const { bind, respPort, httpPort, cell } = configuration;
  const coreOptions = { configuration, log, ports, onFatal, closers };
  const core = await openCore(coreOptions, cell);
  let isReady = false;
  // Filled in when the doors know their ports.
  let endpoints: NodeEndpoints = { resp: { host: bind, port: respPort }, http: { host: bind, port: httpPort } };
  const status = (): NodeStatus => nodeStatus(core, endpoints, isReady && core.isServing, startedMs);
  metrics.watch(status);
  const shared = { replica: core.door, authenticator: new Authenticator(configuration.tokens), log };
  const doors: { close(): Promise<void> }[] = [];
  // Together, so that both stop listening at once and neither waits for the other's slow callers.
  closers.add("the doors", async () => void (await Promise.all(doors.map((door) => door.close()))));
  // First HTTP: it tells what a node of a cell is waiting for.
  const operate = core.operate.bind(core);
  const http = await startHttpDoor({ ...shared, status, metrics, operate }, bind, httpPort);
  doors.push(http);
  endpoints = { ...endpoints, http: { host: bind, port: http.port } };
  core.announce(endpoints, false);
  await servingOrAborted(core, options.signal);
  log.info(
    { position: core.door.machine.appliedLsn, keys: core.door.machine.statistics.keys, ms: since(startedMs) },
    "the state is loaded and the log is replayed",
  );
  const resp = await startRespDoor({
    ...shared,
    clock: ports.clock,
    random: new CryptoRandom(),
    bind,
    port: respPort,
    options: {
      allowFlush: configuration.allowFlush,
      version,
      ...(core.doors === undefined ? {} : { doors: core.doors.bind(core) }),
    },
  }).catch((error: unknown) => {
    throw listenFailure(error, "--resp-port", bind, respPort);
  });
  doors.push(resp);
  metrics.watchResp(resp);
  endpoints = { ...endpoints, resp: { host: bind, port: resp.port } };
  isReady = true;
  core.announce(endpoints, true);
  return {
    dataDirectory: core.dataDirectory,
    endpoints,
    status,
    close: async () => {
      isReady = false;
      core.announce(endpoints, false);
      await closers.closeAll();
      log.info({}, "stopped; everything acknowledged is on disk");
    },
  };
}

/** Of three kinds: a node of a cell, a node in front of a service that keeps the log, or a process by itself. */
function openCore(options: CoreOptions, cell: CellSettings | undefined): Promise<NodeCore> {
  const { engine } = options.configuration;
  if (cell !== undefined) return openCellCore({ ...options, cell });
  return engine !== undefined && isServiceEngine(engine)
    ? openServiceCore({ ...options, engine })
    : openSingleCore(options);
}

async function servingOrAborted(core: NodeCore, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return core.serving;
  const aborted = new Promise<never>((_resolve, reject) => {
    const give = (): void => reject(new QuipuError("SHUTTING_DOWN", "the start was given up"));
    if (signal.aborted) give();
    else signal.addEventListener("abort", give, { once: true });
  });
  await Promise.race([core.serving, aborted]);
}

function nodeStatus(core: NodeCore, endpoints: NodeEndpoints, isReady: boolean, startedMs: number): NodeStatus {
  return {
    version,
    uptimeSeconds: since(startedMs) / 1000,
    ready: isReady,
    endpoints,
    ...core.status(),
    limits: { ...defaultLimits, ...defaultReplicaLimits },
  };
}

function since(startedMs: number): number {
  return Math.round(performance.now() - startedMs);
}
