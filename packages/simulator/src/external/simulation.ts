/**
 * Several nodes on one log of a model service, through faults of the service and deaths of nodes: the driver of external
 * engines alone, without a replica above it. One seed, one run. Throws SimulationFailure where a promise of the loglet
 * contract does not hold.
 */
import { type Clock, lsn, QuipuError, type Random, SeededRandom } from "@quipu/core";
import { externalEngine, type ExternalEngineSettings, type ExternalMutation, type Loglet } from "@quipu/log";
import { SimulatedClock, WallClock } from "../clock.ts";
import { check, SimulationFailure } from "../failure.ts";
import { type ProcessLife, Scheduler } from "../scheduler.ts";
import { LogBook, type LogObserver } from "./log-book.ts";
import { ModelCluster, type ModelServiceFaults, noFaults } from "./model-service.ts";

export interface ExternalSimulationOptions {
  readonly seed: number;
  readonly mutation?: ExternalMutation;
  /** In place of what the seed draws. */
  readonly faults?: Partial<ModelServiceFaults>;
  /** Some node seals the log; else in every second run. */
  readonly seal?: boolean;
  /** Somebody removes a batch, or changes it, while no node that is up has read it. */
  readonly damage?: boolean;
}

export interface ExternalSimulationResult {
  readonly acknowledged: number;
  readonly unknown: number;
  readonly refused: number;
  readonly positions: number;
  readonly crashes: number;
  readonly batches: number;
  readonly virtualMs: number;
}

/** Short, so that many a deadline passes in one run. */
const settings: Partial<ExternalEngineSettings> = {
  deadlineMs: 2000,
  batchRecordsMax: 8,
  windowBytesMax: 300,
  indexMax: 8,
  appendsMax: 24,
};
const nodes = 3;
const runMs = 20_000;
/** After the last fault everything has an outcome within this. */
const restMsMax = 60_000;

interface Node {
  readonly number: number;
  readonly life: ProcessLife;
  readonly loglet: Loglet;
  readonly observer: LogObserver;
  readonly kill: () => void;
}

export async function runExternalSimulation(options: ExternalSimulationOptions): Promise<ExternalSimulationResult> {
  return new ExternalSimulation(options).run();
}

class ExternalSimulation {
  readonly #options: ExternalSimulationOptions;
  readonly #random: Random;
  readonly #scheduler: Scheduler;
  readonly #wall: WallClock;
  readonly #clock: Clock;
  readonly #cluster: ModelCluster;
  readonly #book: LogBook = new LogBook();
  readonly #up: Map<number, Node> = new Map();
  #parameters = "";
  #lives = 0;
  #crashes = 0;
  #sealedTail: number | undefined;
  #faultsEnd = false;
  #damaged = 0;
  #failure: Error | undefined;

