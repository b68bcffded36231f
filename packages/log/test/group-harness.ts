/**
 * A cell of consensus groups in one process: virtual time, a network that delays, loses, repeats and reorders, a simulated
 * disk for each member. One seed, one course of events.
 */
import {
  type LogIndex,
  type MemberId,
  memberOf,
  type MultiPaxosMutation,
  type RaftMutation,
  type RaftSettings,
} from "@quipu/consensus";
import { type Clock, invariant, lsn, type Network, SeededRandom } from "@quipu/core";
import type { GroupEngine } from "@quipu/protocol";
import { SimulatedDisk } from "@quipu/simulator";
import {
  type LogDelivery,
  type Loglet,
  type LogletEngine,
  encodeGroupParameters,
  groupEngines,
  type GroupEngines,
  openPeerHub,
  type PeerHub,
  type GroupMutation,
  type GroupSettings,
  type ConsensusGroup,
  WriteAheadLog,
} from "../src/mod.ts";

export interface CellOptions {
  readonly seed?: number;
  /** Of 100 frames. */
  readonly lossPercent?: number;
  readonly repeatPercent?: number;
  readonly delayMsMax?: number;
  /** Of 100 frames, those that arrive when nobody expects them any more: up to 4 s late. */
  readonly latePercent?: number;
  readonly settings?: Partial<GroupSettings>;
  readonly core?: Partial<RaftSettings>;
  readonly mutation?: GroupMutation;
  readonly coreMutation?: RaftMutation;
  readonly multiPaxosMutation?: MultiPaxosMutation;
  /** Of the first group; Raft, if absent. */
  readonly engine?: GroupEngine;
  /** Founders, by node number. */
  readonly founders?: readonly number[];
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly life: { alive: boolean } | undefined;
  action: (() => void) | undefined;
}

export interface CellNode {
  readonly member: MemberId;
  readonly life: { alive: boolean };
  readonly hub: PeerHub;
  readonly wal: WriteAheadLog;
  readonly engines: GroupEngines;
  readonly log: Loglet;
  readonly fatal: unknown[];
  disk: SimulatedDisk;
}

/** What both cores are held to. */
export const bothEngines: readonly GroupEngine[] = ["raft", "multi-paxos"];

export function engineOf(engines: GroupEngines, engine: GroupEngine): LogletEngine {
  return engine === "raft" ? engines.raft : engines.multiPaxos;
}

const limits = { segmentBytes: 512 * 1024, frameBytesMax: 192 * 1024, hardStateBytesMax: 1024, groupsMax: 16 };

export class TestCell {
  readonly random: SeededRandom;
  readonly nodes: Map<MemberId, CellNode> = new Map();
  readonly founders: readonly MemberId[];
  readonly engine: GroupEngine;
  readonly #options: CellOptions;
  readonly #disks: Map<MemberId, SimulatedDisk> = new Map();
  readonly #handlers: Map<number, (from: number, frame: Uint8Array) => void> = new Map();
  /** Pairs that do not hear each other, as "from>to". */
  readonly #cuts: Set<string> = new Set();
  #events: Event[] = [];
  #orders = 0;
  nowMs = 0;
  /** Numbers of groups that were given out. */
  planned = 1;
  /** Founding voters of the groups that are prepared; those of the first, if absent. */
  plannedMembers: readonly MemberId[] | undefined;
  /** Numbers that the owner of the engines has seen pass. */
  readonly passed: Set<number> = new Set();
  lossPercent: number;
  #isPumping = false;

  constructor(options: CellOptions = {}) {
    this.#options = options;
    this.engine = options.engine ?? "raft";
    this.random = new SeededRandom(options.seed ?? 1);
    this.lossPercent = options.lossPercent ?? 0;
    this.founders = (options.founders ?? [1, 2, 3]).map((node) => memberOf(node, 0));
  }

  static async open(options: CellOptions = {}): Promise<TestCell> {
    const cell = new TestCell(options);
    for (const member of cell.founders) await cell.start(member);
    return cell;
  }

  node(member: MemberId): CellNode {
    const node = this.nodes.get(member);
    invariant(node !== undefined, `member ${member} does not run`);
    return node;
  }

