/** Nodes in front of a service: they share a log, a chain, numbers and snapshots, and know nothing of each other. */
import { QuipuError } from "@quipu/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadFront, type FrontNode, requireFront, requireSingle } from "../src/mod.ts";
import { add, FrontWorld, read } from "./front-world.ts";

let world: FrontWorld;

beforeEach(() => {
  world = new FrontWorld();
});

afterEach(async () => {
  await world.stop();
  expect(world.fatal).toEqual([]);
});

async function addMany(node: FrontNode, key: string, count: number): Promise<unknown> {
  let last: unknown;
  for (let i = 0; i < count; i++) last = await add(node, key);
  return last;
}

async function eventuallyAdded(node: FrontNode): Promise<unknown> {
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const reply = await add(node, "x");
    if (!(reply instanceof QuipuError)) return reply;
    expect(reply.outcome).toBe("definite");
    await new Promise((resolve) => world.clock.setTimer(10, () => resolve(undefined)));
  }
  return undefined;
}

function manifests(): readonly string[] {
  return [...world.cluster.blobs.keys()].filter((name) => name.endsWith("/manifest")).sort();
}

function trimmed(node: FrontNode): boolean {
  return node.publishedUpTo > 0 && [...world.cluster.logs.values()].some((log) => log.head().trimmedUpTo > 0);
}

describe("numbers", () => {
  test("each directory has its own, and keeps it; incarnations rise in the service, too", async () => {
    const [left, right] = [world.disk(), world.disk()];
    const nodes = await Promise.all([world.start(left), world.start(right)]);
    const first = nodes.map((node) => node.shard?.status.identity);
    expect(new Set(first.map((identity) => identity?.node))).toEqual(new Set([1, 2]));
    await nodes[0]?.stop();
    const again = await world.start(left);
    expect(again.shard?.status.identity).toEqual({ node: first[0]?.node, incarnation: 2 });
  });

  test("of a directory and its copy one goes on: they never write under the same id", async () => {
    const disk = world.disk();
    let original = await world.start(disk);
    const identity = (await loadFront(disk.metadata))?.identity;
    const copy = world.disk();
    const file = await disk.metadata.get("front");
    await copy.metadata.compareAndSet("front", 0, file?.value ?? new Uint8Array());
    await add(original, "x");
    await original.stop();
    original = await world.start(disk);
    // It has never heard of the second start.
    const twin = await world.start(copy);
    expect(twin.shard?.status.identity).toEqual({ node: identity?.node, incarnation: 3 });
    await world.until("the end of the original", () => world.fatal.length > 0);
    expect(String(world.fatal.pop())).toContain("another process writes as node");
    expect(await add(twin, "x")).toBe(2);
  });

  test("a directory of another log is refused, and one of another kind", async () => {
    const disk = world.disk();
    await (await world.start(disk)).stop();
    await expect(requireSingle(disk.metadata)).rejects.toMatchObject({ code: "INVALID_CONFIGURATION" });
    await expect(requireFront(disk.metadata)).resolves.toBeUndefined();
    const elsewhere = new FrontWorld();
    await expect(elsewhere.start(disk)).rejects.toMatchObject({ code: "INVALID_CONFIGURATION" });
    await (await elsewhere.start(elsewhere.disk())).stop();
    await expect(elsewhere.start(disk)).rejects.toThrow("another log");
  });
});

