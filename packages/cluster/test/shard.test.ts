/** A shard on a log that several nodes write: its lives, and what callers see of them. */
import { InvariantViolation, QuipuError, SeededRandom } from "@quipu/core";
import type { PeerMessage } from "@quipu/protocol";
import { SimulatedKeyValueStore } from "@quipu/simulator";
import { describe, expect, test } from "vitest";
import { Shard, type ShardOptions, type SnapshotLink } from "../src/mod.ts";
import { text } from "./busy-machine.ts";
import { CellLog, CommonLog } from "./cell-log.ts";
import { ManualClock } from "./manual-clock.ts";
import { RecordingCaller } from "./recording-caller.ts";

type Handler = (from: never, message: never) => void;

/** The links of all shards of a world; messages arrive in the next microtask. */
class Links {
  readonly #handlers: Map<number, Map<PeerMessage["type"], Handler>> = new Map();
  passes: (from: number, to: number) => boolean = () => true;

  of(member: number): SnapshotLink {
    const handlers = new Map<PeerMessage["type"], Handler>();
    this.#handlers.set(member, handlers);
    return {
      member: member as SnapshotLink["member"],
      peers: () => [...this.#handlers.keys()].filter((other) => other !== member) as SnapshotLink["member"][],
      send: (to, message) => {
        if (!this.passes(member, to)) return;
        queueMicrotask(() => this.#handlers.get(to)?.get(message.type)?.(member as never, message as never));
      },
      handle: (type, handler) => void handlers.set(type, handler as Handler),
    };
  }
}

class World {
  readonly clock = new ManualClock();
  readonly common = new CommonLog();
  readonly links = new Links();

  async settle(ms = 50): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 10) {
      await this.clock.settle();
      this.clock.advance(10);
    }
    await this.clock.settle();
  }

  node(member: number, options: Partial<ShardOptions> = {}): Node {
    return new Node(this, member, options);
  }
}

class Node {
  readonly world: World;
  readonly log: CellLog;
  readonly store: SimulatedKeyValueStore;
  readonly shard: Shard;
  readonly fatal: unknown[] = [];
  readonly recoveredAt: number[] = [];
  incarnation = 0;
  readonly outcome: { started?: boolean; error?: unknown } = {};

  constructor(world: World, member: number, options: Partial<ShardOptions>) {
    this.world = world;
    this.log = new CellLog(world.common);
    const complete = (action: () => void): void => queueMicrotask(action);
    this.store = new SimulatedKeyValueStore({ random: new SeededRandom(member), complete, pageEntries: 5 });
    this.shard = new Shard({
      shard: 0,
      log: this.log,
      store: this.store,
      clock: world.clock,
      random: new SeededRandom(member),
      link: world.links.of(member),
      nextIdentity: () => Promise.resolve({ node: member, incarnation: ++this.incarnation }),
      checkpoints: { intervalMs: 1_000_000 },
      snapshots: { chunkBytes: 50, chunkTimeoutMs: 100, peerPatienceMs: 500 },
      recovered: (shard) => this.recoveredAt.push(shard.machine.appliedLsn),
      onFatal: (error) => this.fatal.push(error),
      ...options,
    });
  }

  async start(): Promise<this> {
    this.shard.start().then(
      () => (this.outcome.started = true),
      (error: unknown) => (this.outcome.error = error),
    );
    await this.world.settle();
    return this;
  }

  async add(key: string, caller: RecordingCaller = new RecordingCaller(), tag = 1): Promise<RecordingCaller> {
    this.shard.door.add(caller, tag, 0, text(key), 0, key.length, 1);
    await this.world.settle(20);
    return caller;
  }
}

/** Two nodes, the second of which has stopped hearing of the log; everything since is trimmed. */
async function oneBehind(options: Partial<ShardOptions> = {}): Promise<{ world: World; one: Node; two: Node }> {
  const world = new World();
  const one = await world.node(1).start();
  const two = await world.node(2, options).start();
  two.log.connected = false;
  for (let i = 0; i < 20; i++) await one.add(`key ${i % 7}`);
  const trimmed = one.shard.machine.appliedLsn;
  for (let i = 0; i < 5; i++) await one.add(`key ${i}`);
  two.log.start = trimmed;
  return { world, one, two };
}

