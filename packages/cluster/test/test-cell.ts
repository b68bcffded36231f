/** A cell of real nodes in memory, on simulated disks and stores, one virtual clock, and a network that tests can cut. */
import type { Network } from "@quipu/core";
import { SeededRandom } from "@quipu/core";
import { SimulatedDisk, SimulatedKeyValueStore } from "@quipu/simulator";
import { CellNode, type CellNodeOptions } from "../src/mod.ts";
import { ManualClock } from "./manual-clock.ts";
import { RecordingCaller } from "./recording-caller.ts";

/** Microtasks for each piece of I/O, so that nothing completes in the call that asked for it. */
const complete = (action: () => void): void => queueMicrotask(action);

const networkMs = 1;

/** Small files: a simulated disk fills them with zeros in memory. */
const wal = { segmentBytes: 256 * 1024, frameBytesMax: 64 * 1024, groupsMax: 8 };
/** What goes into those frames. */
const raft = { appendBytesMax: 32 * 1024, persistBytesMax: 32 * 1024, core: { messageBytesMax: 32 * 1024 } };

export class TestHost {
  readonly number: number;
  disk: SimulatedDisk;
  store: SimulatedKeyValueStore;
  node: CellNode | undefined;
  member = 0;
  onFrame: ((from: number, frame: Uint8Array) => void) | undefined;
  /** Gets and sends nothing. */
  isCut = false;
  readonly fatal: unknown[] = [];

  constructor(number: number) {
    this.number = number;
    this.disk = new SimulatedDisk({ random: new SeededRandom(number), complete });
    this.store = new SimulatedKeyValueStore({ random: new SeededRandom(number), complete, pageEntries: 7 });
  }

  get up(): CellNode {
    if (this.node === undefined) throw new Error(`node ${this.number} is down`);
    return this.node;
  }

  wipe(): void {
    this.disk = new SimulatedDisk({ random: new SeededRandom(this.number + 100), complete });
    this.store = new SimulatedKeyValueStore({ random: new SeededRandom(this.number), complete, pageEntries: 7 });
  }
}

export class TestCell {
  readonly clock = new ManualClock();
  readonly hosts: readonly TestHost[];
  readonly #founders: readonly number[];
  readonly #options: Partial<CellNodeOptions>;
  /** Asked for each frame; false loses it. */
  passes: (from: number, to: number, frame: Uint8Array) => boolean = () => true;
  #seed = 1;

  constructor(hosts: number, options: Partial<CellNodeOptions> = {}, founders: number = hosts) {
    this.hosts = Array.from({ length: hosts }, (_, i) => new TestHost(i + 1));
    this.#founders = Array.from({ length: founders }, (_, i) => i + 1);
    this.#options = options;
  }

  host(number: number): TestHost {
    return this.hosts[number - 1] as TestHost;
  }

  /** Begins to start a node; it serves some time later, if the cell has a quorum. */
  start(number: number, joins = false, options: Partial<CellNodeOptions> = {}): Promise<void> {
    const host = this.host(number);
    const node = new CellNode({
      disk: host.disk,
      store: host.store,
      network: this.#network(host),
      clock: this.clock,
      random: new SeededRandom(this.#seed++),
      cell: 7,
      node: number,
      bootstrap: joins ? { type: "join" } : { type: "found", founders: this.#founders },
      onFatal: (error) => host.fatal.push(error),
      ...this.#options,
      ...options,
      settings: {
        wal,
        ...this.#options.settings,
        ...options.settings,
        raft: {
          ...raft,
          ...this.#options.settings?.raft,
          ...options.settings?.raft,
          // Of the core, too, only what a test names is another one: the rest goes with the small frames.
          core: { ...raft.core, ...this.#options.settings?.raft?.core, ...options.settings?.raft?.core },
        },
      },
    });
    host.node = node;
    const started = node.start();
    started.catch(() => undefined);
    return started;
  }

  /** Power off: what was not synced is lost. */
  crash(number: number): void {
    const host = this.host(number);
    host.disk = host.disk.crash("none");
    host.store = host.store.crash("none");
    host.onFrame = undefined;
    host.node = undefined;
  }

  async stop(number: number): Promise<void> {
    const host = this.host(number);
    const stopped = host.up.stop();
    let isStopped = false;
    void stopped.finally(() => (isStopped = true)).catch(() => undefined);
    await this.until(() => isStopped);
    await stopped;
    host.onFrame = undefined;
    host.node = undefined;
    host.store = host.store.crash("all");
  }

  async startAll(): Promise<void> {
    for (const { number } of this.hosts) void this.start(number);
    await this.until(() => this.hosts.every(({ node }) => node?.isServing === true));
  }

  async run(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 5) {
      this.clock.advance(5);
      await this.clock.settle();
    }
  }

  async until(holds: () => boolean, withinMs = 60_000): Promise<void> {
    for (let passedMs = 0; !holds(); passedMs += 10) {
      if (passedMs >= withinMs) throw new Error(`not within ${withinMs} ms`);
      await this.run(10);
    }
  }

  /** Adds to a key through a node, and waits for the reply. */
  async add(number: number, key: string, delta = 1): Promise<string> {
    const caller = new RecordingCaller();
    const bytes = new TextEncoder().encode(key);
    this.host(number).up.door.add(caller, 1, 0, bytes, 0, bytes.length, delta);
    await this.until(() => caller.replies.length > 0);
    return caller.replies[0] as string;
  }

  async read(number: number, key: string): Promise<string> {
    const caller = new RecordingCaller();
    this.host(number).up.door.read(caller, 1, { type: "get", database: 0, key: new TextEncoder().encode(key) });
    await this.until(() => caller.replies.length > 0);
    return caller.replies[0] as string;
  }

  /** The state hash of each node that is up, once all stand at one position. */
  async hashes(): Promise<readonly string[]> {
    const up = this.hosts.filter(({ node }) => node?.isServing === true).map((host) => host.up);
    await this.until(() => new Set(up.map(({ machine }) => machine.appliedLsn)).size === 1);
    return up.map(({ machine }) => machine.stateHash());
  }

  get leader(): number {
    const leads = ({ node }: TestHost): boolean => node?.logGroup?.inspect().role === "leader";
    return this.hosts.find((host) => !host.isCut && leads(host))?.number ?? 0;
  }

  #network(host: TestHost): Network {
    const life = {};
    let mine: object | undefined;
    return {
      listen: (member, onFrame) => {
        host.member = member;
        host.onFrame = onFrame;
        mine = life;
      },
      peers: () =>
        this.hosts
          .filter((other) => other !== host && other.onFrame !== undefined)
          .map(({ member }) => member)
          .sort((left, right) => left - right),
      send: (to, frame) => {
        if (mine !== life || host.isCut || host.onFrame === undefined) return;
        const from = host.member;
        const copy = frame.slice();
        this.clock.setTimer(networkMs, () => {
          const other = this.hosts.find(({ member, onFrame }) => member === to && onFrame !== undefined);
          if (other === undefined || other.isCut || !this.passes(host.number, other.number, copy)) return;
          other.onFrame?.(from, copy);
        });
      },
    };
  }
}
