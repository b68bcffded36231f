/**
 * Mistakes that other implementations made, one test each, named by the case (research list P1, P2, P12, as far as they
 * concern whole nodes). P15–P17 are in pitfalls-under-load.test.ts, others in the consensus, log and counters packages.
 */
import type { Clock, KeyValueBatch, KeyValueStore } from "@quipu/core";
import type { ConsensusGroup } from "@quipu/log";
import { CounterMachine } from "@quipu/counters";
import { describe, expect, test } from "vitest";
import { type CellNodeOptions, loadMachine } from "../src/mod.ts";
import { TestCell, type TestHost } from "./test-cell.ts";

/** Followers that lag are not waited for, snapshots have many chunks, and checkpoints come when the test says so. */
const settings = {
  raft: { followerPinBytesMax: 0 },
  snapshots: { chunkBytes: 128, windowChunks: 4, chunkTimeoutMs: 100, peerPatienceMs: 1_000, idleMs: 1_500 },
  checkpoints: { intervalMs: 10_000_000 },
};

const allFine = (cell: TestCell): void => {
  for (const { fatal } of cell.hosts) expect(fatal).toEqual([]);
};

const addMany = async (cell: TestCell, number: number, count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await cell.add(number, `key ${i}`);
};

/** Whatever a majority has in its state stores is no longer in any log. */
const trimAll = async (cell: TestCell, numbers: readonly number[]): Promise<void> => {
  for (const number of numbers) await cell.host(number).up.checkpoint();
  await cell.run(2_500);
};

const storeMs = 20;

/** A node's power: fails before the piece of I/O, of disk or store, that the test names. */
class Power {
  readonly #clock: Pick<Clock, "setTimer">;
  readonly #host: TestHost;
  readonly #keeps: "all" | "none";
  isOn = true;
  #left: number;

  constructor(cell: TestCell, number: number, keeps: "all" | "none", operations: number) {
    this.#clock = cell.clock;
    this.#host = cell.host(number);
    this.#keeps = keeps;
    this.#left = operations;
  }