  constructor(options: ExternalSimulationOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    const split = (): Random => new SeededRandom(this.#random.uint32());
    this.#scheduler = new Scheduler(split());
    this.#wall = new WallClock(this.#scheduler);
    this.#clock = new SimulatedClock(this.#scheduler, this.#wall, { alive: true }, split());
    const seldom = (limit: number): number => (this.#random.chance(1, 2) ? 0 : this.#random.below(limit));
    this.#cluster = new ModelCluster({
      clock: this.#clock,
      random: split(),
      faults: {
        delayMsMax: 1 + this.#random.below(30),
        timeoutMs: 100 + this.#random.below(900),
        requestsLost: seldom(100),
        answersLost: seldom(200),
        requestsLate: seldom(200),
        lateMsMax: this.#random.below(1500),
        hintsMissed: seldom(1000),
        hintsWrong: seldom(500),
        readsOld: seldom(1000),
        ...options.faults,
      },
      ...(this.#random.chance(1, 4) ? { bytesMax: 4000 + this.#random.below(20_000) } : {}),
      ...(options.mutation === undefined ? {} : { mutation: options.mutation }),
    });
  }

  async run(): Promise<ExternalSimulationResult> {
    const { seed } = this.#options;
    try {
      this.#guard(this.#begin());
      await this.#runUntil(() => this.#clock.monotonicMs() >= runMs, "the run does not end");
      await this.#heal();
      return this.#result();
    } catch (error) {
      if (error instanceof SimulationFailure)
        throw new SimulationFailure(error.check, `seed ${seed}: ${error.message}`);
      throw new SimulationFailure("threw", `seed ${seed}: ${String(error)}`, error);
    }
  }

  async #begin(): Promise<void> {
    // So that time goes on even if nobody does anything.
    this.#after(runMs, () => undefined);
    while (this.#parameters === "") {
      this.#parameters = await this.#engine({ alive: true })
        .prepare()
        .catch(() => "");
    }
    for (let number = 1; number <= nodes; number++) this.#guard(this.#start(number));
    this.#every(3000, () => this.#outage());
    this.#every(4000, () => this.#crash());
    this.#every(1500, () => this.#trim());
    if (this.#random.chance(1, 2) || this.#options.seal === true)
      this.#after(runMs / 2 + this.#random.below(runMs / 2), () => this.#seal());
    if (this.#options.damage === true) this.#after(runMs / 2, () => this.#damage());
  }

  #engine(life: ProcessLife, service = this.#cluster.connect()): ReturnType<typeof externalEngine> {
    const { mutation } = this.#options;
    return externalEngine({
      service,
      clock: new SimulatedClock(this.#scheduler, this.#wall, life, new SeededRandom(this.#random.uint32())),
      random: new SeededRandom(this.#random.uint32()),
      settings,
      onDamage: (error) => this.#onDamage(error),
      ...(mutation === undefined ? {} : { mutation }),
    });
  }

  async #start(number: number): Promise<void> {
    const life: ProcessLife = { alive: true };
    const service = this.#cluster.connect();
    let loglet: Loglet;
    try {
      loglet = await this.#engine(life, service).open(this.#parameters);
    } catch (error) {
      check(error instanceof QuipuError && error.code === "NOQUORUM", "start-refused", () => String(error));
      this.#after(500, () => this.#guard(this.#start(number)));
      return;
    }
    const from = this.#random.chance(2, 3) ? 1 : 1 + this.#random.below(50);
    const observer = this.#book.observer(`node ${number}, life ${++this.#lives}`, from);
    loglet.read(lsn(from), (delivery) => {
      this.#guardNow(() => observer.take(delivery));
    });
    const kill = (): void => {
      life.alive = false;
      void service.close();
      this.#book.forget(observer);
    };
    this.#up.set(number, { number, life, loglet, observer, kill });
    this.#guard(this.#append(number, loglet, observer, life));
    this.#guard(this.#tails(loglet, life));
  }

  /** One caller of a node: bursts of appends, without waiting in between. */
  async #append(number: number, loglet: Loglet, observer: LogObserver, life: ProcessLife): Promise<void> {
    for (let call = 1; life.alive && !this.#faultsEnd;) {
      const burst = 1 + this.#random.below(this.#random.chance(1, 8) ? 40 : 4);
      for (let i = 0; i < burst; i++) {
        const texts = Array.from({ length: 1 + this.#random.below(3) }, (_, at) => `${observer.name}, ${call}.${at}`);
        call += 1;
        const appending = this.#book.append(observer, texts, (records) => loglet.append(records));
        this.#guard(appending);
      }
      await this.#pause(this.#random.below(this.#random.chance(1, 4) ? 1000 : 60) * number);
    }
  }

  async #tails(loglet: Loglet, life: ProcessLife): Promise<void> {
    while (life.alive && !this.#faultsEnd) {
      await this.#pause(this.#random.below(200));
      const acknowledged = this.#book.acknowledgedTo;
      try {
        const tail = await loglet.tail();
        check(
          tail.tail > acknowledged,
          "read-stale",
          () => `a tail of ${tail.tail} after ${acknowledged} was acknowledged`,
        );
        if (tail.sealed) this.#checkSealed(tail.tail);
      } catch (error) {
        if (error instanceof SimulationFailure) throw error;
        check(error instanceof QuipuError, "threw", () => String(error));
        check(this.#damaged > 0 || error.code !== "LOG_CORRUPT", "fatal-without-fault", () => String(error));
      }
    }
  }

  #checkSealed(tail: number): void {
    this.#sealedTail ??= tail;
    check(tail === this.#sealedTail, "seal", () => `a final tail of ${tail}, and one of ${this.#sealedTail}`);
  }

  #outage(): void {
    this.#cluster.isDown = true;
    this.#after(this.#random.below(this.#random.chance(1, 2) ? 4000 : 400), () => {
      this.#cluster.isDown = false;
    });
  }

