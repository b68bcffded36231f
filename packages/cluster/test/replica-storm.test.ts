/** Many keys that expire at one time: records take them in parts, and nobody needs to write for that. */
import { type Command, CounterMachine } from "@quipu/counters";
import { expect, test } from "vitest";
import { Replica } from "../src/mod.ts";
import { ManualClock } from "./manual-clock.ts";
import { RecordingCaller } from "./recording-caller.ts";
import { ScriptedLog } from "./scripted-log.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test("each tick takes its share, and the next follows at once", async () => {
  const clock = new ManualClock();
  const machine = new CounterMachine({ expiriesPerRecordMax: 2 });
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const replica = new Replica({
    log: new ScriptedLog(),
    machine,
    clock,
    identity: { node: 1, incarnation: 1 },
    onFatal,
  });
  const started = replica.start();
  await clock.settle();
  await started;
  const expiry = { type: "at", ms: machine.logTimeMs + 1_000 } as const;
  for (const name of ["a", "b", "c", "d", "e"]) {
    const value = text("5");
    const set = { type: "set", database: 0, key: text(name), value, condition: "always" } as const;
    const command: Command = { ...set, returnPrevious: false, expiry };
    replica.write(new RecordingCaller(), 1, command);
  }
  await clock.settle();
  expect(machine.statistics.keysWithExpiry).toBe(5);
  const left: number[] = [];
  for (let stepMs = 1_000; left.length < 3; stepMs = 1) {
    clock.advance(stepMs);
    await clock.settle();
    left.push(machine.statistics.keys);
  }
  expect(left).toEqual([3, 1, 0]);
});
