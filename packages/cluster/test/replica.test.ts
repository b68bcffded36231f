import { InvariantViolation, lsn } from "@quipu/core";
import { type Command, CounterMachine, RecordBuilder } from "@quipu/counters";
import { describe, expect, test } from "vitest";
import { Replica, type ReplicaLimits } from "../src/mod.ts";
import { ManualClock } from "./manual-clock.ts";
import { RecordingCaller } from "./recording-caller.ts";
import { ScriptedLog } from "./scripted-log.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const get = (key: string): { type: "get"; database: 0; key: Uint8Array } => ({
  type: "get",
  database: 0,
  key: text(key),
});

interface World {
  readonly log: ScriptedLog;
  readonly clock: ManualClock;
  readonly machine: CounterMachine;
  readonly replica: Replica;
  readonly fatal: unknown[];
  add(caller: RecordingCaller, tag: number, key: string, delta?: number): void;
}

async function world(
  limits: Partial<ReplicaLimits> = {},
  log: ScriptedLog = new ScriptedLog(),
  incarnation = 1,
): Promise<World> {
  const clock = new ManualClock();
  const machine = new CounterMachine();
  const fatal: unknown[] = [];
  const replica = new Replica({
    log,
    machine,
    clock,
    identity: { node: 1, incarnation },
    limits,
    onFatal: (error) => fatal.push(error),
  });
  const started = replica.start();
  await clock.settle();
  await started;
  return {
    log,
    clock,
    machine,
    replica,
    fatal,
    add(caller, tag, key, delta = 1) {
      const bytes = text(key);
      replica.add(caller, tag, 0, bytes, 0, bytes.length, delta);
    },
  };
}

describe("order of replies", () => {
  test("a pipeline of adds, reads and own replies is answered at its places", async () => {
    const { replica, clock, add } = await world();
    const caller = new RecordingCaller();
    add(caller, 1, "a");
    replica.readInOrder(caller, 2, get("a"));
    replica.ride(caller, 3);
    add(caller, 4, "a");
    replica.readInOrder(caller, 5, get("a"));
    await clock.settle();
    expect(caller.replies).toEqual(["1:1", "2:1", "3:ride", "4:2", "5:2"]);
    expect(caller.flushes).toBeGreaterThan(0);
  });

  test("folded adds answer each caller its own value, another key between them or not", async () => {
    const { clock, add, log } = await world();
    const [one, two] = [new RecordingCaller(), new RecordingCaller()];
    add(one, 1, "a");
    add(two, 1, "a");
    add(one, 2, "b", 5);
    add(two, 2, "a");
    add(one, 3, "a");
    await clock.settle();
    expect(one.replies).toEqual(["1:1", "2:5", "3:4"]);
    expect(two.replies).toEqual(["1:2", "2:3"]);
    expect(log.records).toHaveLength(2); // The announcement of the incarnation, and one record for all five.
  });

  test("a batch that logs nothing waits behind the records in flight", async () => {
    const { replica, clock, add, log } = await world({ recordsInFlightMax: 1 });
    const caller = new RecordingCaller();
    log.automatic = false;
    add(caller, 1, "a");
    await clock.settle();
    replica.ride(caller, 2);
    await clock.settle();
    expect(caller.replies).toEqual([]);
    log.settle("kept-and-acknowledged");
    await clock.settle();
    expect(caller.replies).toEqual(["1:1", "2:ride"]);
  });
});

