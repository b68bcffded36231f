/**
 * One run of a cell: a seed, a swarm configuration, three or five whole nodes under load and faults, then healing. In
 * the healed part everything asked must be answered and all nodes come to one state; then all stop and start once more.
 */
import { type MemberId, nodeOf } from "@quipu/consensus";
import type { CounterMachine } from "@quipu/counters";
import { type Random, SeededRandom } from "@quipu/core";
import { Books } from "../books.ts";
import { check, SimulationFailure } from "../failure.ts";
import { History } from "../history.ts";
import { Ledger } from "../ledger.ts";
import { Scheduler } from "../scheduler.ts";
import { Trace } from "../trace.ts";
import type { BookOptions, ConsensusBook, ObservedGroup } from "./book.ts";
import { CellLoad } from "./cell-load.ts";
import { CellCoverage } from "./cell-state.ts";
import { ChainBook } from "./chain-book.ts";
import { Chaos } from "./chaos.ts";
import { GroupBook } from "./group-book.ts";
import { describe } from "./error-text.ts";
import { CellHost } from "./host.ts";
import { isSnapshotChunk } from "./frames.ts";
import { makeCellNode } from "./make-cell-node.ts";
import { metadataGroup } from "./metadata-book.ts";
import type { CellMutationSet } from "./mutation-set.ts";
import { SimulatedNetwork } from "./network.ts";
import type { MakeNode } from "./node-under-test.ts";
import { Observations } from "./observations.ts";
import { PaxosBook } from "./paxos-book.ts";
import { Promises } from "./promises.ts";
import { CellService } from "./service.ts";
import { Standing } from "./standing.ts";
import { type CellSwarm, drawCellSwarm } from "./swarm.ts";

export interface CellSimulationOptions {
  readonly seed: number;
  /** By default the node of @quipu/cluster. */
  readonly makeNode?: MakeNode;
  readonly trace?: Trace;
  readonly mutations?: CellMutationSet;
  readonly coverage?: CellCoverage;
  /** Settings of the swarm to fix instead of drawing them. */
  readonly swarm?: Partial<CellSwarm>;
}

export interface CellResult {
  readonly seed: number;
  readonly failure: SimulationFailure | undefined;
  readonly traceHash: string;
  readonly virtualMs: number;
  readonly events: number;
  readonly lives: number;
  readonly records: number;
  readonly frames: number;
  readonly observations: Observations;
}

/** Longest that the healed part may take before something counts as stuck (S8). */
const healingMsMax = 60_000;
/** A run is over at the latest after this many events: a loop that only waits is not progress. */
const eventsMax = 3_000_000;
/** Nothing may change any more in this time. */
const quietMs = 3_000;
const lookEveryUs = 50_000;
/** Any number. */
const serviceSeed = 0x5e41;

type Phase = "chaos" | "resolving" | "quiet" | "stopping" | "restarting" | "done";

export class CellSimulation {
  readonly #seed: number;
  readonly #trace: Trace;
  readonly #coverage: CellCoverage;
  readonly #swarm: CellSwarm;
  readonly #random: Random;
  readonly #scheduler: Scheduler;
  readonly #history: History;
  readonly #ledger = new Ledger();
  readonly #books: Books;
  readonly #groupBooks = new Map<number, ConsensusBook>();
  readonly #chain: ChainBook;
  readonly #promises: Promises;
  readonly #network: SimulatedNetwork;
  readonly #service: CellService | undefined;
  readonly #hosts: readonly CellHost[];
  readonly #load: CellLoad;
  readonly #chaos: Chaos;
  readonly #standing: Standing;
  readonly #observations: Observations;
  #phase: Phase = "chaos";
  #healingSinceUs = 0;
  #failure: SimulationFailure | undefined;

