/**
 * The core of a node of a cell: what `CellNode` needs of the world, and what operators want to know of it.
 *
 *   data directory → peer transport → prepareCell (found, join, adopt, or what the disk says) → CellNode → door
 *                        └→ control channel: founding, reports, requests to whoever leads
 */
import {
  CellNode,
  type CellMembership,
  type DivergenceReport,
  type FoundingLink,
  FoundingResponder,
  mayRefetch,
  prepareCell,
  ShardDoor,
} from "@quipu/cluster";
import { membersOf, nodeOf } from "@quipu/consensus";
import { type Disk, QuipuError } from "@quipu/core";
import { fileMetadataStore } from "@quipu/log";
import { isLoopback } from "../config/loopback.ts";
import { CoreStart } from "../core-start.ts";
import { holdDataDirectory, metadataDirectory } from "../data-directory.ts";
import { ServiceEngines } from "../engines/service-engines.ts";
import type { CoreStatus, NodeCore } from "../node-core.ts";
import type { NodeEndpoints } from "../node-status.ts";
import { PeerTransport } from "../peers/peer-transport.ts";
import { CryptoRandom } from "../ports/crypto-random.ts";
import type { DoorAddress } from "../resp/connection-face.ts";
import { chainOf, presentEngine, shardStatus } from "../shard-status.ts";
import type { CoreOptions } from "../single-core.ts";
import { version } from "../version.ts";
import { CellOperations } from "./cell-operations.ts";
import { type CellAnswer, cellAnswerSchema, type CellRequest, cellRequestSchema } from "./cell-requests.ts";
import type { CellSettings } from "./cell-settings.ts";
import { cellStatus } from "./cell-status.ts";
import { ControlChannel } from "./control-channel.ts";
import type { NodeReport } from "./node-report.ts";
import { rosterOf } from "./roster.ts";
import { RosterKeeper } from "./roster-keeper.ts";

export interface CellCoreOptions extends CoreOptions {
  readonly cell: CellSettings;
}

/** Reports go out so often; a status page is as fresh as that. */
const reportMs = 500;
/** Longer than an election takes. */
const leaderlessMsMax = 3_000;

export async function openCellCore(options: CellCoreOptions): Promise<NodeCore> {
  const core = new CellCore(options);
  await core.open();
  return core;
}