describe("go-back-N (DESIGN §4.5)", () => {
  test("nothing is answered before the record comes back in the log", async () => {
    const { clock, add, log } = await world();
    const caller = new RecordingCaller();
    log.automatic = false;
    add(caller, 1, "a");
    await clock.settle();
    expect(caller.replies).toEqual([]);
    log.settle("kept-and-acknowledged");
    expect(caller.replies).toEqual(["1:1"]);
  });

  test("an unknown append that is in the log is not applied twice", async () => {
    const { clock, add, log, machine } = await world();
    const caller = new RecordingCaller();
    log.automatic = false;
    add(caller, 1, "a");
    await clock.settle();
    log.settle("kept");
    await clock.settle();
    clock.advance(1_000);
    await clock.settle();
    expect(log.pending).toHaveLength(0);
    expect(caller.replies).toEqual(["1:1"]);
    expect(machine.read(get("a"))).toEqual({ type: "integer", value: 1 });
  });

  test("an unknown append that is not in the log is repeated, and what came after it too, in order", async () => {
    const { clock, add, log, machine } = await world({ recordsInFlightMax: 3 });
    const caller = new RecordingCaller();
    log.automatic = false;
    for (const tag of [1, 2, 3]) {
      add(caller, tag, "a");
      await clock.settle();
    }
    log.settle("lost");
    log.settle("kept-and-acknowledged"); // Void: its predecessor is missing.
    log.settle("kept"); // Void too.
    await clock.settle();
    expect(caller.replies).toEqual([]);
    log.automatic = true;
    clock.advance(1_000);
    await clock.settle();
    expect(caller.replies).toEqual(["1:1", "2:2", "3:3"]);
    expect(machine.read(get("a"))).toEqual({ type: "integer", value: 3 });
  });

  test("a lost append that shows up late, after its repetition, changes nothing", async () => {
    const { clock, add, log, machine } = await world();
    const caller = new RecordingCaller();
    log.automatic = false;
    add(caller, 1, "a");
    await clock.settle();
    const late = log.pending[0]?.records ?? [];
    log.settle("lost");
    await clock.settle();
    log.automatic = true;
    clock.advance(1_000);
    await clock.settle();
    log.insert(late);
    expect(caller.replies).toEqual(["1:1"]);
    expect(machine.read(get("a"))).toEqual({ type: "integer", value: 1 });
  });

  test("a refused append fails its callers definitely, and its number is used again", async () => {
    const { clock, add, log } = await world();
    const caller = new RecordingCaller();
    log.automatic = false;
    add(caller, 1, "a");
    await clock.settle();
    log.settle("refused");
    await clock.settle();
    expect(caller.replies).toEqual(["1:!DISK_FULL/definite"]);
    log.automatic = true;
    add(caller, 2, "a");
    await clock.settle();
    expect(caller.replies).toEqual(["1:!DISK_FULL/definite", "2:1"]);
  });

  test("a refused append fails its callers definitely though an acknowledged one went before", async () => {
    const { clock, add, log } = await world();
    const caller = new RecordingCaller();
    for (const tag of [1, 2, 3]) {
      add(caller, tag, "a");
      await clock.settle();
    }
    log.automatic = false;
    add(caller, 4, "a");
    await clock.settle();
    log.settle("refused");
    await clock.settle();
    expect(caller.replies).toEqual(["1:1", "2:2", "3:3", "4:!DISK_FULL/definite"]);
  });

  test("a refused record before one that may be in the log is repeated, never given up", async () => {
    const { clock, add, log } = await world({ recordsInFlightMax: 2 });
    const caller = new RecordingCaller();
    log.automatic = false;
    add(caller, 1, "a");
    await clock.settle();
    add(caller, 2, "a");
    await clock.settle();
    log.settle("refused");
    log.settle("lost");
    await clock.settle();
    expect(caller.replies).toEqual([]);
    log.automatic = true;
    clock.advance(1_000);
    await clock.settle();
    expect(caller.replies).toEqual(["1:1", "2:2"]);
  });

  test("a refused record behind one that may be in the log does not overtake its replies", async () => {
    const { clock, add, log } = await world({ recordsInFlightMax: 2 });
    const caller = new RecordingCaller();
    log.automatic = false;
    add(caller, 1, "a");
    await clock.settle();
    add(caller, 2, "a");
    await clock.settle();
    log.settle("lost");
    log.settle("refused");
    await clock.settle();
    expect(caller.replies).toEqual([]);
    log.automatic = true;
    clock.advance(1_000);
    await clock.settle();
    expect(caller.replies).toEqual(["1:1", "2:2"]);
  });

  test("a new incarnation voids what the old one still had under way", async () => {
    const log = new ScriptedLog();
    const old = await world({}, log, 1);
    const caller = new RecordingCaller();
    log.automatic = false;
    old.add(caller, 1, "a");
    await old.clock.settle();
    const late = log.pending[0]?.records ?? [];
    old.replica.close();
    expect(caller.replies).toEqual(["1:!INDOUBT/unknown"]);
    log.pending.length = 0;
    log.automatic = true;
    const next = await world({}, log, 2);
    log.insert(late);
    expect(next.machine.read(get("a"))).toEqual({ type: "nil" });
    expect(next.fatal).toEqual([]);
  });

  test("a replica whose node writes elsewhere under a higher incarnation stops", async () => {
    const { clock, add, log, fatal } = await world();
    const usurper = new RecordBuilder();
    const caller = new RecordingCaller();
    log.automatic = false;
    add(caller, 1, "a");
    await clock.settle();
    log.insert([usurper.finish({ node: 1, incarnation: 9, number: 1 }, 0)]);
    add(caller, 2, "a");
    await clock.settle();
    expect(fatal).toHaveLength(1);
    expect(caller.replies).toEqual(["1:!INDOUBT/unknown", "2:!SHUTTING_DOWN/definite"]);
  });
});

