/** Nodes on their way into a cell: simulated disks, a clock that tests move, and a control channel that loses, repeats and delays. */
import { type Clock, type Random, SeededRandom } from "@quipu/core";
import { SimulatedDisk, SimulatedKeyValueStore } from "@quipu/simulator";
import { type CellMembership, type FoundingLink, FoundingResponder, prepareCell } from "../src/mod.ts";
import type { FoundingMutation } from "../src/mutation.ts";
import { ManualClock } from "./manual-clock.ts";

const complete = (action: () => void): void => queueMicrotask(action);

interface Life {
  isAlive: boolean;
  handler: ((from: string, message: unknown) => void) | undefined;
}

export class FoundingHost {
  readonly name: string;
  disk: SimulatedDisk;
  store: SimulatedKeyValueStore;
  /** Disks that were lost before this one. */
  wipes = 0;
  life: Life | undefined;
  membership: CellMembership | undefined;
  error: unknown;
  waiting = "";

  constructor(name: string, seed: number) {
    this.name = name;
    this.disk = new SimulatedDisk({ random: new SeededRandom(seed), complete });
    this.store = new SimulatedKeyValueStore({ random: new SeededRandom(seed), complete, pageEntries: 7 });
  }
}

export interface FoundingWorldOptions {
  readonly seed: number;
  readonly names: readonly string[];
  /** In a hundred. */
  readonly lost?: number;
  readonly delayMsMax?: number;
  readonly mutation?: FoundingMutation | undefined;
}

export class FoundingWorld {
  readonly clock = new ManualClock();
  readonly random: Random;
  readonly hosts: readonly FoundingHost[];
  readonly #options: FoundingWorldOptions;
  #seed: number;
  /** In a hundred. */
  lost: number;
  /** Asked for each message; false loses it. */
  passes: (from: string, to: string) => boolean = () => true;

  constructor(options: FoundingWorldOptions) {
    this.#options = options;
    this.random = new SeededRandom(options.seed);
    this.#seed = options.seed * 1_000;
    this.lost = options.lost ?? 0;
    this.hosts = options.names.map((name, place) => new FoundingHost(name, options.seed * 10 + place));
  }

  host(name: string): FoundingHost {
    return this.hosts.find((host) => host.name === name) as FoundingHost;
  }

  start(host: FoundingHost, names: readonly string[] = this.#options.names): void {
    const life: Life = { isAlive: true, handler: undefined };
    host.life = life;
    host.membership = undefined;
    host.error = undefined;
    const link = this.#link(host, life, names);
    const { mutation } = this.#options;
    void prepareCell({
      disk: host.disk,
      store: host.store,
      clock: livingClock(this.clock, life),
      random: new SeededRandom(this.#seed++),
      link,
      wal: { segmentBytes: 256 * 1024, frameBytesMax: 64 * 1024, groupsMax: 8 },
      onFatal: (error) => (host.error = error),
      onWaiting: (text) => (host.waiting = text),
      ...(mutation === undefined ? {} : { mutation }),
    }).then(
      (membership) => {
        if (!life.isAlive) return;
        host.membership = membership;
        const numberOf = (name: string): number | undefined => {
          const place = this.#options.names.indexOf(name);
          return place < 0 ? undefined : place + 1;
        };
        // One that joins has nothing on its disk of the cell until its node has started.
        if (membership.origin !== "joined") new FoundingResponder({ link, cell: membership.cell, numberOf });
      },
      (error: unknown) => {
        if (life.isAlive) host.error = error;
      },
    );
  }

  crash(host: FoundingHost): void {
    if (host.life !== undefined) host.life.isAlive = false;
    host.life = undefined;
    host.membership = undefined;
    host.disk = host.disk.crash("random");
    host.store = host.store.crash("random");
  }

  /** The power fails at that host's disk, so many operations from now. */
  crashAfter(host: FoundingHost, operations: number): void {
    let left = operations;
    host.disk.fault = () => {
      if (left-- === 0) this.crash(host);
      return undefined;
    };
  }

  wipe(host: FoundingHost): void {
    this.crash(host);
    const fresh = new FoundingHost(host.name, this.#seed++);
    host.disk = fresh.disk;
    host.store = fresh.store;
    host.wipes += 1;
  }

  async run(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 25) {
      this.clock.advance(25);
      await this.clock.settle();
    }
  }

  async until(holds: () => boolean, withinMs = 30_000): Promise<void> {
    for (let passedMs = 0; !holds(); passedMs += 100) {
      const states = (): string => this.hosts.map(({ name, waiting }) => `${name}: ${waiting}`).join("; ");
      if (passedMs >= withinMs) throw new Error(`not within ${withinMs} ms: ${states()}`);
      await this.run(100);
    }
  }

  #link(host: FoundingHost, life: Life, names: readonly string[]): FoundingLink {
    const { delayMsMax = 50 } = this.#options;
    const deliver = (to: string, text: string): void => {
      const delayMs = this.random.below(delayMsMax);
      this.clock.setTimer(delayMs, () => {
        if (this.passes(host.name, to)) this.host(to)?.life?.handler?.(host.name, JSON.parse(text));
      });
    };
    return {
      name: host.name,
      names,
      onMessage: (handler) => void (life.handler = handler),
      send: (to, message) => {
        if (!life.isAlive) return;
        if (!this.random.chance(this.lost, 100)) deliver(to, JSON.stringify(message));
        if (this.random.chance(this.lost, 200)) deliver(to, JSON.stringify(message));
      },
    };
  }
}

/** Of one process: dead, it does nothing more. */
function livingClock(clock: ManualClock, life: Life): Clock {
  const alive = (callback: () => void) => (): void => {
    if (life.isAlive) callback();
  };
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    setTimer: (delayMs, callback) => clock.setTimer(delayMs, alive(callback)),
    endOfTurn: (callback) => clock.endOfTurn(alive(callback)),
  };
}