describe("snapshots", () => {
  test("a new node starts from one where the log is trimmed; nothing is trimmed above the newest", async () => {
    const one = await world.start(world.disk());
    await addMany(one, "early", 60);
    await world.until("a trimmed log", () => trimmed(one));
    for (const log of world.cluster.logs.values()) {
      expect(log.head().trimmedUpTo).toBeLessThanOrEqual(one.publishedUpTo);
    }
    const two = await world.start(world.disk());
    expect(two.shard?.status.snapshotsInstalled).toBe(1);
    expect(await add(two, "early")).toBe(61);
    await world.until("both at one position", () => one.shard?.machine.appliedLsn === two.shard?.machine.appliedLsn);
    expect(two.shard?.machine.stateHash()).toBe(one.shard?.machine.stateHash());
  });

  test("without a published snapshot nothing is trimmed, whatever the disks have", async () => {
    world.settings = { ...world.settings, publisher: { logRecordsMin: 1_000_000 } };
    const one = await world.start(world.disk());
    await addMany(one, "x", 30);
    await one.shard?.checkpoint();
    for (const log of world.cluster.logs.values()) expect(log.head().trimmedUpTo).toBe(0);
    const two = await world.start(world.disk());
    expect(two.shard?.status.snapshotsInstalled).toBe(0);
    expect(await add(two, "x")).toBe(31);
  });

  test("the newest two are kept, whoever made them, and fewer are made than there are nodes", async () => {
    const nodes = await Promise.all([world.start(world.disk()), world.start(world.disk()), world.start(world.disk())]);
    const [one] = nodes;
    for (let round = 0; round < 6; round++) {
      const before = one.publishedUpTo;
      await addMany(one, "x", 30);
      await world.until("the next snapshot", () => nodes.every((node) => node.publishedUpTo > before));
    }
    await world.until("two", () => manifests().length === 2);
    const chunks = [...world.cluster.blobs.keys()].filter((name) => name.startsWith("snapshot/"));
    expect(chunks).toHaveLength(4);
  });

  test("what was left half-made is removed once nobody adds to it", async () => {
    const left = "snapshot/0/0000000000000007-00000000/000000";
    world.cluster.blobs.set(left, new Uint8Array(10));
    const one = await world.start(world.disk());
    await addMany(one, "x", 30);
    // It may be somebody at work: nobody else begins meanwhile.
    const sinceMs = world.clock.monotonicMs();
    await world.until("a snapshot", () => manifests().length === 1);
    expect(world.clock.monotonicMs() - sinceMs).toBeGreaterThan(50_000);
    await world.until("its end", () => !world.cluster.blobs.has(left));
  });

  test("one of the last position of a segment outlives the segment", async () => {
    world.settings = { ...world.settings, publisher: { logRecordsMin: 1, lookMs: 20 } };
    const one = await world.start(world.disk());
    await addMany(one, "x", 10);
    await world.until("a snapshot of everything", () => one.publishedUpTo === one.shard?.machine.appliedLsn);
    await one.log?.reconfigure("other");
    await world.until("a dropped segment", () => one.log?.chain().segments.length === 1);
    // Of the segment that is gone, and the last one there is.
    expect(one.log?.chain().segments[0]?.base).toBe(one.publishedUpTo + 1);
    const two = await world.start(world.disk());
    expect(two.shard?.status).toMatchObject({ snapshotsInstalled: 1, snapshotsRejected: 0 });
    expect(await add(two, "x")).toBe(11);
  });

  test("a segment that another node dropped is not trimmed to death", async () => {
    const [one, two] = [await world.start(world.disk()), await world.start(world.disk())];
    await addMany(one, "x", 30);
    await one.log?.reconfigure("other");
    // Right after the switch, and before the other one has looked at the chain again.
    await addMany(one, "x", 60);
    await world.until("a dropped segment", () => one.log?.chain().segments.length === 1);
    await two.shard?.checkpoint();
    // It may have to fetch the state, if it was behind.
    await world.until(
      "the same state",
      () => two.isServing && two.shard?.machine.appliedLsn === one.shard?.machine.appliedLsn,
    );
    expect(two.log?.chain().segments).toHaveLength(1);
    expect(await add(two, "x")).toBe(91);
  });
});

describe("a service that is away", () => {
  test("is waited for at the start, and the node says so", async () => {
    world.cluster.isDown = true;
    const node = world.make(world.disk());
    const started = node.start();
    await world.until("a word", () => world.waiting.length > 0);
    expect(node.isServing).toBe(false);
    world.cluster.isDown = false;
    await started;
    expect(world.waiting.at(-1)).toBeUndefined();
    expect(await add(node, "x")).toBe(1);
  });

  test("while nodes run: what surely was not done is told so, and nothing ends", async () => {
    const node = await world.start(world.disk());
    await addMany(node, "x", 30);
    world.cluster.isDown = true;
    const reply = await add(node, "x");
    expect(reply).toBeInstanceOf(QuipuError);
    await node.shard?.checkpoint();
    world.cluster.isDown = false;
    const value = await add(node, "x");
    expect(value).toBe((reply as QuipuError).outcome === "definite" ? 31 : value);
  });

  test("that is full refuses writes, definitely; reads go on, and writes when a snapshot has made room", async () => {
    const full = new FrontWorld(4_000);
    const publisher = { logRecordsMin: 1_000_000, lookMs: 100 };
    full.settings = { ...full.settings, publisher };
    const node = await full.start(full.disk());
    let reply: unknown = 0;
    let acknowledged = 0;
    for (; typeof reply === "number"; reply = await add(node, "x")) acknowledged = reply;
    expect(reply).toMatchObject({ code: "LOG_FULL", outcome: "definite" });
    expect(await read(node, "x")).toEqual({ type: "integer", value: acknowledged });
    // As large as it is, the log has fewer records than are worth a snapshot; then they are.
    await node.stop();
    full.settings = { ...full.settings, publisher: { ...publisher, logRecordsMin: 5 } };
    const again = await full.start(full.disk());
    await full.until("room", () => again.publishedUpTo > 0);
    expect(await eventuallyAdded(again)).toBe(acknowledged + 1);
    await full.stop();
    expect(full.fatal).toEqual([]);
  });

  test("a start can be given up while it waits", async () => {
    world.cluster.isDown = true;
    const node = world.make(world.disk());
    const started = node.start();
    started.catch(() => undefined);
    await world.until("a word", () => world.waiting.length > 0);
    await node.stop();
    await expect(started).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
  });
});
