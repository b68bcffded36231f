import {
  DiskError,
  InvariantViolation,
  type KeyValueBatch,
  type KeyValueStore,
  type Lsn,
  QuipuError,
} from "@quipu/core";
import { CounterMachine, RecordBuilder } from "@quipu/counters";
import { expect, test } from "vitest";
import { Checkpointer, loadMachine } from "../src/mod.ts";
import { ManualClock } from "./manual-clock.ts";
import { ScriptedLog } from "./scripted-log.ts";

const diskFull = (): QuipuError => new QuipuError("DISK_FULL", "no space");

/** As LevelDB: after a failed batch it takes nothing more before it is reopened. */
class BrittleStore implements KeyValueStore {
  readonly entriesByKey = new Map<string, Uint8Array>();
  /** What the next batch, and the next reopening, fail with. */
  failure: Error | undefined;
  reopened = 0;
  #broken = false;

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.entriesByKey.get(String(key)));
  }

  batch(): KeyValueBatch {
    if (this.#broken) throw new InvariantViolation("a batch after a failed one");
    const changes: [string, Uint8Array | undefined][] = [];
    return {
      put: (key, value) => void changes.push([String(key), value.slice()]),
      delete: (key) => void changes.push([String(key), undefined]),
      write: async () => {
        await Promise.resolve();
        this.#broken = this.failure !== undefined;
        if (this.failure !== undefined) throw this.failure;
        for (const [key, value] of changes) {
          if (value === undefined) this.entriesByKey.delete(key);
          else this.entriesByKey.set(key, value);
        }
      },
      abandon: () => Promise.resolve(),
    };
  }

  async *entries(): AsyncIterable<readonly (readonly [Uint8Array, Uint8Array])[]> {
    await Promise.resolve();
    yield [...this.entriesByKey].map(([key, value]) => [Uint8Array.from(key.split(","), Number), value] as const);
  }

  async reopen(): Promise<void> {
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    this.reopened += 1;
    this.#broken = false;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class TrimmedLog extends ScriptedLog {
  readonly trims: number[] = [];
  failure: Error | undefined;

  override trim(upTo?: Lsn): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.trims.push(upTo as number);
    return Promise.resolve();
  }
}

class World {
  readonly store = new BrittleStore();
  readonly log = new TrimmedLog();
  readonly clock = new ManualClock();
  readonly machine = new CounterMachine();
  readonly fatal: unknown[] = [];
  readonly givenUp: QuipuError[] = [];
  readonly checkpointer = new Checkpointer({
    store: this.store,
    log: this.log,
    clock: this.clock,
    machine: this.machine,
    onFatal: (error) => this.fatal.push(error),
    onGivenUp: (error) => this.givenUp.push(error),
  });
  #number = 0;

  write(key: string): void {
    const builder = new RecordBuilder();
    const bytes = new TextEncoder().encode(key);
    builder.add(0, bytes, 0, bytes.length, 1);
    const number = ++this.#number;
    this.machine.apply(number as Lsn, builder.finish({ node: 1, incarnation: 1, number }, 0));
  }

  async interval(): Promise<void> {
    this.clock.advance(6_000);
    await this.clock.settle();
  }

  async stored(): Promise<string> {
    const copy = new CounterMachine();
    await loadMachine(this.store, copy);
    return copy.stateHash();
  }
}

test("a checkpoint on a full disk is given up and made up for later; the log stays whole until then", async () => {
  const world = new World();
  const { store, log, checkpointer, machine } = world;
  checkpointer.start();
  world.write("a");
  store.failure = diskFull();
  await world.interval();
  expect(world.givenUp).toHaveLength(1);
  expect(log.trims).toEqual([]);
  expect(machine.dirtyCount).toBe(1);
  world.write("b");
  await world.interval();
  expect(world.givenUp).toHaveLength(2);
  store.failure = undefined;
  await world.interval();
  expect(store.reopened).toBe(1);
  expect(log.trims).toEqual([2]);
  expect(await world.stored()).toBe(machine.stateHash());
  expect(world.fatal).toEqual([]);
  await checkpointer.stop();
});

test("a trim that nobody answers is repeated at the next checkpoint, and ends nothing", async () => {
  const world = new World();
  world.checkpointer.start();
  world.write("a");
  world.log.failure = new QuipuError("NOQUORUM", "the service is away");
  await world.interval();
  expect(world.fatal).toEqual([]);
  world.log.failure = undefined;
  await world.interval();
  expect(world.log.trims).toEqual([1]);
  await world.checkpointer.stop();
});

test("a trim that finds no room is repeated, though nothing new is written", async () => {
  const world = new World();
  world.checkpointer.start();
  world.write("a");
  world.log.failure = diskFull();
  await world.interval();
  expect(world.givenUp).toHaveLength(1);
  world.log.failure = undefined;
  await world.interval();
  expect(world.log.trims).toEqual([1]);
  expect(world.checkpointer.statistics.checkpoints).toBe(1);
});

test("any other failure is fatal", async () => {
  const world = new World();
  world.checkpointer.start();
  world.write("a");
  world.store.failure = new DiskError("EIO", "store", "write");
  await world.interval();
  expect(world.fatal).toEqual([world.store.failure]);
});

test("checkpoints asked for at once come one after another; stopping waits, and fails with none of them", async () => {
  const world = new World();
  const { checkpointer, store } = world;
  world.write("a");
  await Promise.all([checkpointer.checkpoint(), checkpointer.checkpoint(), checkpointer.checkpoint()]);
  expect(checkpointer.statistics.checkpoints).toBe(1);
  world.write("b");
  store.failure = diskFull();
  const failing = expect(checkpointer.checkpoint()).rejects.toThrow("no space");
  await checkpointer.stop();
  await failing;
});
