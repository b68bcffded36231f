/** Errors say "may have been made" only of what changes something (promise P7). */
import { CounterMachine } from "@quipu/counters";
import { expect, test } from "vitest";
import { Replica } from "../src/mod.ts";
import { text } from "./busy-machine.ts";
import { CellLog, CommonLog } from "./cell-log.ts";
import { ManualClock } from "./manual-clock.ts";
import { RecordingCaller } from "./recording-caller.ts";

/** A batch of an add, a read, a command too large, a read, whose record may be in the log. */
async function mixedBatchUnderWay(): Promise<{ clock: ManualClock; replica: Replica; caller: RecordingCaller }> {
  const clock = new ManualClock();
  const log = new CellLog(new CommonLog());
  const replica = new Replica({
    log,
    machine: new CounterMachine(),
    clock,
    identity: { node: 1, incarnation: 1 },
    limits: { requestDeadlineMs: 4_000, commandBytesMax: 100 },
    isShared: true,
    onGap: () => undefined,
    onFatal: (error) => {
      throw error;
    },
  });
  const started = replica.start();
  await clock.settle();
  await started;
  log.connected = false;
  const caller = new RecordingCaller();
  const read = { type: "get", database: 0, key: text("a") } as const;
  replica.add(caller, 1, 0, text("a"), 0, 1, 1);
  replica.readInOrder(caller, 2, read);
  replica.write(caller, 3, { type: "delete", database: 0, keys: [new Uint8Array(200)] });
  replica.ride(caller, 4);
  replica.readInOrder(caller, 5, read);
  await clock.settle();
  expect(caller.replies).toEqual([]);
  return { clock, replica, caller };
}

test("where the log makes no progress, only what is in the record is in doubt", async () => {
  const { clock, caller } = await mixedBatchUnderWay();
  for (let i = 0; i < 10; i++) {
    clock.advance(1_000);
    await clock.settle();
  }
  expect(caller.replies).toEqual([
    "1:!INDOUBT/unknown",
    "2:!OVERLOADED/definite",
    "3:!VALUE_TOO_LARGE/definite",
    "4:ride",
    "5:!OVERLOADED/definite",
  ]);
});

test("where the replica stops, too", async () => {
  const { replica, caller } = await mixedBatchUnderWay();
  replica.close();
  expect(caller.replies).toEqual([
    "1:!INDOUBT/unknown",
    "2:!SHUTTING_DOWN/definite",
    "3:!VALUE_TOO_LARGE/definite",
    "4:ride",
    "5:!SHUTTING_DOWN/definite",
  ]);
});
