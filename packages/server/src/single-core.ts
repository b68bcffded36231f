/**
 * The core of a single process. Its log is on the `local` engine, until an operator has it go on in a service.
 *
 * disk → write-ahead log → local loglet ─┐
 *              etcd, ZooKeeper loglets ──┴→ virtual log ─┐
 *                           state store → machine ───────┴→ replica
 */
import {
  Checkpointer,
  FrontKeeper,
  isTemporary,
  loadMachine,
  Replica,
  type ReplicaDoor,
  ShardDoor,
} from "@quipu/cluster";
import { lsn, QuipuError } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import type { VirtualLog } from "@quipu/log";
import type { CellAnswer, CellRequest } from "./cell/cell-requests.ts";
import { Closers } from "./closers.ts";
import type { Configuration } from "./config/settings.ts";
import { type DataDirectory, holdDataDirectory, metadataDirectory, walDirectory } from "./data-directory.ts";
import { isServiceEngine } from "./engines/engine-names.ts";
import { ServiceEngines } from "./engines/service-engines.ts";
import { switchEngine } from "./engines/switch-engine.ts";
import type { Log } from "./log.ts";
import type { CoreStatus, NodeCore } from "./node-core.ts";
import { raiseIncarnation } from "./node-identity.ts";
import { openNodeLog, openNodeLogFiles, type NodeLogFiles } from "./node-log.ts";
import type { NodePorts } from "./ports/node-ports.ts";
import { CryptoRandom } from "./ports/crypto-random.ts";
import { chainOf, presentEngine, shardStatus } from "./shard-status.ts";
import { SingleSnapshots } from "./single-snapshots.ts";

export interface CoreOptions {
  readonly configuration: Configuration;
  readonly log: Log;
  readonly ports: NodePorts;
  readonly onFatal: (error: unknown) => void;
  readonly closers: Closers;
}

/**
 * Resolves when the process serves, where its log is on its own disk. Where a service has a part of it, that may be away:
 * then it resolves at once, and goes on to `serving` by itself.
 */
export async function openSingleCore(options: CoreOptions): Promise<NodeCore> {
  const core = new SingleCore(options);
  await core.open();
  return core;
}

interface Running {
  readonly log: VirtualLog;
  readonly machine: CounterMachine;
  readonly replica: Replica;
  readonly checkpointer: Checkpointer;
  readonly node: number;
  readonly incarnation: number;
}

/** Wait before a service that is away is asked again. */
const retryMs = 500;

class SingleCore implements NodeCore {
  readonly serving: Promise<void>;
  dataDirectory = "";
  readonly #options: CoreOptions;
  /** What {@link SingleCore.#run} has opened. */
  readonly #opened: Closers = new Closers();
  readonly #waitingDoor: ShardDoor;
  #served: () => void = () => undefined;
  #failed: (error: unknown) => void = () => undefined;
  #running: Running | undefined;
  #waitingFor: string | undefined;
  #isClosed = false;

