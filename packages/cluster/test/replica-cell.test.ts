/** What a replica must cope with on a log that several nodes write: holes, no quorum, clocks of others. */
import { QuipuError } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import { describe, expect, test } from "vitest";
import { LogClock, Replica, type ReplicaLimits } from "../src/mod.ts";
import { CellLog, CommonLog } from "./cell-log.ts";
import { ManualClock } from "./manual-clock.ts";
import { RecordingCaller } from "./recording-caller.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const get = (key: string): { type: "get"; database: 0; key: Uint8Array } => ({
  type: "get",
  database: 0,
  key: text(key),
});

class Node {
  readonly clock = new ManualClock();
  readonly fatal: unknown[] = [];
  readonly gaps: number[] = [];
  readonly log: CellLog;
  readonly replica: Replica;

  constructor(
    common: CommonLog,
    node: number,
    machine: CounterMachine = new CounterMachine(),
    limits: Partial<ReplicaLimits> = {},
  ) {
    this.log = new CellLog(common);
    this.replica = new Replica({
      log: this.log,
      machine,
      clock: this.clock,
      identity: { node, incarnation: 1 },
      limits: { requestDeadlineMs: 4_000, ...limits },
      isShared: true,
      onGap: (upTo) => this.gaps.push(upTo),
      onFatal: (error) => this.fatal.push(error),
    });
  }

  async start(): Promise<this> {
    const started = this.replica.start();
    await this.clock.settle();
    await started;
    return this;
  }

  add(caller: RecordingCaller, tag: number, key: string): void {
    this.replica.add(caller, tag, 0, text(key), 0, key.length, 1);
  }
}

describe("positions with holes", () => {
  test("records, reads and restarts pass over what holds no record", async () => {
    const common = new CommonLog();
    common.push(undefined);
    const one = new Node(common, 1);
    one.log.holes = 1;
    await one.start();
    const caller = new RecordingCaller();
    for (let tag = 1; tag <= 3; tag++) {
      one.add(caller, tag, "a");
      await one.clock.settle();
    }
    one.replica.read(caller, 4, get("a"));
    await one.clock.settle();
    expect(caller.replies).toEqual(["1:1", "2:2", "3:3", "4:3"]);
    // The tail is the last record's successor, though an entry without a record stands there.
    const two = await new Node(common, 2).start();
    expect(two.replica.machine.stateHash()).toBe(one.replica.machine.stateHash());
    expect([...one.fatal, ...two.fatal]).toEqual([]);
  });

  test("a state that stands at the trim point, with no record behind it, is no log cut short", async () => {
    const common = new CommonLog();
    const one = await new Node(common, 1).start();
    const { machine } = one.replica;
    one.replica.close();
    const again = new Node(common, 5, machine);
    again.log.start = machine.appliedLsn;
    await again.start();
    expect(machine.appliedLsn).toBe(2);
  });

  test("a gap stops the replica and is reported, to its owner, not as a fatal error", async () => {
    const common = new CommonLog();
    const one = await new Node(common, 1).start();
    const two = new Node(common, 2);
    two.log.start = 1;
    const started = expect(two.replica.start()).rejects.toMatchObject({ code: "OVERLOADED" });
    await two.clock.settle();
    await started;
    expect(two.gaps).toEqual([1]);
    expect([...one.fatal, ...two.fatal]).toEqual([]);
  });
});

test("a read in order, with no command beside it, sees what another node had acknowledged before", async () => {
  const common = new CommonLog();
  const [one, two] = [await new Node(common, 1).start(), await new Node(common, 2).start()];
  const deliver = two.log.deliver.bind(two.log);
  two.log.deliver = () => undefined; // Behind: it is acknowledged at the other node, and not applied here.
  const writer = new RecordingCaller();
  one.add(writer, 1, "a");
  await one.clock.settle();
  expect(writer.replies).toEqual(["1:1"]);
  const reader = new RecordingCaller();
  two.replica.readInOrder(reader, 2, get("a"));
  await two.clock.settle();
  expect(reader.replies).toEqual([]);
  two.log.deliver = deliver;
  deliver();
  expect(reader.replies).toEqual(["2:1"]);
});

