/** Snapshots for peers that went away, and from a store that was opened anew. */
import { type KeyValueStore, QuipuError, SeededRandom } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import { SimulatedKeyValueStore } from "@quipu/simulator";
import { expect, test } from "vitest";
import { Checkpointer, defaultSnapshotSettings, SnapshotSource } from "../src/mod.ts";
import { applyBusy } from "./busy-machine.ts";
import { ManualClock } from "./manual-clock.ts";
import { ScriptedLog } from "./scripted-log.ts";
import { anyRequest, member, offered } from "./snapshot-wire.ts";

test("a snapshot that was ready only when whoever wanted it had gone is dropped, too", async () => {
  const manual = new ManualClock();
  let ready = (): void => undefined;
  const source = new SnapshotSource({
    shard: 0,
    clock: manual,
    settings: { ...defaultSnapshotSettings, idleMs: 1_000 },
    link: { send: () => undefined },
    make: () => new Promise((resolve) => (ready = () => resolve(offered(10, 1_000, 1)))),
    isUseful: () => true,
  });
  source.onRequest(member(2), anyRequest);
  manual.advance(5_000);
  ready();
  await manual.settle();
  expect(source.statistics.made).toBe(1);
  manual.advance(5_000);
  expect(source.statistics.keptBytes).toBe(0);
});

test("a store that is opened anew after a full disk ends a reading of the state, not the process", async () => {
  const manual = new ManualClock();
  const complete = (action: () => void): void => queueMicrotask(action);
  let fault: QuipuError | undefined;
  const inner = new SimulatedKeyValueStore({
    random: new SeededRandom(1),
    complete,
    pageEntries: 5,
    fault: (operation) => (operation === "write" ? fault : undefined),
  });
  let timesOpened = 1;
  /** As LevelDB: what was opened before cannot be read on. */
  const store: KeyValueStore = {
    get: (key) => inner.get(key),
    batch: () => inner.batch(),
    entries: async function* entries(from, to) {
      const opened = timesOpened;
      for await (const page of inner.entries(from, to)) {
        if (opened !== timesOpened) throw new Error("iterator is not open");
        yield page;
      }
    },
    reopen: () => Promise.resolve(void timesOpened++),
    close: () => inner.close(),
  };
  const machine = new CounterMachine();
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const checkpointer = new Checkpointer({ store, machine, log: new ScriptedLog(), clock: manual, onFatal });
  applyBusy(machine, 1, 40);
  const { pages } = await checkpointer.openState();
  await pages.next();
  applyBusy(machine, 41, 50);
  fault = new QuipuError("DISK_FULL", "full");
  await expect(checkpointer.checkpoint()).rejects.toMatchObject({ code: "DISK_FULL" });
  fault = undefined;
  await checkpointer.checkpoint();
  expect(timesOpened).toBe(2);
  await expect(pages.next()).rejects.toMatchObject({ code: "OVERLOADED" });
});