describe("start", () => {
  const recordOf = (incarnation: number, stampMs = 0): Uint8Array =>
    new RecordBuilder().finish({ node: 1, incarnation, number: 1 }, stampMs);
  const start = async (
    log: ScriptedLog,
    machine: CounterMachine = new CounterMachine(),
  ): Promise<{ replica: Replica; clock: ManualClock; outcome: unknown; fatal: unknown[] }> => {
    const clock = new ManualClock();
    const fatal: unknown[] = [];
    const onFatal = (error: unknown): void => void fatal.push(error);
    const replica = new Replica({ log, machine, clock, identity: { node: 1, incarnation: 2 }, onFatal });
    let outcome: unknown = "neither";
    replica.start().then(
      () => (outcome = "started"),
      (error: unknown) => (outcome = error),
    );
    await clock.settle();
    return { replica, clock, outcome, fatal };
  };

  test("a log that ends below the machine's position is refused", async () => {
    const machine = new CounterMachine();
    machine.apply(lsn(5), recordOf(1));
    const { outcome, fatal } = await start(new ScriptedLog(), machine);
    expect(outcome).toMatchObject({ code: "LOG_CORRUPT", message: expect.stringContaining("position 5") as string });
    expect(fatal).toEqual([]);
  });

  test("a record of a later version is refused, not passed over", async () => {
    const log = new ScriptedLog();
    const later = recordOf(1);
    later[2] = 2; // Feature level.
    log.insert([recordOf(1), later]);
    const { outcome } = await start(log);
    const message = expect.stringContaining("position 2 is of feature level 2, this version knows 1") as string;
    expect(outcome).toMatchObject({ code: "VERSION_TOO_OLD", message });
  });

  test("a replay that breaks an invariant rejects the start", async () => {
    const log = new ScriptedLog();
    log.insert([recordOf(3)]);
    expect((await start(log)).outcome).toBeInstanceOf(InvariantViolation);
  });

  test("stamps begin above the log time of the replayed records, whatever the wall clock says", async () => {
    const log = new ScriptedLog();
    const aheadMs = new ManualClock().wallMs() + 3_600_000;
    log.insert([recordOf(1, aheadMs)]);
    const { replica, clock } = await start(log);
    clock.advance(100);
    expect(replica.stampNowMs()).toBe(aheadMs + 100);
  });
});

describe("reads (DESIGN §4.6)", () => {
  test("a read waits for a tail that was begun after it", async () => {
    const { replica, clock, log } = await world();
    const caller = new RecordingCaller();
    log.knowsTail = false;
    expect(replica.readableNow()).toBeUndefined();
    replica.read(caller, 1, get("a"));
    await clock.settle();
    replica.read(caller, 2, get("a")); // Came after that tail began: it has to wait for the next one.
    expect(log.releaseTails()).toBe(1);
    await clock.settle();
    expect(caller.replies).toEqual(["1:nil"]);
    expect(log.releaseTails()).toBe(1);
    await clock.settle();
    expect(caller.replies).toEqual(["1:nil", "2:nil"]);
  });

  test("one tail serves all reads then waiting", async () => {
    const { replica, clock, log } = await world();
    const caller = new RecordingCaller();
    log.knowsTail = false;
    replica.read(caller, 0, get("a"));
    for (const tag of [1, 2, 3]) replica.read(caller, tag, get("a"));
    await clock.settle();
    expect(log.releaseTails()).toBe(1);
    await clock.settle();
    expect(log.releaseTails()).toBe(1);
    await clock.settle();
    expect(caller.replies).toHaveLength(4);
  });

  test("a read whose tail is under way when the replica closes is refused, not forgotten", async () => {
    const { replica, clock, log } = await world();
    const caller = new RecordingCaller();
    log.knowsTail = false;
    replica.read(caller, 1, get("a"));
    await clock.settle();
    replica.close();
    log.releaseTails();
    await clock.settle();
    replica.read(caller, 2, get("a"));
    expect(caller.replies).toEqual(["1:!SHUTTING_DOWN/definite", "2:!SHUTTING_DOWN/definite"]);
  });

  test("a session read waits for its position", async () => {
    const { replica, clock, add } = await world();
    const caller = new RecordingCaller();
    const position = lsn(replica.nextPosition);
    replica.readAfter(caller, 1, position, get("a"));
    expect(caller.replies).toEqual([]);
    add(caller, 2, "a");
    await clock.settle();
    expect(caller.replies).toEqual(["2:1", "1:1"]);
  });
});

test("a session read for a position that does not come is given up", async () => {
  const { replica, clock, add } = await world();
  const caller = new RecordingCaller();
  replica.readAfter(caller, 1, lsn(1_000_000), get("a"));
  clock.advance(3_000);
  replica.readAfter(caller, 2, lsn(1_000_000), get("a"));
  replica.readAfter(caller, 3, lsn(replica.nextPosition), get("a"));
  clock.advance(2_000);
  expect(caller.replies).toEqual(["1:!OVERLOADED/definite"]);
  add(caller, 4, "a");
  await clock.settle();
  clock.advance(3_000);
  expect(caller.replies.slice(1)).toEqual(["4:1", "3:1", "2:!OVERLOADED/definite"]);
});

