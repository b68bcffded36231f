/** Installing a snapshot: whatever moment the power fails at, the store holds the old state or the new, never a mixture. */
import { lsn, SeededRandom } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import { SimulatedKeyValueStore } from "@quipu/simulator";
import { expect, test } from "vitest";
import {
  Checkpointer,
  type FetchedSnapshot,
  installSnapshot,
  loadLogStart,
  loadMachine,
  type ShardMutation,
  SnapshotBuilder,
  tellLogStart,
} from "../src/mod.ts";
import { applyBusy, text } from "./busy-machine.ts";
import { ManualClock } from "./manual-clock.ts";
import { ScriptedLog } from "./scripted-log.ts";

const oldPosition = 25;
const newPosition = 60;

/** I/O and installs complete one by one, when the test says so. */
class Power {
  readonly #waiting: (() => void)[] = [];
  steps = 0;

  readonly complete = (action: () => void): void => void this.#waiting.push(action);

  /** Lets `steps` pieces of I/O complete; fewer if there are no more. */
  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      for (let turn = 0; turn < 500; turn++) await Promise.resolve();
      const action = this.#waiting.shift();
      if (action === undefined) return;
      this.steps += 1;
      action();
    }
    for (let turn = 0; turn < 500; turn++) await Promise.resolve();
  }
}

const clock = { endOfTurn: (callback: () => void): void => queueMicrotask(callback) };
const settings = { entriesPerSlice: 4 };

/** What the log of a node has been told, durably. */
class TestReplication {
  readonly #power: Power;
  /** At each install: up to where the store's durable state reached. */
  readonly installs: string[] = [];

  constructor(power: Power) {
    this.#power = power;
  }

  installed(start: Uint8Array): Promise<void> {
    return new Promise((resolve) =>
      this.#power.complete(() => {
        this.installs.push(new TextDecoder().decode(start));
        resolve();
      }),
    );
  }
}

async function stateOf(store: SimulatedKeyValueStore, power: Power): Promise<CounterMachine> {
  const machine = new CounterMachine();
  const loading = loadMachine(store, machine);
  await power.run(Number.POSITIVE_INFINITY);
  await loading;
  return machine;
}

/** A store with a checkpoint of `records`. */
async function storeAt(records: number, power: Power): Promise<SimulatedKeyValueStore> {
  const store = new SimulatedKeyValueStore({ random: new SeededRandom(1), complete: power.complete, pageEntries: 9 });
  const machine = new CounterMachine();
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const checkpointer = new Checkpointer({ store, machine, log: new ScriptedLog(), clock: new ManualClock(), onFatal });
  applyBusy(machine, 1, records);
  const written = checkpointer.checkpoint();
  await power.run(Number.POSITIVE_INFINITY);
  await written;
  return store;
}

function snapshotAt(records: number): { readonly fetched: FetchedSnapshot; readonly hash: string } {
  const machine = new CounterMachine();
  applyBusy(machine, 1, records);
  const builder = new SnapshotBuilder(lsn(records), machine.stateHash(), 1_000_000);
  for (const { key, value } of machine.snapshot()) builder.add(key, value);
  const bytes = builder.finish();
  return {
    fetched: { position: lsn(records), bytes: bytes.read(0, bytes.totalBytes), logStart: text(`start ${records}`) },
    hash: machine.stateHash(),
  };
}

/** Installs, and lets the power fail after `steps` pieces of I/O. Returns what the next start finds. */
async function crashAfter(
  steps: number,
  keeps: "all" | "none",
  mutation?: ShardMutation,
): Promise<{
  readonly position: number;
  readonly hash: string;
  readonly told: readonly string[];
  readonly toldAtStart: readonly string[];
  readonly isOver: boolean;
}> {
  const power = new Power();
  const store = await storeAt(oldPosition, power);
  const before = power.steps;
  const replication = new TestReplication(power);
  const { fetched } = snapshotAt(newPosition);
  const options = { store, member: 1, replication, clock, settings, ...(mutation === undefined ? {} : { mutation }) };
  void installSnapshot(fetched, options);
  await power.run(steps);
  const isOver = power.steps - before < steps;
  const found = store.crash(keeps);
  const machine = await stateOf(found, power);
  const atStart = new TestReplication(power);
  const repaired = loadLogStart(found).then((stored) => tellLogStart(stored, 1, atStart));
  await power.run(Number.POSITIVE_INFINITY);
  await repaired;
  return {
    position: machine.appliedLsn,
    hash: machine.stateHash(),
    told: replication.installs,
    toldAtStart: atStart.installs,
    isOver,
  };
}

test("a crash at any step leaves the old state or the new one, and the log never begins above the state", async () => {
  const hashes: Record<number, string> = {
    [oldPosition]: snapshotAt(oldPosition).hash,
    [newPosition]: snapshotAt(newPosition).hash,
  };
  const seen = new Set<string>();
  for (const keeps of ["all", "none"] as const) {
    for (let steps = 0, isOver = false; !isOver; steps++) {
      const found = await crashAfter(steps, keeps);
      isOver = found.isOver;
      expect(found.hash).toBe(hashes[found.position]);
      const isNew = found.position === newPosition;
      // The log was told only where the new state is found, and hears it then, at the latest, at the next start.
      if (!isNew) expect([...found.told, ...found.toldAtStart]).toEqual([]);
      else expect(new Set([...found.told, ...found.toldAtStart])).toEqual(new Set(["start 60"]));
      seen.add(`${isNew ? "new" : "old"}, told ${found.told.length}, at start ${found.toldAtStart.length}`);
      if (isOver) expect(isNew).toBe(true);
    }
  }
  // All three kinds of crash were met: before the state was durable, between state and log, after both.
  expect(seen).toContain("old, told 0, at start 0");
  expect(seen).toContain("new, told 0, at start 1");
  expect([...seen].some((what) => what.startsWith("new, told 1"))).toBe(true);
});

test("mutation: telling the log first leaves a log that begins above the state", async () => {
  const lost: string[] = [];
  for (let steps = 0, isOver = false; !isOver; steps++) {
    const found = await crashAfter(steps, "none", "install-before-store-sync");
    isOver = found.isOver;
    if (found.position === oldPosition && found.told.length > 0) lost.push(...found.told);
  }
  expect(lost.length).toBeGreaterThan(0);
});

test("a snapshot replaces keys that it does not have", async () => {
  const power = new Power();
  const store = await storeAt(200, power);
  const { fetched, hash } = snapshotAt(newPosition);
  const replication = new TestReplication(power);
  const installed = installSnapshot(fetched, { store, member: 1, replication, clock, settings });
  await power.run(Number.POSITIVE_INFINITY);
  await installed;
  const machine = await stateOf(store, power);
  expect(machine.stateHash()).toBe(hash);
});
