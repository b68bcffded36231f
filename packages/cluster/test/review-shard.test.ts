/** A shard is told that it lacks a part of the log before it has looked at what its store holds. */
import { SeededRandom } from "@quipu/core";
import { SimulatedKeyValueStore } from "@quipu/simulator";
import { expect, test } from "vitest";
import { Shard, type SnapshotLink } from "../src/mod.ts";
import { text } from "./busy-machine.ts";
import { CellLog, CommonLog } from "./cell-log.ts";
import { ManualClock } from "./manual-clock.ts";
import { RecordingCaller } from "./recording-caller.ts";

test("a state store that reaches far enough is not replaced, however early a snapshot is offered", async () => {
  const clock = new ManualClock();
  const common = new CommonLog();
  const link: SnapshotLink = { member: 1 as never, peers: () => [], send: () => undefined, handle: () => undefined };
  const complete = (action: () => void): void => queueMicrotask(action);
  let store = new SimulatedKeyValueStore({ random: new SeededRandom(1), complete, pageEntries: 5 });
  let incarnation = 0;
  const start = async (log: CellLog): Promise<Shard> => {
    const shard = new Shard({
      shard: 0,
      log,
      store,
      clock,
      random: new SeededRandom(1),
      link,
      nextIdentity: () => Promise.resolve({ node: 1, incarnation: ++incarnation }),
      onFatal: (error) => {
        throw error;
      },
    });
    void shard.start();
    // Before the store has answered.
    log.needSnapshot(2, log.start);
    await clock.settle();
    return shard;
  };
  const logBefore = new CellLog(common);
  const before = await start(logBefore);
  before.door.add(new RecordingCaller(), 1, 0, text("a"), 0, 1, 1);
  await clock.settle();
  await before.checkpoint();
  const { appliedLsn } = before.machine;
  store = store.crash("none");
  logBefore.connected = false;
  const log = new CellLog(common);
  log.start = appliedLsn;
  const after = await start(log);
  expect(after.status).toMatchObject({ phase: "serving", snapshotsInstalled: 0 });
  expect(after.machine.appliedLsn).toBeGreaterThan(appliedLsn);
});