  #crash(): void {
    const number = 1 + this.#random.below(nodes);
    const node = this.#up.get(number);
    if (node === undefined) return;
    this.#crashes += 1;
    this.#up.delete(number);
    node.kill();
    this.#after(this.#random.below(3000), () => this.#guard(this.#start(number)));
  }

  #trim(): void {
    const node = this.#up.get(1 + this.#random.below(nodes));
    // With damage about, nothing is trimmed: a reader may pass over what was trimmed, but not over what was damaged.
    if (node === undefined || this.#options.damage === true || node.observer.from > 1) return;
    if (node.observer.last === 0) return;
    const upTo = Math.max(1, node.observer.last - this.#random.below(60));
    if (upTo <= node.observer.last) {
      this.#book.trimming(upTo);
      this.#guard(node.loglet.trim(lsn(upTo)));
    }
  }

  #seal(): void {
    const node = this.#up.get(1 + this.#random.below(nodes));
    if (node === undefined) return;
    this.#guard(
      node.loglet.seal().then(
        () => this.#book.sealed(),
        (error: unknown) =>
          check(error instanceof QuipuError && (this.#damaged > 0 || error.code !== "LOG_CORRUPT"), "seal", () =>
            String(error),
          ),
      ),
    );
  }

  /** Nodes start before a batch that somebody removed or changed; nothing else goes wrong from there on. */
  #damage(): void {
    this.#endFaults();
    for (const [, log] of this.#cluster.logs) {
      const { nextBatch } = log.head();
      if (nextBatch < 4) continue;
      for (const node of this.#up.values()) node.kill();
      this.#up.clear();
      const number = 1 + this.#random.below(nextBatch - 1);
      const [bytes = new Uint8Array(40)] = log.read(number, nextBatch, 1);
      const changed = bytes.slice();
      changed[this.#random.below(changed.length)] = this.#random.below(256);
      const removed = this.#random.chance(1, 2) || changed.every((byte, i) => byte === bytes[i]);
      log.damage(number, removed ? undefined : changed);
      this.#damaged = number;
      this.#book.damaged();
      for (let node = 1; node <= nodes; node++) this.#guard(this.#readDamaged(number));
    }
  }

  async #readDamaged(number: number): Promise<void> {
    const loglet = await this.#engine({ alive: true }).open(this.#parameters);
    const observer = this.#book.observer(`reader of damaged batch ${number}`, 1);
    loglet.read(lsn(1), (delivery) => this.#guardNow(() => observer.take(delivery)));
    await this.#pause(5000);
    check(this.#onDamageCalls > 0, "corruption-accepted", () => `nobody says that batch ${number} is damaged`);
  }

  #onDamageCalls = 0;

  #onDamage(error: QuipuError): void {
    this.#onDamageCalls += 1;
    this.#guardNow(() =>
      check(
        this.#damaged > 0 && error.message.includes(`batch ${this.#damaged}:`),
        "fatal-without-fault",
        () => error.message,
      ),
    );
  }

  /** No more faults: everything gets an outcome, and everyone sees the same. */
  async #heal(): Promise<void> {
    this.#endFaults();
    if (this.#options.damage === true) return;
    await this.#runUntil(() => this.#book.open === 0, "appends have no outcome");
    for (const { loglet, observer } of this.#up.values()) await this.#compare(loglet, observer);
    const fresh = await this.#settled(this.#engine({ alive: true }).open(this.#parameters), "open");
    const observer = this.#book.observer("last reader", 1);
    fresh.read(lsn(1), (delivery) => observer.take(delivery));
    await this.#compare(fresh, observer);
    this.#book.check(this.#sealedTail);
  }

  #endFaults(): void {
    this.#faultsEnd = true;
    this.#cluster.faults = { ...noFaults, delayMsMax: 2 };
    this.#cluster.isDown = false;
  }

  async #compare(loglet: Loglet, observer: LogObserver): Promise<void> {
    const { tail, sealed } = await this.#settled(loglet.tail(), `tail of ${observer.name}`);
    if (sealed) this.#checkSealed(tail);
    // It began above all that there is.
    if (observer.from >= tail) return;
    await this.#runUntil(() => observer.last >= tail - 1, `${observer.name} has not read up to ${tail}`);
    check(observer.last === tail - 1, "record-changed", () => `${observer.name} read ${observer.last}, tail ${tail}`);
  }

  async #settled<Result>(promise: Promise<Result>, name: string): Promise<Result> {
    let isDone = false;
    const done = promise.finally(() => (isDone = true));
    done.catch(() => undefined);
    await this.#runUntil(() => isDone, `${name}: no answer`);
    return done;
  }

  async #runUntil(condition: () => boolean, late: string): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + restMsMax;
    for (;;) {
      await allMicrotasks();
      if (this.#failure !== undefined) throw this.#failure;
      if (condition()) return;
      check(this.#scheduler.step(), "not-live", () => `${late}, and nothing will happen any more`);
      check(this.#clock.monotonicMs() < untilMs, "not-live", () => late);
    }
  }

  #result(): ExternalSimulationResult {
    let batches = 0;
    for (const log of this.#cluster.logs.values()) batches += log.head().nextBatch - 1;
    const { acknowledged, unknown, refused, positions } = this.#book;
    const virtualMs = this.#clock.monotonicMs();
    return { acknowledged, unknown, refused, positions, crashes: this.#crashes, batches, virtualMs };
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#after(ms, resolve));
  }

  #after(ms: number, action: () => void): void {
    this.#clock.setTimer(ms, () => this.#guardNow(action));
  }

  #every(msMax: number, action: () => void): void {
    this.#after(this.#random.below(msMax), () => {
      if (this.#faultsEnd) return;
      action();
      this.#every(msMax, action);
    });
  }

  #guard(promise: Promise<unknown>): void {
    promise.catch((error: unknown) => (this.#failure ??= asError(error)));
  }

  #guardNow(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#failure ??= asError(error);
    }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Resolves when no microtask is left: the only place that touches the real event loop, and no result depends on it. */
function allMicrotasks(): Promise<void> {
  // oxlint-disable-next-line no-restricted-globals -- a barrier behind the microtasks of one event, not a timer
  return new Promise((resolve) => setImmediate(resolve));
}