class CellCore implements NodeCore {
  dataDirectory = "";
  readonly #options: CellCoreOptions;
  readonly #control: ControlChannel;
  readonly #reports: Map<string, NodeReport> = new Map();
  readonly #start: CoreStart;
  #transport: PeerTransport | undefined;
  #membership: CellMembership | undefined;
  #node: CellNode | undefined;
  #services: ServiceEngines | undefined;
  #endpoints: NodeEndpoints | undefined;
  #isReady = false;
  readonly #roster: RosterKeeper;
  /** When a leader was last known, monotonic ms. */
  #leaderKnownMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: CellCoreOptions) {
    this.#options = options;
    this.#start = new CoreStart("the start");
    this.#control = new ControlChannel(options.ports.clock);
    this.#roster = new RosterKeeper({
      cell: options.cell,
      clock: options.ports.clock,
      log: options.log,
      onWaiting: (text) => this.#wait(text),
    });
  }

  get door(): ShardDoor {
    return this.#start.door;
  }

  get serving(): Promise<void> {
    return this.#start.serving;
  }

  /** Resolves when the node can be asked for its status; it goes on to `serving` by itself. */
  async open(): Promise<void> {
    const { configuration, cell, ports, log, closers } = this.#options;
    // First: LevelDB's lock keeps a second process away from everything else in the directory.
    const data = await holdDataDirectory(configuration.dataDirectory, {
      isReplaceable: (directory) => isMembersDirectory(ports.openDisk(directory)),
      onSetAside: (setAside, error) =>
        log.warn({ error: error.message, setAside }, "the state store is damaged; it is made anew from log and peers"),
    });
    this.dataDirectory = data.path;
    closers.add("the data directory", () => data.release());
    const transport = await PeerTransport.start({
      self: { name: cell.name, cell: 0, node: 0 },
      secret: cell.secret,
      listen: cell.listen,
      peers: othersThan(cell.name, cell.peers),
      ...(cell.tls === undefined ? {} : { tls: cell.tls }),
      clock: ports.clock,
      random: new CryptoRandom(),
      log,
      onControl: (from, message) => this.#control.receive(from, message),
      onReachable: (name, isReachable) => this.#onReachable(name, isReachable),
      admit: (hello) => this.#roster.refusalOf(hello),
    });
    this.#transport = transport;
    this.#control.attach(transport);
    this.#control.onReport = (from, report) => void this.#reports.set(from, report);
    this.#control.onRequest = (_from, request) => this.#operateHere(cellRequestSchema.parse(request));
    closers.add("the links to other nodes", () => transport.close());
    closers.add("the node", () => this.#close());
    this.#run(data.path, data.store).catch((error: unknown) => {
      this.#start.fail(error);
      // After it served, a failure is the node's own affair, which it reports as fatal.
    });
    this.#report();
  }

  /** A node without a leader for a while, or in no configuration, takes nothing: balancers should go elsewhere. */
  get isServing(): boolean {
    const view = this.#node?.view;
    if (view === undefined || this.#node?.isServing !== true) return false;
    const nowMs = this.#options.ports.clock.monotonicMs();
    // A service that keeps the log shows its absence in what it answers.
    if (view.leader !== undefined || this.#node.logMembers === undefined) this.#leaderKnownMs = nowMs;
    return nowMs - this.#leaderKnownMs < leaderlessMsMax && membersOf(view.configuration).includes(view.member);
  }

  /** For people; undefined: it serves. */
  get #obstacle(): string | undefined {
    if (this.isServing) return undefined;
    const view = this.#node?.view;
    if (view === undefined) return this.#start.waitingFor;
    const { name } = this.#options.cell;
    const others = [...this.#reports.values()].filter((report) => report.leader !== null && report.members.length > 0);
    const believesToBeIn = membersOf(view.configuration).includes(view.member);
    if (others.length > 0 && believesToBeIn && !others.some((report) => report.members.includes(view.member))) {
      return `nothing any more: ${name} was replaced or removed since. To join again start it with an empty data directory`;
    }
    if (this.#node?.isServing !== true) return this.#start.waitingFor;
    return believesToBeIn
      ? "a leader: no majority can be reached"
      : `nothing any more: ${name} was taken out of the cell`;
  }

  announce(endpoints: NodeEndpoints, isReady: boolean): void {
    this.#endpoints = endpoints;
    this.#isReady = isReady;
    this.#sendReports();
  }

  status(): CoreStatus {
    const node = this.#node;
    const view = node?.view;
    const transport = this.#transport;
    if (transport === undefined) throw new QuipuError("OVERLOADED", "the node is starting");
    const shard = this.#shardIfOpen();
    return {
      node: this.#membership?.node ?? 0,
      incarnation: shard?.status.identity?.incarnation ?? 0,
      overloaded: node !== undefined && this.isServing && this.door.overloaded,
      engine: node === undefined || shard === undefined ? "none" : presentEngine(node.log),
      chain: node === undefined || shard === undefined ? [] : chainOf(node.log),
      shards:
        node === undefined || shard === undefined
          ? []
          : [shardStatus({ machine: shard.machine, log: node.log, ...shard.parts })],
      cell: cellStatus({
        name: this.#options.cell.name,
        cell: this.#membership?.cell ?? 0,
        listed: this.#options.cell.peers,
        transport,
        node: shard === undefined ? undefined : node,
        view,
        own: this.#ownReport(),
        reports: this.#reports,
        waitingFor: this.#obstacle,
      }),
    };
  }

  doors(): readonly DoorAddress[] {
    const { name } = this.#options.cell;
    const own =
      this.#endpoints === undefined || !this.isServing ? [] : [{ name, ...this.#reachableAt(this.#endpoints.resp) }];
    const others = (this.#transport?.peers() ?? []).flatMap((peer) => {
      const report = this.#reports.get(peer.name);
      if (report?.ready !== true || !peer.reachable) return [];
      // Doors that only another machine itself reaches would be taken for doors of the client's own machine.
      const isElsewhere = isLoopback(report.resp.host) && !isLoopback(peer.address.host);
      return isElsewhere ? [] : [{ name: peer.name, ...report.resp }];
    });
    return [...own, ...others];
  }

  async operate(request: CellRequest): Promise<CellAnswer> {
    const view = this.#node?.view;
    if (view?.cellLeader === undefined) throw new QuipuError("OVERLOADED", "the cell has no leader at present; retry");
    if (view.cellLeader === view.member) return this.#operateHere(request);
    const number = nodeOf(view.cellLeader);
    const leader = this.#roster.roster?.nodes.find(({ node }) => node === number);
    if (leader === undefined) throw new QuipuError("OVERLOADED", "the leader is not in the roster yet; retry");
    return cellAnswerSchema.parse(await this.#control.request(leader.name, request));
  }

  #operateHere(request: CellRequest): Promise<CellAnswer> {
    if (this.#node === undefined) return Promise.reject(new QuipuError("OVERLOADED", "the node is starting"));
    this.#options.log.info({ request }, "an operator asks");
    return new CellOperations(this.#node, this.#options.ports.clock).run(request);
  }

  // From an open transport to a node that serves

  async #run(directory: string, store: CellNodeStore): Promise<void> {
    const { cell, ports, log, configuration, onFatal } = this.#options;
    const disk = ports.openDisk(directory);
    const membership = await prepareCell({
      disk,
      store,
      clock: ports.clock,
      random: new CryptoRandom(),
      link: this.#foundingLink(),
      onFatal,
      onWaiting: (text) => this.#wait(text),
      signal: this.#stopSignal,
    });
    if (this.#isClosed) return;
    const ownName = membership.foundedWith?.[membership.node - 1];
    if (ownName !== undefined && ownName !== cell.name) {
      const text = `the data directory is that of ${ownName}, not of ${cell.name}`;
      throw new QuipuError("INVALID_CONFIGURATION", `${text}: start it with --name ${ownName}, or use another --data`);
    }
    this.#membership = membership;
    this.#roster.foundedWith = membership.foundedWith;
    // At once, before a quorum is waited for: the others of a founding may be waiting for this very word.
    this.#answerFounding(membership);
    const transport = this.#transport as PeerTransport;
    transport.setSelf({ name: cell.name, cell: membership.cell, node: membership.node });
    log.info({ cell: membership.cell.toString(16), node: membership.node, origin: membership.origin }, "in the cell");
    this.#wait("a majority of the cell");
    const random = new CryptoRandom();
    const { service, engine } = configuration;
    const services = new ServiceEngines({ settings: service, engine, clock: ports.clock, random, log });
    this.#services = services;
    const node = new CellNode({
      disk,
      store,
      network: transport.network,
      clock: ports.clock,
      random,
      cell: membership.cell,
      node: membership.node,
      bootstrap: membership.bootstrap,
      engines: services.engines,
      ...(configuration.engine === undefined ? {} : { initialEngine: configuration.engine }),
      settings: {
        checkpoints: { intervalMs: configuration.checkpointSeconds * 1000 },
        raft: { admits: (number) => this.#isInRoster(number) },
      },
      onFatal,
      onDamage: (damage) => this.#tellDamage(damage),
      onDivergence: ({ whose, ...report }) =>
        log.error(report, `replicas differ in their state: ${divergenceText[whose]}`),
    });
    this.#node = node;
    await node.start();
    this.#start.serve(node.door);
  }

  readonly #stopSignal: { readonly isStopped: boolean } = Object.defineProperty({ isStopped: false }, "isStopped", {
    get: () => this.#isClosed,
  });

  #foundingLink(): FoundingLink {
    return {
      name: this.#options.cell.name,
      names: [...this.#options.cell.peers.keys()].sort(),
      send: (to, message) => this.#control.sendFounding(to, message),
      onMessage: (handler) => {
        this.#control.onFounding = handler;
      },
    };
  }

  /** Nodes that belong to no cell yet ask whether there is one. */
  #answerFounding({ cell }: CellMembership): void {
    // It lives on as the handler of founding messages.
    void new FoundingResponder({
      link: this.#foundingLink(),
      cell,
      numberOf: (name) => this.#roster.numberOf(name),
    });
  }

  #wait(text: string): void {
    if (text === this.#start.waitingFor) return;
    this.#start.waitingFor = text;
    this.#options.log.info({}, `waiting for ${text}`);
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    this.#control.close();
    this.#start.fail(new QuipuError("SHUTTING_DOWN", "the node is stopping"));
    await this.#node?.stop();
    await this.#services?.close();
  }

  // What the nodes tell each other

  /** Some times a second: tells the others how this node is, and takes over what the roster says. */
  #report(): void {
    if (this.#isClosed) return;
    this.#options.ports.clock.setTimer(reportMs, () => this.#report());
    this.#sendReports();
    if (this.#node !== undefined && this.#transport !== undefined && this.#shardIfOpen() !== undefined) {
      this.#roster.follow(this.#node, this.#transport);
    }
  }

  #sendReports(): void {
    const own = this.#ownReport();
    if (own === undefined) return;
    for (const { name, reachable } of this.#transport?.peers() ?? []) {
      if (reachable) this.#control.sendReport(name, own);
    }
  }

  #onReachable(name: string, isReachable: boolean): void {
    if (!isReachable) return;
    const own = this.#ownReport();
    if (own !== undefined) this.#control.sendReport(name, own);
  }

  #ownReport(): NodeReport | undefined {
    const shard = this.#shardIfOpen();
    const node = this.#node;
    const view = node?.view;
    if (shard === undefined || view === undefined || node === undefined || this.#endpoints === undefined)
      return undefined;
    return {
      version,
      member: view.member,
      incarnation: shard.status.identity?.incarnation ?? 0,
      ready: this.#isReady && this.isServing,
      phase: shard.status.phase,
      role: view.role,
      term: view.term,
      leader: view.leader ?? null,
      members: [...membersOf(view.configuration)],
      appliedPosition: shard.machine.appliedLsn,
      committedPosition: view.committedPosition,
      resp: this.#reachableAt(this.#endpoints.resp),
      http: this.#reachableAt(this.#endpoints.http),
    };
  }

  /** Doors on every address of the machine are told by the host that the other nodes know. */
  #reachableAt({ host, port }: { readonly host: string; readonly port: number }): { host: string; port: number } {
    const isEvery = host === "0.0.0.0" || host === "::";
    const own = this.#options.cell.peers.get(this.#options.cell.name);
    return { host: isEvery && own !== undefined ? own.host : host, port };
  }

  /** Before a quorum is waited for: who waits wants to know. */
  #tellDamage(damage: string): void {
    this.#options.log.warn({ damage }, "the log of this node was damaged and put aside: it comes back as a new member");
    this.#wait("its cell to let it in anew: its log was damaged and put aside (wal.damaged-*)");
  }

  /** As of now, not as of the last look: a node that was taken out a moment ago is not let in again. */
  #isInRoster(number: number): boolean {
    const machine = this.#shardIfOpen()?.machine;
    const roster = machine === undefined ? undefined : rosterOf(machine);
    return roster?.nodes.some(({ node }) => node === number) ?? false;
  }

  /** Before the log is open there is none; asking would break an invariant. */
  #shardIfOpen(): CellNode["shard"] | undefined {
    return this.#node?.openShard;
  }
}

/** The state of a member is also in the log and with its peers; that of anybody else, or of an only voter, nowhere else. */
async function isMembersDirectory(disk: Disk): Promise<boolean> {
  if (!(await disk.exists(metadataDirectory))) return false;
  const metadata = await fileMetadataStore(disk, metadataDirectory);
  try {
    return await mayRefetch(metadata);
  } finally {
    await metadata.close?.();
  }
}

const divergenceText = {
  ours: "a majority has another one than this node, which fetches theirs",
  "another's": "a majority has that of this node",
  undecided: "no majority has spoken yet",
} as const satisfies Record<DivergenceReport["whose"], string>;

type CellNodeStore = ConstructorParameters<typeof CellNode>[0]["store"];

function othersThan<Value>(name: string, all: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> {
  return new Map([...all].filter(([other]) => other !== name));
}