describe("limits (P9)", () => {
  test("beyond the queue the newcomer is refused, in its place, and nothing of it is logged", async () => {
    const { clock, add, log } = await world({ queuedItemsMax: 2, recordsInFlightMax: 1 });
    const caller = new RecordingCaller();
    log.automatic = false;
    for (const tag of [1, 2, 3, 4]) add(caller, tag, "a");
    await clock.settle();
    log.settle("kept-and-acknowledged");
    await clock.settle();
    expect(caller.replies).toEqual(["1:1", "2:2", "3:3", "4:!OVERLOADED/definite"]);
  });

  test("a command too large for the log is refused alone, in its place", async () => {
    const { replica, clock, add, log } = await world({ commandBytesMax: 1_000, recordBytesTarget: 10_000 });
    const [one, two] = [new RecordingCaller(), new RecordingCaller()];
    const setMany = (values: number): Command => ({
      type: "setMany",
      database: 0,
      pairs: Array.from({ length: values }, (_, index) => ({ key: text(`k${index}`), value: new Uint8Array(100) })),
      ifNoneExists: false,
    });
    add(one, 1, "a");
    replica.write(two, 1, setMany(50));
    add(one, 2, "a");
    replica.write(two, 2, setMany(2));
    await clock.settle();
    expect(one.replies).toEqual(["1:1", "2:2"]);
    expect(two.replies).toEqual(["1:!VALUE_TOO_LARGE/definite", "2:ok"]);
    expect(log.records[1]?.length).toBeLessThan(1_000);
  });

  test("reads that wait for the log count in bytes", async () => {
    const { replica, clock, add, log } = await world({ queuedBytesMax: 2_000, recordBytesTarget: 500 });
    const caller = new RecordingCaller();
    log.automatic = false;
    add(caller, 0, "a");
    await clock.settle();
    for (let tag = 1; tag <= 40; tag++) replica.readInOrder(caller, tag, get("k".repeat(100)));
    expect(replica.overloaded).toBe(true);
    log.settle("kept-and-acknowledged");
    await clock.settle();
    expect(caller.replies.slice(0, 3)).toEqual(["0:1", "1:nil", "2:nil"]);
    expect(caller.replies.slice(-1)).toEqual(["40:!OVERLOADED/definite"]);
    expect(replica.overloaded).toBe(false);
    expect(replica.statistics).toMatchObject({ queuedBytes: 0, queuedItems: 0 });
  });

  test("a full batch goes ahead of the end of the turn's batch, in order", async () => {
    const { clock, add } = await world({ recordBytesTarget: 200 });
    const caller = new RecordingCaller();
    for (let tag = 0; tag < 100; tag++) add(caller, tag, `key-${tag}`);
    await clock.settle();
    expect(caller.replies).toEqual(Array.from({ length: 100 }, (_, tag) => `${tag}:1`));
  });
});

test("what is due is removed by a tick, though nobody writes", async () => {
  const { replica, clock, machine } = await world();
  const caller = new RecordingCaller();
  const set: Command = {
    type: "set",
    database: 0,
    key: text("a"),
    value: text("5"),
    condition: "always",
    returnPrevious: false,
    expiry: { type: "in", ms: 1_500 },
  };
  replica.write(caller, 1, set);
  await clock.settle();
  clock.advance(1_000);
  await clock.settle();
  expect(machine.read(get("a"))).toEqual({ type: "integer", value: 5 });
  clock.advance(1_000);
  await clock.settle();
  expect(machine.read(get("a"))).toEqual({ type: "nil" });
});

test("a tick that the log refuses is tried again, though nobody writes", async () => {
  const { replica, clock, machine, log } = await world();
  const expiry = { type: "in", ms: 500 } as const;
  const set: Command = {
    type: "set",
    database: 0,
    key: text("a"),
    value: text("5"),
    condition: "always",
    returnPrevious: false,
    expiry,
  };
  replica.write(new RecordingCaller(), 1, set);
  await clock.settle();
  log.automatic = false;
  clock.advance(600);
  await clock.settle();
  log.settle("refused");
  await clock.settle();
  expect(machine.read(get("a"))).toEqual({ type: "integer", value: 5 });
  log.automatic = true;
  clock.advance(2_000);
  await clock.settle();
  expect(machine.read(get("a"))).toEqual({ type: "nil" });
});

test("drain answers everything submitted before it", async () => {
  const { replica, clock, add } = await world();
  const caller = new RecordingCaller();
  add(caller, 1, "a");
  const drained = replica.drain();
  await clock.settle();
  await drained;
  expect(caller.replies).toEqual(["1:1"]);
});
