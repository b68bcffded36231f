/**
 * One machine of the cell: disk, store and clock, which survive the process; the process, which starts, is killed,
 * paused and stopped; and what befalls the disk between two lives.
 */
import type { MemberId } from "@quipu/consensus";
import type { CounterMachine } from "@quipu/counters";
import { DiskError, InvariantViolation, QuipuError, type Random } from "@quipu/core";
import type { Chain, VirtualLog } from "@quipu/log";
import { SimulatedClock, WallClock } from "../clock.ts";
import { SimulatedDisk } from "../disk.ts";
import { check, SimulationFailure } from "../failure.ts";
import type { History } from "../history.ts";
import { SimulatedKeyValueStore } from "../key-value-store.ts";
import type { ProcessLife, Scheduler } from "../scheduler.ts";
import type { ConsensusBook, ObservedGroup } from "./book.ts";
import { CellFaults } from "./cell-faults.ts";
import { describe, rootOf } from "./error-text.ts";
import { CellLog } from "./cell-log.ts";
import { type CellState, statesOf } from "./cell-state.ts";
import type { ChainBook } from "./chain-book.ts";
import { DurableTime } from "./durable-time.ts";
import { HostStores } from "./host-stores.ts";
import type { CellMutationSet } from "./mutation-set.ts";
import type { SimulatedNetwork } from "./network.ts";
import type { MakeNode, NodeUnderTest } from "./node-under-test.ts";
import type { CellService, ServiceHandle } from "./service.ts";
import type { CellSwarm } from "./swarm.ts";

/** What a host needs of the cell around it. */
export interface HostSurroundings {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly history: History;
  readonly swarm: CellSwarm;
  readonly mutations: CellMutationSet;
  readonly makeNode: MakeNode;
  readonly bookOf: (group: number) => ConsensusBook | undefined;
  readonly makeBook: (group: number, engine: ObservedGroup["engine"]) => ConsensusBook;
  readonly chain: ChainBook;
  readonly groupsSeen: () => readonly number[];
  readonly split: () => Random;
  /** The service beside the cell, if there is one. */
  readonly service: CellService | undefined;
  readonly guard: (action: () => void) => void;
  readonly note: (text: string) => void;
  readonly count: (fault: string, states: readonly CellState[]) => void;
  /** Faults strike. */
  readonly faulty: () => boolean;
  /** Nothing acknowledged would be lost if this host lost its disk now. */
  readonly mayDamage: (host: CellHost) => boolean;
  readonly stepped: (host: CellHost, group: number) => void;
  readonly recovered: (host: CellHost, machine: CounterMachine) => void;
  readonly started: (host: CellHost) => void;
  readonly stopped: (host: CellHost) => void;
  /** The process is over; clients have lost their connections. */
  readonly down: (host: CellHost, why: string) => void;
}

const entriesPerPage = 20;
/** A snapshot counts as under way for this long after its last chunk. */
const snapshotQuietUs = 300_000;

export type HostPhase = "down" | "starting" | "serving" | "stopping";

export class CellHost {
  readonly node: number;
  readonly wall: WallClock;
  readonly #around: HostSurroundings;
  readonly #random: Random;
  readonly #faults: CellFaults;
  readonly #time = new DurableTime();
  readonly #rate: number;
  #disk: SimulatedDisk;
  #store: SimulatedKeyValueStore;
  #process: NodeUnderTest | undefined;
  #life: ProcessLife = { alive: false };
  #phase: HostPhase = "down";
  #isFounder: boolean;
  #lives = 0;
  #crashAfterEvent = false;
  #checkpointing = false;
  #snapshotUntilUs = 0;
  /** The disk lost or changed something under the member that last ran on it; undefined once that one is replaced. */
  #damagedMember: number | undefined;
  /** Members of this node, the present one last. */
  readonly #members: number[] = [];
  /** The log that the replica reads in this life. */
  #log: VirtualLog | undefined;
  #service: ServiceHandle | undefined;
  readonly #stores: HostStores;
  /** Stays off until the end. */
  isRetired = false;

