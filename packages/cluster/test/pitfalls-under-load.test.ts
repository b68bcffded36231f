/**
 * Mistakes that other implementations made, one test each, named by the case (research list P15–P17, as far as they
 * concern whole nodes): clocks that cannot be relied on, sessions that are gone, members that stay behind.
 */
import { type Clock, SeededRandom } from "@quipu/core";
import type { Command } from "@quipu/counters";
import { describe, expect, test } from "vitest";
import type { CellMutations } from "../src/mod.ts";
import { text } from "./busy-machine.ts";
import { RecordingCaller } from "./recording-caller.ts";
import { TestCell } from "./test-cell.ts";

const hourMs = 3_600_000;

const snapshots = { chunkBytes: 512, windowChunks: 4, chunkTimeoutMs: 100, peerPatienceMs: 1_000, idleMs: 1_500 };

const allFine = (cell: TestCell): void => {
  for (const { fatal } of cell.hosts) expect(fatal).toEqual([]);
};

/** One node's clock, apart from the others'. While it stands still no timer of the node comes due. */
class OwnClock implements Clock {
  readonly #true: Clock;
  #standsAtMs: number | undefined;
  #aheadMs = 0;
  wallAheadMs = 0;
  /** The process does not run: turns do not end either. */
  isPaused = false;
  #held: (() => void)[] = [];

  constructor(trueClock: Clock) {
    this.#true = trueClock;
  }

  monotonicMs(): number {
    return this.#standsAtMs ?? this.#true.monotonicMs() + this.#aheadMs;
  }