describe("without a quorum", () => {
  test("start waits for a tail, and goes on when there is one", async () => {
    const node = new Node(new CommonLog(), 1);
    node.log.connected = false;
    let started = false;
    void node.replica.start().then(() => (started = true));
    for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 1_000) {
      await node.clock.settle();
      node.clock.advance(1_000);
    }
    expect(started).toBe(false);
    node.log.connected = true;
    node.clock.advance(1_000);
    await node.clock.settle();
    expect(started).toBe(true);
  });

  test("start can be stopped while it waits for a tail, and while its announcement is repeated", async () => {
    for (const connectedAtFirst of [false, true]) {
      const node = new Node(new CommonLog(), 1);
      node.log.connected = connectedAtFirst;
      const started = expect(node.replica.start()).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
      if (connectedAtFirst) await Promise.resolve();
      node.log.connected = false;
      await node.clock.settle();
      node.clock.advance(1_000);
      await node.clock.settle();
      node.replica.close();
      node.clock.advance(1_000);
      await node.clock.settle();
      await started;
      expect(node.fatal).toEqual([]);
    }
  });

  test("callers are told INDOUBT at the deadline, in order; the record goes on and is applied once", async () => {
    const node = await new Node(new CommonLog(), 1, new CounterMachine(), { recordsInFlightMax: 2 }).start();
    const caller = new RecordingCaller();
    node.log.connected = false;
    node.add(caller, 1, "a");
    await node.clock.settle();
    node.add(caller, 2, "a");
    await node.clock.settle();
    node.clock.advance(50);
    await node.clock.settle();
    node.add(caller, 3, "a"); // No room in flight: it never was on its way.
    node.replica.ride(caller, 4);
    for (let waitedMs = 0; waitedMs < 6_000; waitedMs += 100) {
      await node.clock.settle();
      node.clock.advance(100);
    }
    expect(caller.replies).toEqual(["1:!INDOUBT/unknown", "2:!INDOUBT/unknown", "3:!OVERLOADED/definite", "4:ride"]);
    expect(node.replica.statistics.queuedItems).toBe(0);
    node.log.connected = true;
    node.add(caller, 5, "a");
    node.clock.advance(500);
    await node.clock.settle();
    node.clock.advance(500);
    await node.clock.settle();
    // Both went in, each once, and the third did not.
    expect(caller.replies.at(-1)).toBe("5:3");
    expect(node.fatal).toEqual([]);
  });

  test("what makes progress in time is not given up", async () => {
    const node = await new Node(new CommonLog(), 1).start();
    const caller = new RecordingCaller();
    node.log.connected = false;
    node.add(caller, 1, "a");
    await node.clock.settle();
    node.clock.advance(1_000);
    await node.clock.settle();
    node.log.connected = true;
    node.clock.advance(1_000);
    await node.clock.settle();
    node.clock.advance(10_000);
    await node.clock.settle();
    expect(caller.replies).toEqual(["1:1"]);
  });

  test("reads fail with the definite error of the tail", async () => {
    const node = await new Node(new CommonLog(), 1).start();
    const caller = new RecordingCaller();
    node.log.connected = false;
    node.replica.read(caller, 1, get("a"));
    await node.clock.settle();
    expect(caller.replies).toEqual(["1:!OVERLOADED/definite"]);
  });

  test("a read whose tail does not come is given up, and holds up none that comes later", async () => {
    const node = await new Node(new CommonLog(), 1).start();
    const caller = new RecordingCaller();
    const tail = node.log.tail.bind(node.log);
    node.log.tail = () => new Promise(() => undefined);
    node.replica.read(caller, 1, get("a"));
    node.replica.read(caller, 2, get("a"));
    node.log.tail = tail;
    await node.clock.settle();
    expect(caller.replies).toEqual([]);
    node.clock.advance(4_000);
    await node.clock.settle();
    expect(caller.replies).toEqual(["1:!OVERLOADED/definite", "2:nil"]);
  });

  test("closing with a reason tells it to whoever has surely changed nothing", async () => {
    const node = await new Node(new CommonLog(), 1).start();
    const caller = new RecordingCaller();
    node.log.connected = false;
    node.add(caller, 1, "a");
    await node.clock.settle();
    node.replica.close(new QuipuError("OVERLOADED", "fetching a snapshot"));
    node.add(caller, 2, "a");
    node.replica.read(caller, 3, get("a"));
    await node.clock.settle();
    expect(caller.replies).toEqual(["1:!INDOUBT/unknown", "3:!OVERLOADED/definite", "2:!OVERLOADED/definite"]);
  });
});