describe("lives of a shard", () => {
  test("a gap ends a life; the next begins above a snapshot, under a higher incarnation", async () => {
    const { world, one, two } = await oneBehind();
    const before = two.shard.status;
    two.log.connected = true;
    two.log.deliver();
    expect(two.shard.isServing).toBe(true); // Its end is under way.
    await world.settle(3_000);
    const { status } = two.shard;
    expect(status).toMatchObject({ phase: "serving", lives: 2, snapshotsInstalled: 1, snapshotsRejected: 0 });
    expect(status.identity?.incarnation).toBe((before.identity?.incarnation ?? 0) + 1);
    expect(two.recoveredAt).toHaveLength(2);
    expect((await two.add("key 1")).replies).toEqual(["1:5"]);
    expect(two.shard.machine.stateHash()).toBe(one.shard.machine.stateHash());
    expect([...one.fatal, ...two.fatal]).toEqual([]);
  });

  test("callers keep one door: refused in order while there is no replica, served after", async () => {
    const { world, two } = await oneBehind();
    const caller = new RecordingCaller();
    world.links.passes = () => false;
    const { door } = two.shard;
    door.add(caller, 1, 0, text("a"), 0, 1, 1);
    await world.clock.settle(); // Appended, and lost.
    door.add(caller, 2, 0, text("a"), 0, 1, 1);
    two.log.connected = true;
    two.log.deliver();
    door.ride(caller, 3);
    await two.add("a", caller, 4);
    expect(two.shard.status.phase).toBe("fetching");
    expect(door.overloaded).toBe(true);
    expect(door.readableNow()).toBeUndefined();
    door.read(caller, 5, { type: "get", database: 0, key: text("a") });
    door.readAfter(caller, 6, two.shard.machine.appliedLsn, { type: "get", database: 0, key: text("a") });
    await world.settle();
    expect(caller.replies).toEqual([
      "1:!INDOUBT/unknown",
      "2:!OVERLOADED/definite",
      "3:ride",
      "4:!OVERLOADED/definite",
      "5:!OVERLOADED/definite",
      "6:!OVERLOADED/definite",
    ]);
    world.links.passes = () => true;
    await world.settle(3_000);
    expect((await two.add("b")).replies).toEqual(["1:1"]);
    // Lost: it was appended under the old incarnation only.
    expect((await two.add("a")).replies).toEqual(["1:1"]);
  });

  test("a need that the state has met long since is not heard", async () => {
    const { one } = await oneBehind();
    one.log.needSnapshot(2, 3);
    await one.world.settle(500);
    expect(one.shard.status).toMatchObject({ phase: "serving", lives: 1 });
  });

  test("the engine's word that a snapshot is needed ends a life, also one that still starts", async () => {
    const { world, two } = await oneBehind();
    two.log.needSnapshot(1, two.log.start);
    two.log.needSnapshot(1, two.log.start);
    two.log.connected = true;
    await world.settle(3_000);
    expect(two.shard.status).toMatchObject({ phase: "serving", lives: 2, snapshotsInstalled: 1 });
    const three = world.node(3);
    three.log.start = two.log.start;
    three.log.connected = false;
    await three.start();
    three.log.needSnapshot(2, three.log.start);
    three.log.connected = true;
    await world.settle(3_000);
    expect(three.shard.status).toMatchObject({ phase: "serving", lives: 2, snapshotsInstalled: 1 });
    expect(three.outcome).toEqual({ started: true });
  });

  test("the log above a snapshot that is being fetched is kept, until nobody asks any more", async () => {
    const { world, one, two } = await oneBehind();
    let frames = 0;
    world.links.passes = () => ++frames < 4;
    two.log.connected = true;
    two.log.deliver();
    await world.settle(2_000);
    expect(two.shard.status.phase).toBe("fetching");
    const held = one.shard.machine.appliedLsn;
    const trimAgain = async (): Promise<number> => {
      await one.add("key 1");
      const written = one.shard.checkpoint();
      await world.settle();
      await written;
      return Math.max(...one.log.trims);
    };
    for (let i = 0; i < 3; i++) expect(await trimAgain()).toBeLessThanOrEqual(held);
    await two.shard.stop();
    await world.settle(60_000);
    expect(await trimAgain()).toBe(one.shard.machine.appliedLsn);
  });

  test("can be stopped in every phase", async () => {
    for (const phase of ["loading", "replaying", "serving", "fetching"] as const) {
      const { world, two } = await oneBehind();
      let node = two;
      if (phase === "fetching") {
        world.links.passes = () => false;
        two.log.connected = true;
        two.log.deliver();
        await world.settle();
      } else if (phase !== "serving") {
        node = world.node(3);
        node.log.connected = false;
        if (phase === "loading") node.shard.start().catch((error: unknown) => (node.outcome.error = error));
        else await node.start();
      }
      expect(node.shard.status.phase).toBe(phase);
      let isStopped = false;
      void node.shard.stop().then(() => (isStopped = true));
      await world.settle(6_000);
      expect(isStopped).toBe(true);
      expect(node.shard.status.phase).toBe("stopped");
      if (node !== two) expect(node.outcome.error).toMatchObject({ code: "SHUTTING_DOWN" });
      expect(node.fatal).toEqual([]);
      expect((await node.add("late")).replies[0]).toMatch(/^1:!(SHUTTING_DOWN|OVERLOADED).definite$/);
    }
  });

  test("a full disk while a snapshot is installed is waited out", async () => {
    let isFull = true;
    const { world, two } = await oneBehind();
    const batch = two.store.batch.bind(two.store);
    two.store.batch = () => {
      const inner = batch();
      const write = inner.write.bind(inner);
      inner.write = (options) => (isFull ? Promise.reject(new QuipuError("DISK_FULL", "no room")) : write(options));
      return inner;
    };
    two.log.connected = true;
    two.log.deliver();
    await world.settle(3_000);
    expect(two.shard.status.phase).toBe("fetching");
    isFull = false;
    await world.settle(3_000);
    expect(two.shard.status).toMatchObject({ phase: "serving", snapshotsInstalled: 1 });
    expect(two.fatal).toEqual([]);
  });

  test("a replica that breaks an invariant stops the shard, for good", async () => {
    const world = new World();
    const one = await world.node(1).start();
    one.log.deliver = () => undefined;
    const caller = await one.add("a");
    world.common.entries.length = 0;
    // The log goes back: what was applied is there no more.
    Reflect.deleteProperty(one.log, "deliver");
    const [reader] = (one.log as unknown as { readers: readonly { from: number }[] }).readers;
    (reader as { from: number }).from = 1;
    world.common.push(Uint8Array.of(1, 2, 3));
    await world.settle();
    expect(one.fatal).toHaveLength(1);
    expect(one.fatal[0]).toBeInstanceOf(InvariantViolation);
    expect(one.shard.status.phase).toBe("stopped");
    expect(caller.replies).toEqual(["1:!INDOUBT/unknown"]);
  });
});

describe("mutations show", () => {
  test("snapshot-position-off-by-one: a record above the snapshot is passed over, and states differ", async () => {
    const { world, one, two } = await oneBehind({ mutation: "snapshot-position-off-by-one" });
    two.log.connected = true;
    world.links.passes = (from, to) => !(from === 1 && to === 2) || world.common.entries.length > 0;
    two.log.deliver();
    await world.settle(400);
    await one.add("key 1");
    await world.settle(3_000);
    await one.add("key 1");
    await world.settle(500);
    expect(two.shard.machine.stateHash()).not.toBe(one.shard.machine.stateHash());
  });
});