  constructor(options: CellSimulationOptions) {
    this.#seed = options.seed;
    this.#trace = options.trace ?? new Trace();
    this.#coverage = options.coverage ?? new CellCoverage();
    const random = new SeededRandom(options.seed);
    const split = (): Random => new SeededRandom(random.uint32());
    this.#swarm = { ...drawCellSwarm(split()), ...options.swarm };
    this.#random = split();
    this.#scheduler = new Scheduler(split());
    const fastest = 1 + this.#swarm.driftPerThousand / 1000;
    this.#history = new History(() => Math.max(...this.#hosts.map(({ wall }) => wall.latestStampMs(fastest))), true);
    this.#books = new Books(this.#history, this.#ledger, options.mutations?.cell === "state-drifts-on-one-node");
    this.#observations = new Observations(this.#history, () => this.#scheduler.nowUs, options.seed);
    this.#chain = new ChainBook({
      bookOf: (group) => this.#groupBooks.get(group),
      stateUpTo: (member) => this.#hostOf(member)?.stores.stateUpTo(member) ?? 0,
    });
    this.#promises = new Promises((group) => this.#groupBooks.get(group));
    this.#network = this.#makeNetwork(split());
    this.#service = this.#makeService();
    this.#hosts = this.#makeHosts(options, split);
    this.#standing = new Standing(this.#hosts, this.#groupBooks, this.#chain);
    this.#load = this.#makeLoad(split);
    this.#chaos = new Chaos({
      random: split(),
      swarm: this.#swarm,
      scheduler: this.#scheduler,
      network: this.#network,
      hosts: this.#hosts,
      bookOf: (group) => this.#groupBooks.get(group),
      openGroups: () => this.#chain.openGroups,
      service: this.#service,
      mayDamage: (host) => this.#standing.mayDamage(host),
      isOn: () => this.#phase === "chaos",
    });
  }

  /** Runs to the end. Never rejects: what goes wrong is in the result. */
  async run(): Promise<CellResult> {
    this.#trace.add(`seed ${this.#seed} ${JSON.stringify(this.#swarm)}`);
    try {
      await this.#run();
      if (this.#failure === undefined) this.#observations.check();
    } catch (error) {
      this.#fail(error);
    }
    for (const host of this.#hosts) host.life.alive = false;
    if (this.#failure !== undefined) this.#trace.add(`FAILED ${this.#failure.message}`);
    return {
      seed: this.#seed,
      failure: this.#failure,
      traceHash: this.#trace.hash(),
      virtualMs: this.#scheduler.nowUs / 1000,
      events: this.#scheduler.events,
      lives: this.#hosts.reduce((sum, host) => sum + host.lives, 0),
      records: this.#history.lastLsn,
      frames: this.#network.frames,
      observations: this.#observations,
    };
  }

  async #run(): Promise<void> {
    for (const host of this.#hosts) this.#scheduleStart(host, this.#random.below(300_000));
    this.#load.start();
    this.#chaos.start();
    while (this.#phase !== "done" && this.#failure === undefined) {
      check(this.#scheduler.events < eventsMax, "not-live", () => `${eventsMax} events and no end`);
      check(this.#scheduler.step(), "not-live", () => `nothing more happens in phase ${this.#phase}`);
      await allMicrotasks();
      if (this.#failure === undefined) this.#afterEvent();
    }
  }

  #afterEvent(): void {
    check(!this.#load.hasUnflushed, "reply-order", () => "replies were delivered and not flushed");
    for (const host of this.#hosts) host.afterEvent();
    const { crashEveryEvents } = this.#swarm;
    if (this.#phase === "chaos") {
      if (crashEveryEvents > 0 && this.#random.below(crashEveryEvents) === 0) {
        const host = this.#hosts[this.#random.below(this.#hosts.length)] as CellHost;
        host.met("crash at an event");
        host.crash("at an event");
      }
      if (this.#load.isOver || this.#scheduler.nowUs > this.#swarm.chaosMsMax * 1000) this.#heal();
    } else if (this.#scheduler.nowUs - this.#healingSinceUs > healingMsMax * 1000) this.#stuck();
  }

  #note(text: string): void {
    this.#trace.add(`${this.#scheduler.nowUs} ${text}`);
  }

  /** Checks run inside the code under test: they are recorded, never thrown through it. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??=
      error instanceof SimulationFailure ? error : new SimulationFailure("threw", describe(error), error);
  }

  #makeBook(group: number, engine: ObservedGroup["engine"]): ConsensusBook {
    const options: BookOptions =
      group === metadataGroup
        ? {
            group,
            storedUpTo: (member) => this.#hostOf(member)?.stores.metadataUpTo(member) ?? 0,
            onCommitted: (entry) => this.#chain.metadata.committed(entry),
          }
        : {
            group,
            storedUpTo: (member) => this.#chain.toGroup(group, this.#hostOf(member)?.stores.stateUpTo(member) ?? 0),
          };
    const book = engine === "raft" ? new GroupBook(options) : new PaxosBook(options);
    this.#groupBooks.set(group, book);
    return book;
  }

  #hostOf(member: MemberId): CellHost | undefined {
    return this.#hosts[nodeOf(member) - 1];
  }

  // The parts

  #makeNetwork(random: Random): SimulatedNetwork {
    return new SimulatedNetwork({
      scheduler: this.#scheduler,
      random,
      rates: this.#swarm,
      faulty: () => this.#phase === "chaos",
      met: (fault, node) => this.#hosts[node - 1]?.metOften(fault),
      onSend: (node, from, to, frame) => {
        this.#trace.addNumbers(
          node,
          to,
          frame.length,
          () => `${this.#scheduler.nowUs} ${from} sends ${frame.length} to ${to}`,
        );
        this.#guard(() => this.#promises.sent(from, to, frame));
      },
      onArrival: (node, from, frame) => {
        this.#trace.addNumbers(
          this.#scheduler.nowUs,
          from,
          node,
          () => `${this.#scheduler.nowUs} node ${node} hears ${from}`,
        );
        if (isSnapshotChunk(frame)) this.#hosts[node - 1]?.snapshotChunk();
      },
    });
  }

  /** Its own chance: runs without it are what they would be if there were none. */
  #makeService(): CellService | undefined {
    if (!this.#swarm.engines.includes("external")) return undefined;
    const random = new SeededRandom(this.#seed ^ serviceSeed);
    return new CellService({
      scheduler: this.#scheduler,
      split: () => new SeededRandom(random.uint32()),
      // A log that the chain names no more is gone, and who has not heard of that finds it damaged.
      onDamage: (error) =>
        this.#guard(() => check(!this.#chain.names(error.message), "fatal-without-fault", () => error.message)),
    });
  }

  #makeHosts(options: CellSimulationOptions, split: () => Random): readonly CellHost[] {
    return Array.from({ length: this.#swarm.nodes }, (_, i) => {
      return new CellHost(i + 1, i < this.#swarm.founders, {
        scheduler: this.#scheduler,
        network: this.#network,
        history: this.#history,
        swarm: this.#swarm,
        mutations: options.mutations ?? {},
        makeNode: options.makeNode ?? makeCellNode,
        bookOf: (group) => this.#groupBooks.get(group),
        makeBook: (group, engine) => this.#makeBook(group, engine),
        chain: this.#chain,
        groupsSeen: () => [...this.#groupBooks.keys()],
        split,
        service: this.#service,
        guard: (action) => this.#guard(action),
        note: (text) => this.#note(text),
        count: (fault, states) => {
          for (const state of states) this.#coverage.count(fault, state);
        },
        faulty: () => this.#phase === "chaos",
        mayDamage: (host) => this.#standing.mayDamage(host),
        stepped: (host, group) => this.#stepped(host, group),
        recovered: (host, machine) => this.#recovered(host, machine),
        started: (host) => this.#started(host),
        stopped: () => {},
        down: (host) => this.#down(host),
      });
    });
  }

  #makeLoad(split: () => Random): CellLoad {
    return new CellLoad({
      random: split(),
      split,
      swarm: this.#swarm,
      scheduler: this.#scheduler,
      history: this.#history,
      ledger: this.#ledger,
      trace: this.#trace,
      hosts: this.#hosts,
      guard: (action) => this.#guard(action),
      observer: this.#observations,
      wanted: () => (this.#phase === "chaos" ? "new" : this.#phase === "resolving" ? "unresolved" : "none"),
      met: (fault, host) => host.met(fault),
      afterGo: (host) => {
        const machine = host.process?.machine;
        if (machine !== undefined && this.#random.chance(1, 8)) this.#guard(() => this.#books.checkState(machine));
      },
    });
  }

  // What hosts report

  #scheduleStart(host: CellHost, delayUs: number): void {
    this.#scheduler.schedule(delayUs, undefined, () => this.#guard(() => host.start()));
  }

  #stepped(host: CellHost, group: number): void {
    const { member } = host;
    const view = member === undefined ? undefined : this.#groupBooks.get(group)?.member(member as never)?.view;
    if (view === undefined) return;
    this.#standing.stepped();
    this.#trace.addNumbers(view.term, view.last, view.committed, () => {
      const { term, role, start, delivered, committed, persisted, last } = view;
      const log = `${start.index}/${delivered}/${committed}/${persisted}/${last}`;
      return `${this.#scheduler.nowUs} node ${host.node} group ${group} ${role} of ${term}: ${log}`;
    });
    const isBad =
      this.#chain.isSwitching ||
      view.role === "candidate" ||
      view.configuration.outgoing.length > 0 ||
      host.isInstalling;
    if (isBad && this.#phase === "chaos") this.#chaos.badMoment(host);
  }

  #recovered(host: CellHost, machine: CounterMachine): void {
    this.#note(`node ${host.node} has its state at ${machine.appliedLsn}, the log ends at ${this.#history.lastLsn}`);
    this.#books.checkState(machine);
  }

  #started(host: CellHost): void {
    this.#note(`node ${host.node} serves`);
  }

  #down(host: CellHost): void {
    this.#load.disconnected(host.life);
    if (this.#phase === "stopping") return;
    const delayUs = this.#phase === "chaos" ? this.#random.below(this.#swarm.restartUsMax) : 1_000;
    this.#scheduleStart(host, delayUs);
  }

  // Healing

  #heal(): void {
    this.#note("healing");
    this.#phase = "resolving";
    this.#healingSinceUs = this.#scheduler.nowUs;
    this.#network.heal();
    this.#service?.heal();
    if (this.#swarm.minorityStaysDead) this.#retireMinority();
    for (const host of this.#hosts) host.resume();
    this.#look();
  }

  /** Machines that never come back: fewer than half of the voters, none of those that others may need to be whole. */
  #retireMinority(): void {
    for (const host of this.#standing.expendable(this.#random)) {
      host.isRetired = true;
      host.crash("for ever");
      this.#note(`node ${host.node} stays dead`);
      this.#coverage.count("minority dead for ever", "healing");
    }
  }

  get #living(): readonly CellHost[] {
    return this.#hosts.filter((host) => !host.isRetired);
  }

  /** Again and again until the phase has reached what it waits for. */
  #look(): void {
    if (this.#phase === "done") return;
    this.#guard(() => this.#advance());
    this.#scheduler.schedule(lookEveryUs, undefined, () => this.#look());
  }

  #advance(): void {
    switch (this.#phase) {
      case "resolving":
        this.#chaos.letIn(this.#living);
        if (!this.#load.isResolved || !this.#isConverged()) return;
        this.#phase = "quiet";
        this.#scheduler.schedule(quietMs * 1000, undefined, () => this.#guard(() => this.#quiet()));
        return;
      case "stopping":
        if (this.#living.some((host) => host.phase !== "down")) return;
        this.#note("all start again");
        this.#phase = "restarting";
        for (const host of this.#living) host.start();
        return;
      case "restarting":
        if (!this.#isConverged()) return;
        for (const host of this.#living) this.#checkHost(host);
        this.#note(`done: ${this.#history.lastLsn} records, state ${this.#history.hashAt(this.#history.lastLsn)}`);
        this.#phase = "done";
        return;
      default:
    }
  }

  /** All nodes serve, have applied everything, and each is a voter again. */
  #isConverged(): boolean {
    const { lastLsn } = this.#history;
    const isUpToDate = (host: CellHost): boolean => host.isReachable && host.process?.machine.appliedLsn === lastLsn;
    return this.#living.every(isUpToDate) && this.#standing.isFull(this.#living) && this.#isChainWhole();
  }

  /** No switch is under way, all go by one chain, and what it does not name any more is gone from their disks. */
  #isChainWhole(): boolean {
    if (this.#chain.version === 0) return true;
    const last = this.#chain.segments.at(-1)?.group;
    const isSealed = last !== undefined && this.#groupBooks.get(last)?.registry.sealedAt !== undefined;
    if (this.#chain.isSwitching || isSealed) return false;
    const named = [...this.#chain.openGroups, ...this.#chain.sealedGroups];
    const newest = Math.max(...named);
    return this.#living.every(
      ({ chain, process }) =>
        chain?.version === this.#chain.version &&
        (process?.groupsMade ?? []).every((group) => named.includes(group) || group > newest),
    );
  }

  #quiet(): void {
    if (!this.#isConverged()) {
      // A tick, or a disk error from before the healing: wait until it is quiet again.
      this.#phase = "resolving";
      return;
    }
    for (const host of this.#living) {
      const machine = host.process?.machine;
      if (machine !== undefined) this.#books.checkAll(machine);
    }
    this.#phase = "stopping";
    this.#note("all stop");
    for (const host of this.#living) host.stop();
  }

  #checkHost(host: CellHost): void {
    const machine = host.process?.machine;
    if (machine !== undefined) this.#books.checkState(machine);
  }

  #stuck(): void {
    const nodes = this.#hosts.map(
      (host) =>
        `node ${host.node} ${host.phase} as ${host.member}` +
        (host.isReachable ? ` at ${host.process?.machine.appliedLsn}` : "") +
        ` ${host.process?.describe() ?? ""}`,
    );
    throw new SimulationFailure(
      "not-live",
      `${healingMsMax} ms without faults and not done (${this.#phase}): ${this.#load.waiting}; ` +
        `${nodes.join("; ")}; ${this.#standing.text()}; ${this.#chain.text}; the log ends at ${this.#history.lastLsn}`,
    );
  }
}

/** Resolves when no microtask is left: the only place that touches the real event loop, and no result depends on it. */
function allMicrotasks(): Promise<void> {
  // oxlint-disable-next-line no-restricted-globals -- a barrier behind the microtasks of one event, not a timer
  return new Promise((resolve) => setImmediate(resolve));
}