  constructor(options: CoreOptions) {
    this.#options = options;
    const empty = new CounterMachine({});
    this.#waitingDoor = new ShardDoor(
      () => empty,
      () => lsn(0),
      () => this.#notReady(),
    );
    this.serving = new Promise((resolve, reject) => {
      this.#served = resolve;
      this.#failed = reject;
    });
    // Whoever opens the node awaits it; a start that fails before is told by itself.
    this.serving.catch(() => undefined);
  }

  async open(): Promise<void> {
    const { configuration, log: output, ports, onFatal, closers } = this.#options;
    const { clock } = ports;
    // First: LevelDB's lock keeps a second process away from everything else in the directory.
    const data = await holdDataDirectory(configuration.dataDirectory);
    this.dataDirectory = data.path;
    closers.add("the data directory", () => data.release());
    const files = await openNodeLogFiles({ disk: ports.openDisk(data.path), clock, onFatal, closers });
    const { service: settings, engine } = configuration;
    const services = new ServiceEngines({ settings, engine, clock, random: new CryptoRandom(), log: output });
    closers.add("the services", () => services.close());
    closers.add("the node", async () => {
      this.#isClosed = true;
      this.#failed(new QuipuError("SHUTTING_DOWN", "the node is stopping"));
      await this.#opened.closeAll();
    });
    const running = this.#run(data, files, services);
    running.then(this.#served, this.#failed);
    if (files.segments.every((segment) => !isServiceEngine(segment.engine))) await running;
  }

  /** The replica itself, where it is there already: nothing stands between it and the doors. */
  get door(): ReplicaDoor {
    return this.#waitingDoor.target ?? this.#waitingDoor;
  }

  get isServing(): boolean {
    return this.#running !== undefined;
  }

  announce(): void {
    // There are no other nodes that could be told.
  }

  status(): CoreStatus {
    const { log, machine, replica, checkpointer, node, incarnation } = this.#running ?? {};
    const isOpen = log !== undefined && machine !== undefined;
    return {
      node: node ?? 1,
      incarnation: incarnation ?? 0,
      overloaded: replica?.overloaded ?? false,
      engine: isOpen ? presentEngine(log) : "none",
      chain: isOpen ? chainOf(log) : [],
      shards: isOpen ? [shardStatus({ machine, log, replica, checkpointer })] : [],
      cell: null,
      waitingFor: this.isServing ? null : (this.#waitingFor ?? "its log"),
    };
  }

  async operate(request: CellRequest): Promise<CellAnswer> {
    const running = this.#running;
    if (running === undefined) throw this.#notReady();
    if (request.type !== "switchEngine") {
      throw new QuipuError("INVALID_ARGUMENT", "this server is a single process, not a cell");
    }
    if (request.engine === "raft" || request.engine === "multi-paxos") {
      const how = "start it with --cell-peers, --name and a secret; it brings its data along";
      throw new QuipuError("INVALID_ARGUMENT", `${request.engine} is of a cell, and this is a single process: ${how}`);
    }
    this.#options.log.info({ request }, "an operator asks");
    return await switchEngine({ ...running, door: running.replica, clock: this.#options.ports.clock }, request);
  }

  async #run(data: DataDirectory, files: NodeLogFiles, services: ServiceEngines): Promise<void> {
    const { configuration, log: output, ports, onFatal } = this.#options;
    const { clock } = ports;
    const { metadata } = files;
    const opened = this.#opened;
    const log = await this.#untilAnswered(() => openNodeLog(files, services.engines));
    opened.add("the log", () => log.close());
    // So that nobody can choose keys that collide.
    const random = new CryptoRandom();
    const seed = random.uint32();
    const machine = new CounterMachine({ seed });
    await loadMachine(data.store, machine);
    await this.#untilAnswered(() => requireLogReaches(log, machine));
    const identity = await raiseIncarnation(metadata);
    const replica = new Replica({ log, machine, clock, identity, seed, onFatal });
    opened.add("the replica", () => replica.close());
    await replica.start();
    const checkpointer: Checkpointer = new Checkpointer({
      store: data.store,
      machine,
      log,
      clock,
      onFatal,
      // Asked from the first checkpoint on, and so never before the next lines have made it.
      trimLimit: () => snapshots.trimLimit,
      onGivenUp: (error) => output.warn({ error: error.message }, "no room for a checkpoint; it is tried again"),
      settings: { intervalMs: configuration.checkpointSeconds * 1000 },
    });
    const snapshots = new SingleSnapshots({
      ...{ log, services, replica, checkpointer, metadata, clock, random, output, onFatal },
    });
    const keeper = new FrontKeeper({ log, clock, random, onFatal });
    opened.add("what looks after the chain", () => keeper.close());
    checkpointer.start();
    opened.add("the checkpointer", () => finishCheckpoints(checkpointer, output));
    opened.add("snapshots in services", () => snapshots.close());
    opened.add("what is under way", () => this.#drain(replica));
    this.#running = { log, machine, replica, checkpointer, ...identity };
    this.#waitingDoor.target = replica;
  }

  /** Repeats what a service that is away refuses. */
  async #untilAnswered<Result>(action: () => Promise<Result>): Promise<Result> {
    for (;;) {
      if (this.#isClosed) throw new QuipuError("SHUTTING_DOWN", "the node is stopping");
      try {
        return await action();
      } catch (error) {
        if (!isTemporary(error)) throw error;
        const { message } = error as QuipuError;
        if (message !== this.#waitingFor) this.#options.log.warn({}, `waiting for a service: ${message}`);
        this.#waitingFor = message;
      }
      await new Promise<void>((resolve) => void this.#options.ports.clock.setTimer(retryMs, resolve));
    }
  }

  /** Of a log in a service that is away nothing would come for long. */
  async #drain(replica: Replica): Promise<void> {
    const { clock } = this.#options.ports;
    let cancel = (): void => undefined;
    const patience = new Promise<void>((resolve) => (cancel = clock.setTimer(drainMsMax, resolve)));
    await Promise.race([replica.drain(), patience]);
    cancel();
  }

  #notReady(): QuipuError {
    return new QuipuError("OVERLOADED", `this node is not ready: it waits for ${this.#waitingFor ?? "its log"}`);
  }
}

/** Longer than a full queue takes on a slow disk. */
const drainMsMax = 15_000;

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