describe("log time with several clocks", () => {
  const hourMs = 3_600_000;

  test("a clock that is an hour ahead stamps with the cell's time", () => {
    const clock = new ManualClock();
    const logClock = new LogClock(clock, 0);
    const cellMs = clock.wallMs() - hourMs;
    logClock.observe(cellMs);
    expect(logClock.nowMs()).toBe(cellMs);
    clock.advance(2_000);
    expect(logClock.nowMs()).toBe(cellMs + 2_000);
  });

  test("a clock that is an hour behind stamps with the cell's time, which goes on", () => {
    const clock = new ManualClock();
    const logClock = new LogClock(clock, 0);
    const cellMs = clock.wallMs() + hourMs;
    logClock.observe(cellMs);
    clock.advance(2_000);
    expect(logClock.nowMs()).toBe(cellMs + 2_000);
  });

  test("clocks that differ by less than half a second count; stamps are never below log time", () => {
    const clock = new ManualClock();
    const logClock = new LogClock(clock, 0);
    logClock.observe(clock.wallMs() - 400);
    expect(logClock.nowMs()).toBe(clock.wallMs());
    const ahead = clock.wallMs() + 300;
    logClock.observe(ahead);
    expect(logClock.nowMs()).toBe(ahead);
  });

  test("what a node took for the time before it heard of the cell is forgotten; from then on stamps never decrease", () => {
    const clock = new ManualClock();
    const logClock = new LogClock(clock, 0);
    const before = logClock.nowMs();
    logClock.observe(before - hourMs);
    expect(logClock.nowMs()).toBe(before - hourMs);
    logClock.observe(before + hourMs);
    expect(logClock.nowMs()).toBe(before + hourMs);
    logClock.observe(before);
    expect(logClock.nowMs()).toBe(before + hourMs);
  });

  test("log time that has not gone on since the start says nothing about the present", () => {
    const clock = new ManualClock();
    const logClock = new LogClock(clock, clock.wallMs() - hourMs);
    logClock.observe(clock.wallMs() - hourMs);
    expect(logClock.knowsCell).toBe(false);
    expect(logClock.nowMs()).toBe(clock.wallMs());
  });

  test("nodes take turns with ticks: one record serves all", async () => {
    const common = new CommonLog();
    const nodes = await Promise.all([1, 2, 3].map((number) => new Node(common, number).start()));
    const [one] = nodes as [Node];
    const expiry = { type: "at", ms: one.replica.stampNowMs() + 1_000 } as const;
    const set = { type: "set", database: 0, key: text("a"), value: text("5"), condition: "always" } as const;
    one.replica.write(new RecordingCaller(), 1, { ...set, returnPrevious: false, expiry });
    await one.clock.settle();
    const before = common.entries.length;
    for (let waitedMs = 0; waitedMs < 2_000; waitedMs += 10) {
      for (const node of nodes) node.clock.advance(10);
      for (const node of nodes) await node.clock.settle();
    }
    expect(common.entries.length - before).toBe(1);
    for (const node of nodes) expect(node.replica.machine.statistics.keys).toBe(0);
  });
});
