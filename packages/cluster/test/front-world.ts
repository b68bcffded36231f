/** Fronts of a model service, in real turns of the event loop: time goes on only by timers, one after another. */
import { type Clock, type Int64, type QuipuError, SeededRandom } from "@quipu/core";
import type { OutcomeValue } from "@quipu/counters";
import { externalEngine, memoryMetadataStore, type MetadataStore } from "@quipu/log";
import { ModelCluster, SimulatedKeyValueStore } from "@quipu/simulator";
import { type Caller, FrontNode, type FrontNodeSettings } from "../src/mod.ts";
import { text } from "./busy-machine.ts";

export class TimerClock implements Clock {
  #nowMs = 1_000;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];
  #isTurning = false;

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    this.#turn();
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  endOfTurn(callback: () => void): void {
    setImmediate(callback);
  }

  #turn(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    setImmediate(() => {
      this.#isTurning = false;
      const [next] = this.#timers.toSorted((left, right) => left.atMs - right.atMs);
      if (next === undefined) return;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#turn();
      next.callback();
    });
  }
}

export class FrontDisk {
  metadata: MetadataStore = memoryMetadataStore();
  store: SimulatedKeyValueStore;

  constructor(seed: number) {
    this.store = new SimulatedKeyValueStore({ random: new SeededRandom(seed), complete: queueMicrotask });
  }
}

export class FrontWorld {
  readonly clock: TimerClock = new TimerClock();
  readonly cluster: ModelCluster;
  readonly fatal: unknown[] = [];
  readonly waiting: (string | undefined)[] = [];
  readonly nodes: FrontNode[] = [];
  settings: FrontNodeSettings = {
    checkpoints: { intervalMs: 200 },
    publisher: { logRecordsMin: 20, lookMs: 100 },
  };
  #seed = 1;

  /** `bytesMax`: of the log; more the service does not take. */
  constructor(bytesMax: number = Number.POSITIVE_INFINITY) {
    this.cluster = new ModelCluster({ clock: this.clock, random: this.#random(), bytesMax });
  }

  disk(): FrontDisk {
    return new FrontDisk(this.#seed++);
  }

  make(disk: FrontDisk): FrontNode {
    const { clock, cluster } = this;
    const random = this.#random();
    const service = cluster.connect();
    const node = new FrontNode({
      home: { engine: "model", prefix: "/quipu" },
      service,
      engines: {
        model: externalEngine({ service, clock, random }),
        other: externalEngine({ service: cluster.connect(), clock, random }),
      },
      metadata: disk.metadata,
      store: disk.store,
      clock,
      random,
      settings: this.settings,
      onWaiting: (what) => this.waiting.push(what),
      onFatal: (error) => this.fatal.push(error),
    });
    this.nodes.push(node);
    return node;
  }

  async start(disk: FrontDisk): Promise<FrontNode> {
    const node = this.make(disk);
    await node.start();
    return node;
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + 20_000;
    while (!isSo()) {
      if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${what}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #random(): SeededRandom {
    return new SeededRandom(this.#seed++);
  }
}

class Once implements Caller {
  readonly reply: Promise<Int64 | OutcomeValue | QuipuError>;
  #resolve: (reply: Int64 | OutcomeValue | QuipuError) => void = () => undefined;

  constructor() {
    this.reply = new Promise((resolve) => (this.#resolve = resolve));
  }

  deliverInteger(_tag: number, value: Int64): void {
    this.#resolve(value);
  }

  deliver(_tag: number, outcome: OutcomeValue): void {
    this.#resolve(outcome);
  }

  fail(_tag: number, error: QuipuError): void {
    this.#resolve(error);
  }

  ride(): void {
    // Of connections only.
  }

  flush(): void {
    // Every reply is taken at once.
  }
}

/** The new value, or the error. */
export function add(node: FrontNode, key: string): Promise<unknown> {
  const caller = new Once();
  const bytes = text(key);
  node.shard?.door.add(caller, 0, 0, bytes, 0, bytes.length, 1);
  return caller.reply;
}

/** The present value, linearizable, or the error. */
export function read(node: FrontNode, key: string): Promise<unknown> {
  const caller = new Once();
  node.shard?.door.read(caller, 0, { type: "get", database: 0, key: text(key) });
  return caller.reply;
}