  constructor(node: number, isFounder: boolean, around: HostSurroundings) {
    this.node = node;
    this.#around = around;
    this.#isFounder = isFounder;
    const { scheduler, swarm, split } = around;
    this.#random = split();
    const drift = swarm.driftPerThousand;
    this.#rate = drift === 0 ? 1 : 1 + (this.#random.below(2 * drift + 1) - drift) / 1000;
    this.wall = new WallClock(scheduler, this.#rate);
    this.#faults = new CellFaults({
      random: split(),
      swarm,
      faulty: () => this.#isFaulty,
      met: (fault) => this.met(fault),
      crash: (when) => (when === "before" ? this.crash("at an effect") : (this.#crashAfterEvent = true)),
      misdirectedWrites: swarm.misdirectedWrites,
      mayDamage: () => around.mayDamage(this),
      damaged: () => this.#damaged(),
    });
    this.#disk = this.#newDisk();
    this.#store = this.#newStore();
    this.#stores = new HostStores({
      node,
      chain: around.chain,
      note: around.note,
      member: () => this.member as MemberId | undefined,
      disk: () => this.#disk,
      store: () => this.#store,
    });
  }

  get phase(): HostPhase {
    return this.#phase;
  }

  get life(): ProcessLife {
    return this.#life;
  }

  get isPaused(): boolean {
    return this.#life.held !== undefined;
  }

  get process(): NodeUnderTest | undefined {
    return this.#process;
  }

  /** Clients may come: it has its state and is not stopping. */
  get isReachable(): boolean {
    return this.#life.alive && this.#phase === "serving" && this.#process?.isServing === true;
  }

  get lives(): number {
    return this.#lives;
  }

  /** The member that runs here, or ran last. */
  get member(): number | undefined {
    return this.#members.at(-1);
  }

  get isDamaged(): boolean {
    return this.#damagedMember !== undefined;
  }

  get isInstalling(): boolean {
    return this.#snapshotUntilUs > this.#around.scheduler.nowUs;
  }

  get store(): SimulatedKeyValueStore {
    return this.#store;
  }

  get #isFaulty(): boolean {
    return this.#life.alive && this.#around.faulty();
  }

  // Faults met

  met(fault: string): void {
    this.#around.count(fault, this.states());
    this.#around.note(`node ${this.node}: ${fault}`);
  }

  /** What happens to every other frame is counted, and only that. */
  metOften(fault: string): void {
    this.#around.count(fault, this.states());
  }

  states(): readonly CellState[] {
    if (!this.#life.alive) return ["down"];
    if (!this.#around.faulty()) return ["healing"];
    const states: CellState[] = [];
    if (this.#phase === "starting") states.push("starting");
    if (this.#phase === "stopping") states.push("stopping");
    if (this.#checkpointing) states.push("checkpointing");
    if (this.isInstalling) states.push("installing a snapshot");
    const { member } = this;
    for (const group of member === undefined ? [] : this.#around.groupsSeen()) {
      const book = this.#around.bookOf(group)?.member(member as never);
      if (book?.isAlive === true && book.view !== undefined)
        states.push(...statesOf(book.view, book.isHardStateDurable));
    }
    return states;
  }

  /** A chunk of a snapshot has come. */
  snapshotChunk(): void {
    this.#snapshotUntilUs = this.#around.scheduler.nowUs + snapshotQuietUs;
  }

  // Life and death

  start(): void {
    if (this.#life.alive || this.isRetired) return;
    this.#lives += 1;
    const life: ProcessLife = { alive: true };
    this.#life = life;
    this.#phase = "starting";
    this.#stores.begins();
    this.#log = undefined;
    this.#crashAfterEvent = false;
    this.#checkpointing = false;
    this.#faults.failed = false;
    this.#faults.full = false;
    if (this.#lives > 1) this.#maybeFlip();
    this.#disk.fault = (operation) => this.#faults.onDisk(operation);
    this.#around.note(`node ${this.node} starts, life ${this.#lives}`);
    const process = this.#makeNode(life);
    this.#process = process;
    process.start().then(
      () => life.alive && this.#around.guard(() => this.#started()),
      (error: unknown) => life.alive && this.#around.guard(() => this.#ended(error, "start")),
    );
  }

  #makeNode(life: ProcessLife): NodeUnderTest {
    const { scheduler, network, history, swarm, mutations, makeNode, split, guard } = this.#around;
    const founders = Array.from({ length: swarm.founders }, (_, i) => i + 1);
    const clock = new SimulatedClock(scheduler, this.wall, life, split(), this.#rate);
    this.#service = this.#around.service?.connect(clock, split());
    return makeNode({
      disk: this.#disk,
      store: this.#watched(this.#store),
      network: network.port(this.node, life, () => this.#beforeSend()),
      clock,
      random: split(),
      engines: this.#service === undefined ? {} : { external: this.#service.engine },
      node: this.node,
      bootstrap: this.#isFounder ? { type: "found", founders } : { type: "join" },
      swarm,
      mutations,
      onFatal: (error) => life.alive && guard(() => this.#ended(error, "fatal")),
      observeLog: (inner) => {
        this.#log = inner;
        return new CellLog({
          inner,
          history,
          scheduler,
          life,
          random: split(),
          deliveryDelayUsMax: swarm.deliveryDelayUsMax,
          chain: this.#around.chain,
          unsyncedBatches: () => this.#store.unsyncedBatches,
          checkpointed: (upTo) => this.#stores.checkpointed(upTo),
          guard,
        });
      },
      observeGroup: (group, raft) => {
        if (life.alive) guard(() => this.#observe(group, raft));
      },
      diverged: (text) => {
        if (life.alive) guard(() => check(false, "state-diverged", () => `node ${this.node}: ${text}`));
      },
      recovered: () => {
        const machine = this.#process?.machine;
        if (life.alive && machine !== undefined) guard(() => this.#around.recovered(this, machine));
      },
    });
  }

  #observe(group: number, raft: ObservedGroup): void {
    const book = this.#around.bookOf(group) ?? this.#around.makeBook(group, raft.engine);
    check(book.engine === raft.engine, "chain", () => `group ${group} is of ${book.engine}, and of ${raft.engine}`);
    const view = book.observe(raft, this.#time);
    this.#stores.logBegins(group, view);
    if (this.#members.at(-1) !== view.member) {
      this.#members.push(view.member);
      this.#around.note(`node ${this.node} is member ${view.member}`);
    }
    this.#around.stepped(this, group);
  }

  get stores(): HostStores {
    return this.#stores;
  }

  #started(): void {
    if (this.#phase === "starting") this.#phase = "serving";
    this.#around.started(this);
  }

  /** Power off. What was not synced is lost as the disk sees fit. */
  crash(why: string): void {
    this.#crashAfterEvent = false;
    if (!this.#life.alive) return;
    this.#disk = this.#disk.crash(this.#around.swarm.crashKeeps);
    this.#store = this.#store.crash(this.#around.swarm.crashKeeps);
    this.#down(`crash ${why}`);
  }

  /** Called after each event of the cell: a crash that was to come behind an effect comes now. */
  afterEvent(): void {
    if (this.#life.alive && this.#log !== undefined) this.#stores.goesBy(this.#log.chain());
    if (this.#crashAfterEvent) this.crash("after an effect");
  }

  pause(): void {
    if (!this.#life.alive || this.isPaused) return;
    this.#around.scheduler.pause(this.#life);
  }

  resume(): void {
    if (this.isPaused) this.#around.scheduler.resume(this.#life);
  }

  /** An orderly stop. */
  stop(): void {
    const process = this.#process;
    const life = this.#life;
    if (process === undefined || !life.alive || this.#phase !== "serving") return;
    this.#phase = "stopping";
    process.stop().then(
      () => life.alive && this.#around.guard(() => this.#stopped()),
      (error: unknown) => life.alive && this.#around.guard(() => this.#ended(error, "stop")),
    );
  }

  #stopped(): void {
    // What an orderly stop leaves is durable: the power may go at once.
    this.#disk = this.#disk.crash(this.#around.swarm.crashKeeps);
    this.#store = this.#store.crash(this.#around.swarm.crashKeeps);
    this.#down("stopped");
    this.#around.stopped(this);
  }

  checkpoint(): void {
    const process = this.#process;
    const life = this.#life;
    if (process === undefined || this.#checkpointing || !this.isReachable || this.isPaused) return;
    this.#checkpointing = true;
    const over = (error?: unknown): void => {
      if (!life.alive) return;
      this.#checkpointing = false;
      const isExpected = error === undefined || error instanceof DiskError || error instanceof QuipuError;
      if (!isExpected) this.#around.guard(() => this.#ended(error, "fatal"));
    };
    process.checkpoint().then(() => over(), over);
  }

  /** An operator has the log go on on another engine. What comes of it shows in the chain. */
  reconfigure(engine: string): void {
    const { process } = this;
    const life = this.#life;
    if (process?.reconfigure === undefined || !this.isReachable || this.isPaused) return;
    this.met(`switch to ${engine}`);
    process.reconfigure(engine).then(
      () => life.alive && this.met(`switched to ${engine}`),
      (error: unknown) => {
        if (life.alive && !(error instanceof QuipuError)) this.#around.guard(() => this.#ended(error, "fatal"));
        else if (life.alive) this.#around.note(`node ${this.node}: no switch to ${engine}: ${describe(error)}`);
      },
    );
  }

  /** The chain by which it goes. */
  get chain(): Chain | undefined {
    return this.#life.alive ? this.#log?.chain() : undefined;
  }

  #down(why: string): void {
    this.#service?.close();
    this.#life.alive = false;
    this.#life.held = undefined;
    this.#process = undefined;
    this.#phase = "down";
    this.#around.network.disconnect(this.#life);
    const { member } = this;
    if (member !== undefined) {
      for (const group of this.#around.groupsSeen()) this.#around.bookOf(group)?.died(member as never);
    }
    this.#around.note(`node ${this.node} is down: ${why}`);
    this.#around.down(this, why);
  }

  /** The process ends by itself: allowed only where a disk failed or was damaged. */
  #ended(error: unknown, when: "start" | "fatal" | "stop"): void {
    this.#around.note(`node ${this.node} ended (${when}): ${describe(error)}`);
    const cause = rootOf(error);
    if (cause instanceof SimulationFailure) throw cause;
    if (when === "start" && cause instanceof QuipuError && cause.code === "OVERLOADED") {
      this.met("started without a quorum");
      this.crash("for want of a quorum");
      return;
    }
    const isCorrupt = cause instanceof QuipuError && (cause.code === "LOG_CORRUPT" || cause.code === "STORE_CORRUPT");
    const isFull = cause instanceof QuipuError && cause.code === "DISK_FULL" && this.#faults.full;
    const isExpected = this.#faults.failed || isFull || (isCorrupt && this.isDamaged);
    const isBug = cause instanceof InvariantViolation || !isExpected;
    check(
      !isBug,
      when === "start" ? "start-refused" : "fatal-without-fault",
      () => `node ${this.node}: ${describe(error)}`,
    );
    this.met(isCorrupt ? "process ended on damage" : "process ended on a disk error");
    this.crash("disk error");
  }

  // The disk

  /** A new machine with empty disks under the same number. */
  wipe(): void {
    this.crash("for a new disk");
    this.#damaged();
    this.#isFounder = false;
    this.#disk = this.#newDisk();
    this.#store = this.#newStore();
  }

  #damaged(): void {
    if (this.member !== undefined) this.#stores.metadataUpTo(this.member as MemberId);
    this.#damagedMember = this.member ?? 0;
  }

  /** Called when this host's present member is in full standing again. */
  repaired(): void {
    if (this.#damagedMember === undefined || this.#damagedMember === this.member) return;
    this.#around.note(`node ${this.node}: member ${this.#damagedMember} is replaced by ${this.member}`);
    this.#damagedMember = undefined;
  }

  #maybeFlip(): void {
    const { swarm, faulty, mayDamage, note } = this.#around;
    if (!faulty() || !this.#random.chance(swarm.bitFlipPercent, 100) || !mayDamage(this)) return;
    const paths = this.#disk.paths().filter((path) => this.#disk.bytes(path).length > 0);
    const path = paths[this.#random.below(Math.max(paths.length, 1))];
    if (path === undefined) return;
    const bytes = this.#disk.bytes(path);
    const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
    const limit = used > 0 && this.#random.chance(4, 5) ? used : bytes.length;
    const bit = this.#random.below(limit) * 8 + this.#random.below(8);
    this.#disk.flipBit(path, bit);
    this.#damaged();
    this.met("bit flip");
    note(`node ${this.node}: flipped bit ${bit} of ${path}`);
  }

  #newDisk(): SimulatedDisk {
    const { split } = this.#around;
    return new SimulatedDisk({
      random: split(),
      complete: (action) => this.#complete(action),
      onSync: (path) => this.#time.onSync(path),
    });
  }

  #newStore(): SimulatedKeyValueStore {
    return new SimulatedKeyValueStore({
      random: this.#around.split(),
      complete: (action) => this.#complete(action),
      pageEntries: entriesPerPage,
      fault: (operation) => this.#faults.onStore(operation),
    });
  }

  #complete(action: () => void): void {
    this.#around.scheduler.schedule(this.#faults.latencyUs(), this.#life, action);
  }

  /** The store, telling us when a checkpoint is being written. */
  #watched(store: SimulatedKeyValueStore): SimulatedKeyValueStore {
    const batch = store.batch.bind(store);
    store.batch = () => {
      const made = batch();
      const write = made.write.bind(made);
      made.write = (options) => {
        this.#checkpointing = true;
        return write(options).finally(() => {
          this.#checkpointing = false;
        });
      };
      return made;
    };
    return store;
  }

  #beforeSend(): void {
    const { swarm } = this.#around;
    if (swarm.crashAtSend === 0 || !this.#isFaulty || this.#random.below(10_000) >= swarm.crashAtSend) return;
    this.met("crash at a send");
    if (this.#random.chance(1, 2)) this.crash("before a send");
    else this.#crashAfterEvent = true;
  }
}