  wallMs(): number {
    return this.#true.wallMs() + this.wallAheadMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { isCancelled: false };
    const fire = (): void => {
      if (timer.isCancelled) return;
      if (this.#standsAtMs === undefined) callback();
      else this.#held.push(fire);
    };
    this.#true.setTimer(delayMs, fire);
    return () => {
      timer.isCancelled = true;
    };
  }

  endOfTurn(callback: () => void): void {
    this.#true.endOfTurn(() => (this.isPaused ? this.#held.push(callback) : callback()));
  }

  stand(): void {
    this.#standsAtMs = this.monotonicMs();
  }

  /** From where it stood, or ahead of there. What came due meanwhile is left to {@link catchUp}. */
  goOn(aheadMs: number): void {
    this.#aheadMs = this.monotonicMs() + aheadMs - this.#true.monotonicMs();
    this.#standsAtMs = undefined;
    this.isPaused = false;
  }

  catchUp(): void {
    for (const action of this.#held.splice(0)) action();
  }
}

/** Three nodes with a clock each; "a" is 1, and the leader has answered a read. */
class Pausing {
  readonly cell: TestCell;
  readonly clocks: readonly OwnClock[];
  readonly #frames: (() => void)[] = [];
  /** Runs on the clock that stops. */
  old = 0;

  constructor(mutations: CellMutations = {}) {
    this.cell = new TestCell(3, { mutations });
    this.clocks = this.cell.hosts.map(() => new OwnClock(this.cell.clock));
  }

  async start(): Promise<void> {
    const { cell } = this;
    for (const { number } of cell.hosts) void cell.start(number, false, { clock: this.clock(number) });
    await cell.until(() => cell.hosts.every(({ node }) => node?.isServing === true) && cell.leader > 0);
    this.old = cell.leader;
    expect(await cell.add(this.old, "a")).toBe("1:1");
    expect(await cell.read(this.old, "a")).toBe("1:1");
  }

  clock(number: number): OwnClock {
    return this.clocks[number - 1] as OwnClock;
  }

  /** The leader does not run, frames for it queue up; the others go on without it, and "a" becomes 2. */
  async pause(): Promise<void> {
    const { cell, old } = this;
    const host = cell.host(old);
    const clock = this.clock(old);
    const { onFrame } = host;
    host.onFrame = (from, frame) => {
      if (clock.isPaused) this.#frames.push(() => onFrame?.(from, frame));
      else onFrame?.(from, frame);
    };
    cell.passes = (from) => from !== old || !clock.isPaused;
    clock.isPaused = true;
    clock.stand();
    await this.others();
    expect(cell.host(old).up.logGroup?.inspect().role).toBe("leader");
  }

  async others(): Promise<void> {
    const { cell, old } = this;
    const leads = (number: number): boolean => cell.host(number).up.logGroup?.inspect().role === "leader";
    const others = [1, 2, 3].filter((number) => number !== old);
    await cell.until(() => others.some(leads));
    expect(await cell.add(others.find(leads) as number, "a")).toBe("1:2");
  }

  /** Asks the old leader; the answer comes in time. */
  ask(): RecordingCaller {
    const caller = new RecordingCaller();
    this.cell.host(this.old).up.door.read(caller, 1, { type: "get", database: 0, key: text("a") });
    return caller;
  }

  /** The node runs again: what came due, then what came in. */
  catchUp(): void {
    this.clock(this.old).catchUp();
    for (const frame of this.#frames.splice(0)) frame();
  }
}

/** An answer of the present, or none. */
const presentOrNone = ["1:2", "1:!OVERLOADED/definite"];

describe("P15 leases under drift, pause, suspend: there are none, and a leader does not answer from the past", () => {
  async function firstAnswer(aheadMs: number, wallAheadMs: number, mutations: CellMutations = {}): Promise<string> {
    const world = new Pausing(mutations);
    await world.start();
    await world.pause();
    const clock = world.clock(world.old);
    clock.goOn(aheadMs);
    clock.wallAheadMs = wallAheadMs;
    const { replies } = world.ask();
    // Its own promises and turns first, before any timer or frame tells it that something has happened.
    await world.cell.clock.settle();
    world.catchUp();
    await world.cell.until(() => replies.length > 0);
    await world.cell.until(() => world.cell.leader > 0);
    if (Object.keys(mutations).length === 0) expect(await world.cell.read(world.old, "a")).toBe("1:2");
    allFine(world.cell);
    return replies[0] as string;
  }

  test.each([
    ["has stood still", 0, 0],
    ["has run on", 2_000, 0],
    ["jumps ahead by an hour", hourMs, hourMs],
    ["has stood still, and the wall clock is set back by an hour", 0, -hourMs],
  ])("a paused leader whose clock %s", async (_, aheadMs, wallAheadMs) => {
    expect(presentOrNone).toContain(await firstAnswer(aheadMs, wallAheadMs));
  });

  test("a leader that runs, though its clock stands still, answers nothing while it is cut off", async () => {
    const world = new Pausing();
    await world.start();
    const { cell, old } = world;
    world.clock(old).stand();
    cell.host(old).isCut = true;
    await world.others();
    // It never hears of a tick: it would believe to lead for ever.
    expect(cell.host(old).up.logGroup?.inspect().role).toBe("leader");
    const { replies } = world.ask();
    await cell.run(10_000);
    expect(replies).toEqual([]);
    cell.host(old).isCut = false;
    await cell.run(1_000);
    world.clock(old).goOn(0);
    world.catchUp();
    await cell.until(() => replies.length > 0);
    expect(presentOrNone).toContain(replies[0]);
    expect(await cell.read(old, "a")).toBe("1:2");
    allFine(cell);
  });

  test.each<CellMutations>([{ engine: "barrier-answer-cached" }, { replica: "read-ignores-tail" }])(
    "with %o it would answer from the past",
    async (mutations) => {
      expect(await firstAnswer(0, 0, mutations)).toBe("1:1");
    },
  );
});

async function write(cell: TestCell, number: number, command: Command): Promise<string> {
  const caller = new RecordingCaller();
  cell.host(number).up.door.write(caller, 1, command);
  await cell.until(() => caller.replies.length > 0);
  return caller.replies[0] as string;
}

describe("P16 tigerbeetle on_client_eviction: a session that is gone must not be taken for a new one", () => {
  const lifetimeMs = 12_000;

  test("through whatever node, a retry is answered from the snapshot, and refused for ever once the session expired", async () => {
    const cell = new TestCell(3, { settings: { raft: { followerPinBytesMax: 0 }, snapshots } });
    await cell.startAll();
    const expiresAtMs = cell.host(1).up.door.stampNowMs() + lifetimeMs;
    const add = { type: "add", database: 0, key: text("a"), delta: 1 } as const;
    const batch = (number: number): Command => {
      return { type: "session", session: text("s"), expiresAtMs, number, lowestOpen: 1, operations: [add] };
    };
    /** Another node has lost its disk, and gets everything by a snapshot. */
    const replace = async (number: number): Promise<void> => {
      cell.crash(number);
      cell.host(number).wipe();
      const others = [1, 2, 3].filter((other) => other !== number);
      await cell.add(others[0] as number, "b");
      for (const other of others) await cell.host(other).up.checkpoint();
      await cell.run(2_000);
      void cell.start(number, true);
      await cell.until(() => cell.host(number).node?.isServing === true);
      expect(cell.host(number).up.shard.status.snapshotsInstalled).toBe(1);
    };

    expect(await write(cell, 1, batch(1))).toContain("0 [1]");
    await replace(3);
    expect(await write(cell, 3, batch(1))).toContain("1 [1]");
    expect(await write(cell, 3, batch(2))).toContain("0 [2]");
    await cell.run(lifetimeMs);
    for (const number of [1, 2, 3]) expect(await write(cell, number, batch(1))).toBe("1:!SESSION_EXPIRED");
    expect(cell.host(1).up.machine.statistics.sessions).toBe(0);
    // The snapshot knows nothing of it any more; whoever starts from it refuses all the same.
    await replace(2);
    for (const number of [1, 2, 3]) {
      for (const old of [1, 2, 3]) expect(await write(cell, number, batch(old))).toBe("1:!SESSION_EXPIRED");
      expect(await cell.read(number, "a")).toBe("1:2");
    }
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });
});

/** A cell under load that does not wait for anybody; how much log its members keep, at worst. */
class Load {
  readonly cell: TestCell;
  readonly caller: RecordingCaller = new RecordingCaller();
  isOn = true;
  #tag = 0;
  /** Entries of the log in the memory of a member that can be heard. */
  retainedMax = 0;

  constructor(cell: TestCell) {
    this.cell = cell;
  }

  /** One record every 10 ms, to 50 keys by turns. */
  async until(holds: () => boolean, through: number, withinMs?: number): Promise<void> {
    const { cell } = this;
    await cell.until(() => {
      const key = text(`key ${++this.#tag % 50}`);
      cell.host(through).up.door.add(this.caller, this.#tag, 0, key, 0, key.length, 1);
      for (const { node } of cell.hosts) {
        const view = node?.logGroup?.inspect();
        if (view !== undefined) this.retainedMax = Math.max(this.retainedMax, view.last - view.start.index);
      }
      return holds();
    }, withinMs);
  }

  async forRecords(count: number, through: number): Promise<void> {
    const end = this.#tag + count;
    await this.until(() => this.#tag >= end, through);
  }
}

describe("P17 tigerbeetle, June 2025: a member that lags under sustained load never catches up", () => {
  const kibibyte = 1024;
  const checkpoints = { intervalMs: 300 };

  /** A cell under load, one member of which gets only so many of a hundred frames for a while. */
  async function lagging(
    raft: { readonly followerPinBytesMax: number },
    percent: number,
    records: number,
  ): Promise<{ load: Load; behind: number; snapshotsInstalled: number }> {
    const cell = new TestCell(3, {
      settings: { raft, checkpoints, snapshots: { ...snapshots, heldLogBytesMax: 16 * kibibyte } },
    });
    await cell.startAll();
    await cell.until(() => cell.leader > 0);
    const behind = cell.leader === 3 ? 2 : 3;
    const through = [1, 2, 3].find((number) => number !== behind) as number;
    const load = new Load(cell);
    await load.forRecords(100, through);
    const random = new SeededRandom(17);
    cell.passes = (_, to) => to !== behind || random.chance(percent, 100);
    await load.forRecords(records, through);
    cell.passes = () => true;
    // The load goes on all the while.
    const lag = (): number => cell.host(through).up.machine.appliedLsn - cell.host(behind).up.machine.appliedLsn;
    await load.until(() => cell.host(behind).up.isServing && lag() <= 5, through, 20_000);
    await load.forRecords(100, through);
    expect(lag()).toBeLessThanOrEqual(5);
    await cell.run(1_000);
    expect(new Set(await cell.hashes()).size).toBe(1);
    expect(load.caller.replies.filter((reply) => reply.includes("!"))).toEqual([]);
    allFine(cell);
    return { load, behind, snapshotsInstalled: cell.host(behind).up.shard.status.snapshotsInstalled };
  }

  test.each([0, 5])(
    "it gets %i of 100 frames: a snapshot, and the log that is kept meanwhile is bounded",
    async (percent) => {
      const { load, snapshotsInstalled } = await lagging({ followerPinBytesMax: 8 * kibibyte }, percent, 2_000);
      expect(snapshotsInstalled).toBeGreaterThan(0);
      // Of more than 2,000: what it may pin, what a transfer holds, and what comes between two checkpoints.
      expect(load.retainedMax).toBeLessThan(500);
    },
  );

  test("one that was away for a moment gets the log, and no snapshot", async () => {
    const { load, snapshotsInstalled } = await lagging({ followerPinBytesMax: 256 * kibibyte }, 0, 150);
    expect(snapshotsInstalled).toBe(0);
    expect(load.retainedMax).toBeLessThan(1_000);
  });

  test("where nothing may be trimmed callers are refused, definitely, before memory is full; and served when there is room", async () => {
    const raft = { followerPinBytesMax: 8 * kibibyte, core: { retainedBytesMax: 32 * kibibyte } };
    const cell = new TestCell(3, { settings: { raft, checkpoints: { intervalMs: 10_000_000 }, snapshots } });
    await cell.startAll();
    const load = new Load(cell);
    await load.until(() => load.caller.replies.some((reply) => reply.includes("!")), 1);
    const { retainedMax } = load;
    // 32 KiB at some 80 bytes for a record.
    expect(retainedMax).toBeLessThan(1_000);
    await load.forRecords(200, 1);
    expect(load.retainedMax).toBeLessThan(retainedMax + 20);
    const refusals = load.caller.replies.filter((reply) => reply.includes("!"));
    expect(refusals.length).toBeGreaterThan(100);
    for (const refusal of refusals) expect(refusal).toContain("!OVERLOADED/definite");
    for (const { number } of cell.hosts) await cell.host(number).up.checkpoint();
    await cell.run(2_000);
    expect(await cell.add(1, "after")).toBe("1:1");
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });
});