  group(member: MemberId): ConsensusGroup {
    const group = this.node(member).engines.groups()[0];
    invariant(group !== undefined, `member ${member} has no group: ${this.node(member).fatal.map(String).join()}`);
    return group;
  }

  /** Starts a member on what its disk holds; a new one makes its group. */
  async start(member: MemberId, bootstrap: "found" | "join" = "found"): Promise<CellNode> {
    const life = { alive: true };
    const disk =
      this.#disks.get(member) ??
      new SimulatedDisk({
        random: new SeededRandom(this.random.uint32()),
        complete: (action) => this.schedule(this.random.below(3), undefined, action),
      });
    this.#disks.set(member, disk);
    const fatal: unknown[] = [];
    const clock = this.#clock(life);
    const started: { engines?: GroupEngines } = {};
    const opening = WriteAheadLog.open({
      disk,
      directory: "wal",
      clock,
      random: new SeededRandom(this.random.uint32()),
      limits,
      onFatal: (error) => fatal.push(error),
      onSegmentBegun: () => started.engines?.rewritePinned(),
    });
    const wal = await this.until(opening);
    const hub = openPeerHub({ network: this.#network(life), cell: 7, member });
    const { settings, core, mutation, coreMutation, multiPaxosMutation } = this.#options;
    const engines = groupEngines({
      wal,
      hub,
      clock,
      random: new SeededRandom(this.random.uint32()),
      plan: () => Promise.resolve({ group: ++this.planned, members: this.plannedMembers ?? this.founders }),
      mayMake: (group) => !this.passed.has(group),
      settings: {
        persistBytesMax: 64 * 1024,
        appendBytesMax: 64 * 1024,
        rewriteBytesMax: 64 * 1024,
        ...settings,
        core: { messageBytesMax: 64 * 1024, ...core },
      },
      onFatal: (error) => fatal.push(error),
      ...(mutation !== undefined && { mutation }),
      ...(coreMutation !== undefined && { coreMutation }),
      ...(multiPaxosMutation !== undefined && { multiPaxosMutation }),
    });
    started.engines = engines;
    const parameters = encodeGroupParameters({ group: 1, members: bootstrap === "found" ? this.founders : [] });
    const log = await this.until(engineOf(engines, this.engine).open(parameters));
    invariant(log !== undefined, `member ${member} keeps no part of the log`);
    const node: CellNode = { member, life, hub, wal, engines, log, fatal, disk };
    this.nodes.set(member, node);
    return node;
  }

  /** Opens, on a member that runs, a group that it keeps a part of. */
  async openGroup(member: MemberId, engine: GroupEngine, parameters: string): Promise<Loglet> {
    const loglet = await this.until(engineOf(this.node(member).engines, engine).open(parameters));
    invariant(loglet !== undefined, `member ${member} keeps no part of ${parameters}`);
    return loglet;
  }

  /** Power off: what was not synced may be lost. */
  crash(member: MemberId): void {
    const node = this.node(member);
    node.life.alive = false;
    this.nodes.delete(member);
    this.#handlers.delete(member);
    this.#disks.set(member, node.disk.crash());
  }

  async restart(member: MemberId): Promise<CellNode> {
    this.crash(member);
    return this.start(member);
  }

  /** Nothing passes between these and the rest. */
  isolate(...members: readonly MemberId[]): void {
    for (const one of members) {
      for (const other of this.#handlers.keys()) {
        if (members.includes(other as MemberId)) continue;
        this.#cuts.add(`${one}>${other}`).add(`${other}>${one}`);
      }
    }
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** The member that leads in the highest term, once a majority follows it. */
  leader(): MemberId | undefined {
    const views = [...this.nodes.values()].flatMap(({ engines }) =>
      engines
        .groups()
        .slice(0, 1)
        .map((group) => group.inspect()),
    );
    const highest = Math.max(0, ...views.map(({ term }) => term));
    const leading = views.find(({ role, term }) => role === "leader" && term === highest);
    if (leading === undefined) return undefined;
    const following = views.filter(({ leader, term }) => leader === leading.member && term === highest).length;
    return following * 2 > leading.configuration.voters.length ? leading.member : undefined;
  }

  async untilLeader(): Promise<MemberId> {
    await this.until(() => this.leader() !== undefined);
    const leader = this.leader();
    invariant(leader !== undefined, "the leader is gone");
    return leader;
  }

  follower(): MemberId {
    const leader = this.leader();
    const follower = [...this.nodes.keys()].find((member) => member !== leader);
    invariant(follower !== undefined, "nobody follows");
    return follower;
  }

  schedule(delayMs: number, life: { alive: boolean } | undefined, action: () => void): () => void {
    const event: Event = { atMs: this.nowMs + delayMs, order: this.#orders++, life, action };
    let at = this.#events.length;
    while (at > 0 && (this.#events[at - 1] as Event).atMs > event.atMs) at--;
    this.#events.splice(at, 0, event);
    return () => {
      event.action = undefined;
    };
  }

  /** Lets time pass until `what` is true, or has settled. */
  async until<Result>(what: (() => boolean) | Promise<Result>, limitMs = 120_000): Promise<Result> {
    let settled = false;
    const note = (): void => {
      settled = true;
    };
    if (typeof what !== "function") what.then(note, note);
    const endMs = this.nowMs + limitMs;
    while (typeof what === "function" ? !what() : !settled) {
      if (this.nowMs > endMs)
        throw new Error(
          `still waiting after ${limitMs} ms: ${typeof what === "function" ? what.toString() : "a promise"}`,
        );
      await this.step();
    }
    return typeof what === "function" ? (undefined as Result) : what;
  }

  async forMs(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    await this.until(() => this.nowMs >= endMs);
  }

  /** One event, and all that follows from it at once. */
  async step(): Promise<void> {
    const event = this.#events.shift();
    if (event !== undefined) {
      this.nowMs = Math.max(this.nowMs, event.atMs);
      if (event.life?.alive !== false) event.action?.();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Time passes by itself from here on, for tests that know of no clock. */
  pump(): void {
    this.#isPumping = true;
    const go = async (): Promise<void> => {
      while (this.#isPumping) await this.step();
    };
    void go();
  }

  stop(): void {
    this.#isPumping = false;
  }

  #clock(life: { alive: boolean }): Clock {
    return {
      monotonicMs: () => this.nowMs,
      wallMs: () => this.nowMs,
      setTimer: (delayMs, callback) => this.schedule(delayMs, life, callback),
      endOfTurn: (callback) => void this.schedule(0, life, callback),
    };
  }

  #network(life: { alive: boolean }): Network {
    let self = 0;
    return {
      listen: (member, onFrame) => {
        self = member;
        this.#handlers.set(member, onFrame);
      },
      send: (to, frame) => {
        if (!life.alive) return;
        const copies = this.random.chance(this.#options.repeatPercent ?? 0, 100) ? 2 : 1;
        for (let copy = 0; copy < copies; copy++) this.#deliver(self, to, frame.slice());
      },
      peers: () => [...this.#handlers.keys()].filter((member) => member !== self).sort((left, right) => left - right),
    };
  }

  #deliver(from: number, to: number, frame: Uint8Array): void {
    if (this.random.chance(this.lossPercent, 100)) return;
    const { delayMsMax = 3, latePercent = 0 } = this.#options;
    const isLate = latePercent > 0 && this.random.chance(latePercent, 100);
    this.schedule(1 + this.random.below(isLate ? 4000 : delayMsMax), undefined, () => {
      if (!this.#cuts.has(`${from}>${to}`)) this.#handlers.get(to)?.(from, frame);
    });
  }
}

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What one reader of a log was given, by position. */
export class Reading {
  readonly texts: Map<number, string> = new Map();
  readonly gaps: number[] = [];

  constructor(log: Loglet, from = 1) {
    log.read(lsn(from), (delivery: LogDelivery) => {
      if (delivery.type === "gap") this.gaps.push(delivery.trimmedUpTo);
      else
        delivery.records.forEach((record, i) => this.texts.set(delivery.first + i, new TextDecoder().decode(record)));
    });
  }

  get all(): readonly string[] {
    return [...this.texts.values()];
  }
}

export const at = (index: number): LogIndex => index as LogIndex;
