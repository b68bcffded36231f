/** One node's clock is hours off: what expires in the cell must not follow it. */
import { CounterMachine } from "@quipu/counters";
import { expect, test } from "vitest";
import { Replica } from "../src/mod.ts";
import { text } from "./busy-machine.ts";
import { CellLog, CommonLog } from "./cell-log.ts";
import { ManualClock } from "./manual-clock.ts";
import { RecordingCaller } from "./recording-caller.ts";

const hourMs = 3_600_000;

/** Nodes on one clock, each with a wall clock of its own. */
class World {
  readonly clock = new ManualClock();
  readonly common = new CommonLog();

  /** Its wall clock shows so much more than others'. */
  async start(node: number, aheadMs = 0): Promise<Replica> {
    const { clock } = this;
    const replica = new Replica({
      log: new CellLog(this.common),
      machine: new CounterMachine(),
      clock: {
        monotonicMs: () => clock.monotonicMs(),
        wallMs: () => clock.wallMs() + aheadMs,
        setTimer: (delayMs, callback) => clock.setTimer(delayMs, callback),
        endOfTurn: (callback) => clock.endOfTurn(callback),
      },
      identity: { node, incarnation: 1 },
      isShared: true,
      onGap: () => undefined,
      onFatal: (error) => {
        throw error;
      },
    });
    const started = replica.start();
    await this.run(0);
    await started;
    return replica;
  }

  async run(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 10) {
      await this.clock.settle();
      this.clock.advance(10);
    }
    await this.clock.settle();
  }

  async add(replica: Replica, key: string): Promise<void> {
    const caller = new RecordingCaller();
    replica.add(caller, 1, 0, text(key), 0, key.length, 1);
    await this.run(20);
    expect(caller.replies).toHaveLength(1);
  }

  /** How far log time is ahead of the right one. */
  aheadMs(replica: Replica): number {
    return replica.machine.logTimeMs - this.clock.wallMs();
  }

  async setForHalfAnHour(replica: Replica, key: string): Promise<void> {
    const caller = new RecordingCaller();
    const expiry = { type: "at", ms: this.clock.wallMs() + hourMs / 2 } as const;
    replica.write(caller, 1, {
      type: "set",
      database: 0,
      key: text(key),
      value: text("1"),
      condition: "always",
      returnPrevious: false,
      expiry,
    });
    await this.run(20);
    expect(caller.replies).toEqual(["1:ok"]);
  }
}

test("a node that starts with a clock an hour ahead makes nothing expire, though something is due soon and it writes", async () => {
  const world = new World();
  const one = await world.start(1);
  const two = await world.start(2);
  await world.run(1_000);
  await world.setForHalfAnHour(one, "soon");
  await world.run(5_000);
  const three = await world.start(3, hourMs);
  expect(world.aheadMs(one)).toBeLessThanOrEqual(0);
  await world.run(1_000);
  await world.add(three, "a");
  await world.run(5_000);
  for (const replica of [one, two, three]) {
    expect(world.aheadMs(replica)).toBeLessThan(1_000);
    expect(replica.machine.read({ type: "get", database: 0, key: text("soon") })).toEqual({
      type: "integer",
      value: 1,
    });
  }
});

test("after a silence of hours, and a node that is hours behind, time goes on as the others know it", async () => {
  const world = new World();
  const one = await world.start(1);
  await world.run(1_000);
  await world.add(one, "a");
  world.clock.advance(5 * hourMs);
  const two = await world.start(2, -2 * hourMs);
  await world.run(1_000);
  await world.add(two, "a");
  expect(Math.abs(world.aheadMs(two))).toBeLessThan(1_000);
});

test("where all start after a silence, time is not left standing where the log stood", async () => {
  const world = new World();
  const one = await world.start(1);
  await world.run(1_000);
  await world.add(one, "a");
  one.close();
  world.clock.advance(5 * hourMs);
  const two = await world.start(2);
  const three = await world.start(3, -8 * hourMs);
  await world.run(1_000);
  await world.add(two, "a");
  await world.add(three, "a");
  expect(Math.abs(world.aheadMs(three))).toBeLessThan(1_000);
});

test("what is due expires soon where a node is alone after its start", async () => {
  const world = new World();
  const one = await world.start(1);
  await world.setForHalfAnHour(one, "soon");
  one.close();
  world.clock.advance(hourMs);
  const two = await world.start(2);
  await world.run(1_500);
  expect(two.machine.read({ type: "get", database: 0, key: text("soon") })).toEqual({ type: "nil" });
});
