/**
 * One run: a seed, a swarm configuration, several lives of a node under load and faults, then healing. In the
 * healed part everything asked must be answered; after each recovery and at the end the books must balance.
 */
import { DiskError, InvariantViolation, QuipuError, type Random, SeededRandom } from "@quipu/core";
import { Books } from "./books.ts";
import { SimulatedClock, WallClock } from "./clock.ts";
import { Coverage, type ProcessState } from "./coverage.ts";
import { check, SimulationFailure } from "./failure.ts";
import { Faults } from "./faults.ts";
import { History } from "./history.ts";
import { Host } from "./host.ts";
import type { SimulatedKeyValueStore } from "./key-value-store.ts";
import { Ledger } from "./ledger.ts";
import { Load } from "./load.ts";
import { type Mutations, SimulatedNode } from "./node.ts";
import { ObservedLog } from "./observed-log.ts";
import { type ProcessLife, Scheduler } from "./scheduler.ts";
import { drawSwarm, type SwarmConfiguration } from "./swarm.ts";
import { Trace } from "./trace.ts";

export interface SimulationOptions {
  readonly seed: number;
  readonly trace?: Trace;
  readonly mutations?: Mutations;
  readonly coverage?: Coverage;
  /** Settings of the swarm to fix instead of drawing them. */
  readonly swarm?: Partial<SwarmConfiguration>;
}

export interface SimulationResult {
  readonly seed: number;
  readonly failure: SimulationFailure | undefined;
  readonly traceHash: string;
  readonly virtualMs: number;
  readonly events: number;
  readonly lives: number;
  readonly records: number;
}

/** Longest that the healed part may take before something counts as stuck. */
const healingMsMax = 120_000;
/** A run is over at the latest after this many events: a loop that only waits is not progress. */
const eventsMax = 2_000_000;
/** Quiet time at the end: longer than a replica waits before it looks again whether the wall clock was set forward. */
const quietMs = 65_000;
/** By then everything due must have been removed by the replica's own ticks. */
const overdueMsMax = 1_000;

/** Mean events between crashes in states that last only a few. */
const crashEveryEventsMax: Readonly<Partial<Record<ProcessState, number>>> = {
  starting: 250,
  checkpointing: 40,
  stopping: 60,
};

type Phase = "chaos" | "resolving" | "quiet" | "stopping" | "restarting" | "done";

export class Simulation {
  readonly #seed: number;
  readonly #trace: Trace;
  readonly #coverage: Coverage;
  readonly #mutations: Mutations;
  readonly #swarm: SwarmConfiguration;
  readonly #random: Random;
  readonly #scheduler: Scheduler;
  readonly #wall: WallClock;
  readonly #history: History;
  readonly #ledger = new Ledger();
  readonly #load: Load;
  readonly #faults: Faults;
  readonly #host: Host;
  readonly #books: Books;
  #life: ProcessLife = { alive: false };
  #node: SimulatedNode | undefined;
  #phase: Phase = "chaos";
  #state: ProcessState = "down";
  #lives = 0;
  #healingSinceUs = 0;
  #crashAfterEvent = false;
  /** A checkpoint out of turn is under way. */
  #checkpointing = false;
  #failure: SimulationFailure | undefined;