  /** Begins to count. */
  watch(): void {
    this.#host.disk.fault = () => {
      this.#operation();
      return undefined;
    };
  }

  /** The node's store, with a fuse. */
  get store(): KeyValueStore {
    const { store } = this.#host;
    const batch = (): KeyValueBatch => {
      const inner = store.batch();
      return Object.assign(Object.create(inner) as KeyValueBatch, {
        put: inner.put.bind(inner),
        delete: inner.delete.bind(inner),
        write: async (options: { readonly sync: boolean }) => {
          this.#operation();
          // Slower than the log: what should wait for it does not seem to by luck.
          await new Promise<void>((resolve) => void this.#clock.setTimer(storeMs, resolve));
          this.#operation();
          return inner.write(options);
        },
        abandon: () => inner.abandon(),
      });
    };
    return {
      get: (key) => store.get(key),
      batch,
      entries: (from, to) => store.entries(from, to),
      close: () => store.close(),
    };
  }

  off(): void {
    if (!this.isOn) return;
    this.isOn = false;
    const host = this.#host;
    host.disk = host.disk.crash(this.#keeps);
    host.store = host.store.crash(this.#keeps);
    host.onFrame = undefined;
    host.node = undefined;
  }

  #operation(): void {
    if (--this.#left < 0) this.off();
  }
}

/** Hashes of the state at each position, of all nodes and all their lives. */
class HashLedger {
  readonly #hashes: Map<number, string> = new Map();
  readonly #last: Map<number, number> = new Map();
  readonly differences: string[] = [];
  /** How often a second node was at a position. */
  compared = 0;

  /** Every node where it stands. */
  look(cell: TestCell): void {
    for (const { number, node } of cell.hosts) {
      if (node?.isServing !== true) continue;
      const { machine } = node;
      if (this.#last.get(number) === machine.appliedLsn) continue;
      this.#last.set(number, machine.appliedLsn);
      const hash = machine.stateHash();
      const known = this.#hashes.get(machine.appliedLsn);
      if (known !== undefined) this.compared++;
      if (known !== undefined && known !== hash) this.differences.push(`node ${number} at ${machine.appliedLsn}`);
      this.#hashes.set(machine.appliedLsn, known ?? hash);
    }
  }
}

const storedPosition = async (cell: TestCell, number: number): Promise<number> => {
  const machine = new CounterMachine();
  await loadMachine(cell.host(number).store, machine);
  return machine.appliedLsn;
};

describe("P1 etcd 13766: the applied index was durable without the state; replicas differed and nobody looked", () => {
  /** Node 3 loses its power during checkpoints, at one piece of I/O later each time. */
  async function crashesInCheckpoints(options: Partial<CellNodeOptions>): Promise<HashLedger> {
    const ledger = new HashLedger();
    const cell = new TestCell(3, { settings, observeGroup: () => ledger.look(cell), ...options });
    await cell.startAll();
    for (let operations = 0, isOver = false; !isOver && ledger.differences.length === 0; operations++) {
      cell.crash(3);
      const power = new Power(cell, 3, operations % 2 === 0 ? "all" : "none", operations);
      void cell.start(3, false, { store: power.store });
      await cell.until(() => cell.host(3).node?.isServing === true);
      await addMany(cell, 1, 4);
      await cell.hashes();
      power.watch();
      const written = cell
        .host(3)
        .up.checkpoint()
        .then(() => (isOver = true));
      written.catch(() => undefined);
      await cell.until(() => isOver || !power.isOn);
      cell.host(3).disk.fault = undefined;
      power.off();
      void cell.start(3);
      await cell.until(() => cell.host(3).node?.isServing === true);
      await addMany(cell, 2, 1);
      await cell.hashes();
    }
    allFine(cell);
    return ledger;
  }

  test("at whatever I/O a checkpoint is cut short, replicas at one position have one state", async () => {
    const { differences, compared } = await crashesInCheckpoints({});
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(20);
  });

  test("position and state in two batches: the hashes at equal positions show it", async () => {
    const mutations = { checkpointer: "position-not-atomic-with-state" } as const;
    const { differences } = await crashesInCheckpoints({ mutations });
    expect(differences).not.toEqual([]);
  });
});

describe("P2 etcd 14685, 17780: upkeep that a crash interrupts loses data, or goes back", () => {
  /** Node 3 serves again. Resolves to where its log began, as it was found. */
  async function startAgain(cell: TestCell): Promise<number> {
    let found: number | undefined;
    const observeGroup = (group: number, raft: ConsensusGroup): void => {
      if (group > 1) found ??= raft.inspect().start.index;
    };
    void cell.start(3, false, { observeGroup });
    await cell.until(() => cell.host(3).node?.isServing === true);
    return found ?? Number.NaN;
  }

  test.each(["all", "none"] as const)("checkpoint and trim: the power fails at each I/O, keeps %s", async (keeps) => {
    const cell = new TestCell(3, { settings });
    await cell.startAll();
    let adds = 0;
    for (let operations = 0, isOver = false; !isOver; operations++) {
      const power = new Power(cell, 3, keeps, operations);
      cell.crash(3);
      void cell.start(3, false, { store: power.store });
      await cell.until(() => cell.host(3).node?.isServing === true);
      await cell.add(1, "a");
      adds++;
      await cell.hashes();
      // The others have said how far they reach: what this one says next is trimmed at once.
      for (const number of [1, 2]) await cell.host(number).up.checkpoint();
      await cell.run(1_500);
      const appliedBefore = cell.host(3).up.machine.appliedLsn;
      const storedBefore = await storedPosition(cell, 3);
      power.watch();
      let isWritten = false;
      void cell
        .host(3)
        .up.checkpoint()
        .then(() => (isWritten = true))
        .catch(() => undefined);
      const isTrimmed = (): boolean =>
        isWritten && (cell.host(3).node?.logGroup?.inspect().start.index ?? 0) >= appliedBefore;
      await cell.until(() => isTrimmed() || !power.isOn);
      if (power.isOn) await cell.run(200);
      isOver = power.isOn;
      cell.host(3).disk.fault = undefined;
      power.off();
      const stored = await storedPosition(cell, 3);
      expect(stored).toBeGreaterThanOrEqual(storedBefore);
      // What is gone from the log stands in the store, and nothing that was applied is undone.
      expect(await startAgain(cell)).toBeLessThanOrEqual(stored);
      expect(cell.host(3).up.machine.appliedLsn).toBeGreaterThanOrEqual(appliedBefore);
      expect(cell.host(3).up.status.identity.generation).toBe(0);
      expect(await cell.read(3, "a")).toBe(`1:${adds}`);
    }
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });

  test.each(["all", "none"] as const)(
    "a snapshot is installed: the power fails at each I/O, keeps %s",
    async (keeps) => {
      const cell = new TestCell(3, { settings });
      await cell.startAll();
      await addMany(cell, 1, 20);
      let installs = 0;
      let lives = 0;
      for (let operations = 0, isOver = false; !isOver; operations++) {
        const appliedBefore = cell.host(3).up.machine.appliedLsn;
        cell.crash(3);
        const added = await cell.add(1, "a");
        await addMany(cell, 2, 3);
        await trimAll(cell, [1, 2]);
        const power = new Power(cell, 3, keeps, operations);
        power.watch();
        void cell.start(3, false, { store: power.store });
        await cell.until(() => !power.isOn || cell.host(3).node?.isServing === true);
        isOver = power.isOn;
        cell.host(3).disk.fault = undefined;
        if (!power.isOn) {
          const stored = await storedPosition(cell, 3);
          // The log begins anew above a state that is durable, or it has not begun anew.
          expect(await startAgain(cell)).toBeLessThanOrEqual(stored);
        }
        lives++;
        installs += cell.host(3).up.shard.status.snapshotsInstalled;
        expect(cell.host(3).up.machine.appliedLsn).toBeGreaterThan(appliedBefore);
        expect(await cell.read(3, "a")).toBe(added);
        expect(cell.host(3).up.status.identity.generation).toBe(0);
        expect(new Set(await cell.hashes()).size).toBe(1);
      }
      // Both kinds of crash were met: before the state was durable, and after.
      expect(installs).toBeGreaterThan(5);
      expect(lives - installs).toBeGreaterThan(5);
      allFine(cell);
    },
  );
});

describe("P12 CTRL (FAST'18): a voter whose log is damaged forgets what it acknowledged", () => {
  /**
   * Node 1 misses a write that 2 and 3 acknowledge; then 3 is down and the log of 2 is damaged. Nobody who is up has the
   * write: were 2 to vote as the member that it was, it would be lost.
   */
  async function damaged(options: Partial<CellNodeOptions>): Promise<TestCell> {
    const cell = new TestCell(3, { settings, ...options });
    await cell.startAll();
    await cell.until(() => cell.leader > 0);
    cell.host(1).isCut = true;
    await cell.until(() => cell.leader > 1);
    expect(await cell.add(2, "a")).toBe("1:1");
    for (const { number } of cell.hosts) cell.crash(number);
    cell.host(1).isCut = false;
    const { disk } = cell.host(2);
    const path = disk.paths().find((name) => name.startsWith("wal/") && disk.bytes(name).some((byte) => byte !== 0));
    disk.flipBit(path as string, 8 * 200);
    for (const number of [1, 2]) void cell.start(number);
    await cell.run(20_000);
    return cell;
  }

  test("it votes for nothing and makes no majority; under a new generation it comes back when one is there", async () => {
    const cell = await damaged({});
    expect(cell.leader).toBe(0);
    expect([1, 2].map((number) => cell.host(number).up.isServing)).toEqual([false, false]);
    const { identity, damage } = cell.host(2).up.status;
    expect(damage).toContain("wal/");
    expect(identity.generation).not.toBe(0);
    const view = cell.host(2).up.metadataGroup?.inspect();
    expect(view).toMatchObject({ member: cell.host(2).up.member, role: "follower" });
    // The member that it was would be asked, and nobody answers under its name.
    expect(cell.host(2).up.member).not.toBe(2);

    void cell.start(3);
    await cell.until(() => cell.hosts.every(({ node }) => node?.isServing === true));
    for (const number of [1, 2, 3]) expect(await cell.read(number, "a")).toBe("1:1");
    await cell.until(() => {
      const configuration = cell.host(cell.leader).up.logGroup?.inspect().configuration;
      return configuration?.voters.includes(cell.host(2).up.member) === true && configuration.outgoing.length === 0;
    });
    expect(cell.host(cell.leader).up.logGroup?.inspect().configuration.voters).not.toContain(2);
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });

  test("under its old name it would help to elect a leader that lacks what was acknowledged", async () => {
    const cell = await damaged({ mutations: { cell: "rejoin-under-old-identity" } });
    expect(await cell.read(1, "a")).toBe("1:nil");
  });
});
