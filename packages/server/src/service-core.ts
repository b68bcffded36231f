/**
 * The core of a node in front of a service: etcd or ZooKeeper keeps its log, the chain of the log and the numbers of the
 * nodes, so that one node or many stand before one log. What `FrontNode` needs of the world.
 */
import { FrontNode, loadFront, requireFront, requireHome, ShardDoor } from "@quipu/cluster";
import { type Disk, QuipuError } from "@quipu/core";
import { fileMetadataStore, type MetadataStore } from "@quipu/log";
import type { CellAnswer, CellRequest } from "./cell/cell-requests.ts";
import { CoreStart } from "./core-start.ts";
import { type DataDirectory, holdDataDirectory, metadataDirectory } from "./data-directory.ts";
import type { ServiceEngineName } from "./engines/engine-names.ts";
import { homePrefix, ServiceEngines } from "./engines/service-engines.ts";
import { switchEngine } from "./engines/switch-engine.ts";
import type { CoreStatus, NodeCore } from "./node-core.ts";
import { CryptoRandom } from "./ports/crypto-random.ts";
import { chainOf, presentEngine, shardStatus } from "./shard-status.ts";
import type { CoreOptions } from "./single-core.ts";

export interface ServiceCoreOptions extends CoreOptions {
  /** Where the node is at home. */
  readonly engine: ServiceEngineName;
}

/** Resolves when the node can be asked for its status; it goes on to `serving` by itself. */
export async function openServiceCore(options: ServiceCoreOptions): Promise<NodeCore> {
  const core = new ServiceCore(options);
  await core.open();
  return core;
}

class ServiceCore implements NodeCore {
  dataDirectory = "";
  readonly #options: ServiceCoreOptions;
  readonly #start: CoreStart;
  #services: ServiceEngines | undefined;
  #metadata: MetadataStore | undefined;
  #node: FrontNode | undefined;

  constructor(options: ServiceCoreOptions) {
    this.#options = options;
    this.#start = new CoreStart(this.#where);
  }

  get door(): ShardDoor {
    return this.#start.door;
  }

  get serving(): Promise<void> {
    return this.#start.serving;
  }

  async open(): Promise<void> {
    const { configuration, ports, log, onFatal, closers, engine } = this.#options;
    // First: LevelDB's lock keeps a second process away from everything else in the directory.
    const data = await holdDataDirectory(configuration.dataDirectory, {
      // The log and its snapshots are in the service; the store is a copy.
      isReplaceable: (directory) => isFrontsDirectory(ports.openDisk(directory)),
      onSetAside: (setAside, error) =>
        log.warn({ error: error.message, setAside }, "the state store is damaged; it is made anew from the service"),
    });
    this.dataDirectory = data.path;
    closers.add("the data directory", () => data.release());
    closers.add("the node", () => this.#close());
    const disk = ports.openDisk(data.path);
    await disk.makeDirectory(metadataDirectory);
    // The names of all directories made so far (the store's too) are durable before anything in them counts.
    await disk.syncDirectory(".");
    const metadata = await fileMetadataStore(disk, metadataDirectory, onFatal);
    this.#metadata = metadata;
    await requireFront(metadata);
    await requireHome(metadata, data.store, { engine, prefix: homePrefix(configuration.service) });
    // What it rejects with is told by `serving`; later failures the node reports as fatal by itself.
    this.#run(data, metadata).catch((error: unknown) => this.#start.fail(error));
  }

  get isServing(): boolean {
    return this.#node?.isServing ?? false;
  }

  announce(): void {
    // There are no other nodes that could be told.
  }

  status(): CoreStatus {
    const { shard, log } = this.#node ?? {};
    const isOpen = shard !== undefined && log !== undefined;
    return {
      node: shard?.status.identity?.node ?? 0,
      incarnation: shard?.status.identity?.incarnation ?? 0,
      overloaded: this.isServing && this.door.overloaded,
      engine: isOpen ? presentEngine(log) : "none",
      chain: isOpen ? chainOf(log) : [],
      shards: isOpen ? [shardStatus({ machine: shard.machine, log, ...shard.parts })] : [],
      cell: null,
      waitingFor: this.isServing ? null : (this.#start.waitingFor ?? "its state"),
    };
  }

  async operate(request: CellRequest): Promise<CellAnswer> {
    const { log, shard } = this.#node ?? {};
    if (log === undefined || shard === undefined || !this.isServing) {
      throw this.#start.refusal();
    }
    if (request.type !== "switchEngine") {
      const what = "the nodes in front of a service are no cell: start and stop them as you like";
      throw new QuipuError("INVALID_ARGUMENT", what);
    }
    if (request.engine === "local" || request.engine === "raft" || request.engine === "multi-paxos") {
      const what = `the nodes in front of ${this.#options.engine} share its log, and none keeps one of its own`;
      const how = "they can go on with etcd or zookeeper; for raft, multi-paxos or local start a cell (--cell-peers)";
      throw new QuipuError("INVALID_ARGUMENT", `${what}: ${how}`);
    }
    this.#options.log.info({ request }, "an operator asks");
    return await switchEngine({ log, door: this.door, clock: this.#options.ports.clock }, request);
  }

  async #run({ store }: DataDirectory, metadata: MetadataStore): Promise<void> {
    const { configuration, ports, log, onFatal, engine } = this.#options;
    const { clock } = ports;
    const { service: settings, checkpointSeconds } = configuration;
    const random = new CryptoRandom();
    const services = new ServiceEngines({ settings, engine, clock, random, log });
    this.#services = services;
    const node = new FrontNode({
      home: { engine, prefix: homePrefix(settings) },
      service: await services.service(engine),
      engines: services.engines,
      metadata,
      store,
      clock,
      random,
      settings: { checkpoints: { intervalMs: checkpointSeconds * 1000 } },
      onWaiting: (cause) => this.#wait(cause),
      onPublishFailure: (error) => {
        // Of a service that is away every request tells.
        if (error.code === "NOQUORUM" || error.code === "LOG_APPEND_UNKNOWN") return;
        log.warn({ error: error.message }, "no snapshot could be published; until then the log is not trimmed");
      },
      onFatal,
    });
    this.#node = node;
    await node.start();
    this.#start.serve(node.shard?.door);
  }

  get #where(): string {
    const { engine, configuration } = this.#options;
    return `${engine} at ${configuration.service.endpoints?.join(",") ?? "?"}`;
  }

  #wait(cause: string | undefined): void {
    const waitingFor = cause === undefined ? undefined : `${this.#where}: ${cause}`;
    if (waitingFor === this.#start.waitingFor) return;
    this.#start.waitingFor = waitingFor;
    if (waitingFor !== undefined) this.#options.log.warn({}, `waiting for ${waitingFor}`);
  }

  async #close(): Promise<void> {
    this.#start.fail(new QuipuError("SHUTTING_DOWN", "the node is stopping"));
    await this.#node?.stop();
    await this.#services?.close();
    await this.#metadata?.close?.();
  }
}

async function isFrontsDirectory(disk: Disk): Promise<boolean> {
  if (!(await disk.exists(metadataDirectory))) return false;
  const metadata = await fileMetadataStore(disk, metadataDirectory);
  try {
    return (await loadFront(metadata)) !== undefined;
  } finally {
    await metadata.close?.();
  }
}