  constructor(options: SimulationOptions) {
    this.#seed = options.seed;
    this.#trace = options.trace ?? new Trace();
    this.#coverage = options.coverage ?? new Coverage();
    this.#mutations = options.mutations ?? {};
    const random = new SeededRandom(options.seed);
    const split = (): Random => new SeededRandom(random.uint32());
    this.#swarm = { ...drawSwarm(split()), ...options.swarm };
    this.#random = split();
    this.#scheduler = new Scheduler(split());
    this.#wall = new WallClock(this.#scheduler);
    this.#history = new History(() => this.#wall.latestStampMs());
    this.#load = this.#makeLoad(split);
    this.#faults = new Faults({
      random: split(),
      swarm: this.#swarm,
      faulty: () => this.#isFaulty,
      met: (fault) => this.#met(fault),
      crash: (when) => (when === "before" ? this.#crash("at an effect") : (this.#crashAfterEvent = true)),
    });
    this.#host = new Host({
      random: split(),
      diskRandom: split(),
      storeRandom: split(),
      swarm: this.#swarm,
      faults: this.#faults,
      complete: (action) => void this.#scheduler.schedule(this.#faults.latencyUs(), this.#life, action),
      met: (fault) => this.#met(fault),
      note: (text) => this.#note(text),
    });
    this.#books = new Books(this.#history, this.#ledger);
  }

  /** Runs to the end. Never rejects: what goes wrong is in the result. */
  async run(): Promise<SimulationResult> {
    this.#trace.add(`seed ${this.#seed} ${JSON.stringify(this.#swarm)}`);
    try {
      await this.#run();
    } catch (error) {
      this.#fail(error);
    }
    this.#life.alive = false;
    if (this.#failure !== undefined) this.#trace.add(`FAILED ${this.#failure.message}`);
    return {
      seed: this.#seed,
      failure: this.#failure,
      traceHash: this.#trace.hash(),
      virtualMs: this.#scheduler.nowUs / 1000,
      events: this.#scheduler.events,
      lives: this.#lives,
      records: this.#history.lastLsn,
    };
  }

  async #run(): Promise<void> {
    this.#scheduleStart(0);
    this.#load.start();
    while (this.#phase !== "done" && this.#failure === undefined) {
      check(this.#scheduler.events < eventsMax, "not-live", () => `${eventsMax} events and no end`);
      check(this.#scheduler.step(), "not-live", () => `nothing more happens in phase ${this.#phase}`);
      await allMicrotasks();
      if (this.#failure === undefined) this.#afterEvent();
    }
  }

  #afterEvent(): void {
    check(!this.#load.hasUnflushed, "reply-order", () => "replies were delivered and not flushed");
    // Some states are short: there power goes far more often, or it never would.
    const crashEveryEvents = Math.min(this.#swarm.crashEveryEvents, crashEveryEventsMax[this.#state] ?? Infinity);
    if (this.#crashAfterEvent) this.#crash("after an effect");
    else if (this.#isFaulty && crashEveryEvents > 0 && this.#random.below(crashEveryEvents) === 0) {
      this.#met("crash at an event");
      this.#crash("at an event");
    }
    if (this.#phase === "chaos") this.#maybeEndChaos();
    else if (this.#scheduler.nowUs - this.#healingSinceUs > healingMsMax * 1000) this.#stuck();
  }

  /** Faults strike, and power may go. */
  get #isFaulty(): boolean {
    return (
      this.#phase === "chaos" && this.#life.alive && this.#lives < this.#swarm.incarnationsMax && !this.#host.flipIsOpen
    );
  }

  #met(fault: string): void {
    this.#coverage.count(fault, this.#state);
    this.#note(`fault: ${fault} while ${this.#state}`);
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

  // The node's lives

  #scheduleStart(delayUs: number): void {
    this.#scheduler.schedule(delayUs, undefined, () => this.#start());
  }

  #start(): void {
    this.#lives += 1;
    this.#state = this.#phase === "chaos" ? "starting" : "healing";
    const life: ProcessLife = { alive: true };
    this.#life = life;
    this.#crashAfterEvent = false;
    this.#checkpointing = false;
    this.#faults.failed = false;
    this.#faults.full = false;
    if (this.#phase === "chaos" && this.#lives > 1) this.#host.maybeFlip();
    this.#host.powerOn();
    this.#note(`start ${this.#lives}`);
    const node = this.#makeNode(life);
    this.#node = node;
    node.start().then(
      () => life.alive && this.#guard(() => this.#started()),
      (error: unknown) => life.alive && this.#guard(() => this.#ended(error, "start")),
    );
  }

  #makeNode(life: ProcessLife): SimulatedNode {
    const node = new SimulatedNode({
      disk: this.#host.disk,
      store: this.#watched(this.#host.store),
      clock: new SimulatedClock(this.#scheduler, this.#wall, life, new SeededRandom(this.#random.uint32())),
      random: new SeededRandom(this.#random.uint32()),
      swarm: this.#swarm,
      mutations: this.#mutations,
      onFatal: (error) => life.alive && this.#guard(() => this.#ended(error, "fatal")),
      observe: (inner) =>
        new ObservedLog({
          inner,
          history: this.#history,
          scheduler: this.#scheduler,
          life,
          random: new SeededRandom(this.#random.uint32()),
          swarm: this.#swarm,
          faulty: () => this.#isFaulty && node.isServing,
          met: (fault) => this.#met(fault),
          haunt: (records) => this.#haunt(records),
          guard: (action) => this.#guard(action),
        }),
      recovered: (recovered) => this.#guard(() => this.#recovered(recovered)),
    });
    return node;
  }

  /** The store, telling us when a checkpoint is being written. */
  #watched(store: SimulatedKeyValueStore): SimulatedKeyValueStore {
    const batch = store.batch.bind(store);
    store.batch = () => {
      if (this.#state === "serving") this.#state = "checkpointing";
      const made = batch();
      const write = made.write.bind(made);
      made.write = (options) =>
        write(options).finally(() => {
          if (this.#state === "checkpointing") this.#state = "serving";
        });
      return made;
    };
    return store;
  }

  #recovered(node: SimulatedNode): void {
    const { machine } = node;
    this.#note(`recovered at ${machine.appliedLsn}, the log ends at ${this.#history.lastLsn}`);
    this.#books.checkRecovered(machine);
  }

  #started(): void {
    this.#host.acceptFlip();
    if (this.#phase === "chaos") {
      this.#state = "serving";
      if (this.#random.chance(this.#swarm.orderlyStopPercent, 100)) {
        const afterUs = this.#random.below(200_000);
        this.#scheduler.schedule(afterUs, this.#life, () => this.#phase === "chaos" && this.#stop());
      }
    } else if (this.#phase === "restarting") this.#finish();
    this.#load.bound(this.#node as SimulatedNode);
  }

  #stop(): void {
    this.#note("orderly stop");
    if (this.#phase === "chaos") {
      this.#state = "stopping";
      this.#met("orderly stop");
    }
    const life = this.#life;
    (this.#node as SimulatedNode).stop().then(
      () => life.alive && this.#guard(() => this.#down("stopped")),
      (error: unknown) => life.alive && this.#guard(() => this.#ended(error, "stop")),
    );
  }

  /** The process ends by itself: allowed only where the disk failed, or was damaged before it started. */
  #ended(error: unknown, when: "start" | "fatal" | "stop"): void {
    this.#note(`ended (${when}): ${describe(error)}`);
    const cause = rootOf(error);
    if (cause instanceof SimulationFailure) throw cause;
    const isCorrupt = cause instanceof QuipuError && cause.code === "LOG_CORRUPT";
    if (isCorrupt && this.#host.flipIsOpen) {
      this.#host.undoFlip();
      this.#down("refused");
      return;
    }
    if (isCorrupt && this.#host.flipWasAccepted) {
      this.#met("bit flip refused later");
      this.#phase = "done";
      return;
    }
    const isFull = cause instanceof QuipuError && cause.code === "DISK_FULL" && this.#faults.full;
    const isBug = cause instanceof InvariantViolation || !(this.#faults.failed || isFull);
    check(!isBug, when === "start" ? "start-refused" : "fatal-without-fault", () => describe(error));
    this.#met("process ended on a disk error");
    this.#crash("disk error");
  }

  /** Power off. What was not synced is lost as the disk sees fit. */
  #crash(why: string): void {
    this.#crashAfterEvent = false;
    if (!this.#life.alive) return;
    this.#host.powerOff();
    this.#down(`crash ${why}`);
  }

  #down(why: string): void {
    this.#note(why);
    this.#life.alive = false;
    this.#node = undefined;
    this.#state = "down";
    this.#load.disconnected();
    if (this.#phase === "stopping") this.#phase = "restarting";
    this.#scheduleStart(this.#random.below(50_000));
  }

  /** A record whose append was given up appears all the same, later. */
  #haunt(records: readonly Uint8Array[]): void {
    const copies = records.map((record) => record.slice());
    this.#scheduler.schedule(this.#random.below(400_000), undefined, () => {
      if (this.#phase !== "chaos" || this.#node?.isServing !== true) return;
      this.#note("a lost append appears");
      this.#node.innerLog.append(copies).catch(() => undefined);
    });
  }

  // Load

  #makeLoad(split: () => Random): Load {
    return new Load({
      random: this.#random,
      split,
      swarm: this.#swarm,
      scheduler: this.#scheduler,
      history: this.#history,
      ledger: this.#ledger,
      trace: this.#trace,
      guard: (action) => this.#guard(action),
      wanted: () => (this.#phase === "chaos" ? "new" : this.#phase === "resolving" ? "unresolved" : "none"),
      node: () => (this.#node?.hasDoor === true && this.#state !== "stopping" ? this.#node : undefined),
      beforeGo: (node) => this.#disturb(node),
      afterGo: (node) => {
        if (!node.isServing || !this.#random.chance(1, 8)) return;
        this.#guard(() => this.#books.checkState(node.machine));
      },
    });
  }

  /** What happens beside the requests. */
  #disturb(node: SimulatedNode): void {
    const happens = (chance: number): boolean => this.#random.below(10_000) < chance;
    if (happens(this.#swarm.wallJumps)) this.#jump();
    if (node.isServing && happens(this.#swarm.checkpoints)) this.#checkpoint(node);
    if (node.isServing && happens(this.#swarm.reconfigurations)) this.#reconfigure(node);
  }

  #checkpoint(node: SimulatedNode): void {
    const life = this.#life;
    if (this.#checkpointing) return;
    this.#checkpointing = true;
    const over = (error?: unknown): void => {
      if (!life.alive) return;
      this.#checkpointing = false;
      // As before an orderly stop: one that failed is given up, and what it had is still to be stored.
      if (error instanceof DiskError) this.#note(`no checkpoint: ${error.message}`);
      else if (error !== undefined) this.#guard(() => this.#ended(error, "fatal"));
    };
    node.checkpoint().then(() => over(), over);
  }

  /** Live: the log goes on in a new loglet. It may be refused (no room) or unknown (the disk failed). */
  #reconfigure(node: SimulatedNode): void {
    const life = this.#life;
    this.#met("live switch");
    node.innerLog.reconfigure("local").then(
      (chain) => life.alive && this.#note(`switched: ${chain.segments.length} segments in chain ${chain.version}`),
      (error: unknown) => life.alive && this.#note(`not switched: ${describe(error)}`),
    );
  }

  #jump(): void {
    const byMs = ([-3_600_000, -2_500, -40, 40, 2_500, 600_000] as const)[this.#random.below(6)] as number;
    this.#met(byMs < 0 ? "wall clock set back" : "wall clock set forward");
    this.#wall.jump(byMs);
  }

  // Healing

  #maybeEndChaos(): void {
    if (!this.#load.isOver) return;
    this.#note("healing");
    this.#phase = "resolving";
    this.#healingSinceUs = this.#scheduler.nowUs;
    if (this.#state !== "down") this.#state = "healing";
    this.#resolve();
  }

  /** Again and again until every request has its answer. */
  #resolve(): void {
    const node = this.#node;
    if (node?.isServing === true) {
      if (this.#load.isResolved) {
        this.#phase = "quiet";
        this.#scheduler.schedule(quietMs * 1000, undefined, () => this.#guard(() => this.#quiet(node)));
        return;
      }
      this.#guard(() => this.#load.resolve(node));
    }
    this.#scheduler.schedule(5_000, undefined, () => this.#resolve());
  }

  #quiet(node: SimulatedNode): void {
    if (node !== this.#node || !node.isServing) {
      // A disk error from before the healing reached the process late: its next life has to be quiet as well.
      this.#phase = "resolving";
      this.#healingSinceUs = this.#scheduler.nowUs;
      this.#resolve();
      return;
    }
    const overdueMs = node.door.stampNowMs() - node.machine.nextDueMs;
    check(overdueMs < overdueMsMax, "expiry", () => `something is due for ${overdueMs} ms and still there`);
    this.#books.checkAll(node.machine);
    this.#phase = "stopping";
    this.#stop();
  }

  #finish(): void {
    this.#books.checkState((this.#node as SimulatedNode).machine);
    this.#note(`done: ${this.#history.lastLsn} records, state ${this.#history.hashAt(this.#history.lastLsn)}`);
    this.#phase = "done";
  }

  #stuck(): void {
    throw new SimulationFailure(
      "not-live",
      `unanswered after ${healingMsMax} ms without faults (${this.#phase}): ${this.#load.waiting}`,
    );
  }
}

/** The first cause that says what happened. */
function rootOf(error: unknown): unknown {
  let cause = error;
  while (cause instanceof Error && !(cause instanceof SimulationFailure) && cause.cause instanceof Error)
    cause = cause.cause;
  return cause;
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** Resolves when no microtask is left: the only place that touches the real event loop, and no result depends on it. */
function allMicrotasks(): Promise<void> {
  // oxlint-disable-next-line no-restricted-globals -- a barrier behind the microtasks of one event, not a timer
  return new Promise((resolve) => setImmediate(resolve));
}
