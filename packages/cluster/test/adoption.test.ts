/** A single process' data directory becomes the first node of a cell, whatever the power does meanwhile. */
import { type KeyValueStore, type Network, SeededRandom } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import { fileMetadataStore, localEngine, openVirtualLog, WriteAheadLog } from "@quipu/log";
import { describe, expect, test } from "vitest";
import { CellNode, Checkpointer, loadLogStart, loadMachine, Replica, requireSingle } from "../src/mod.ts";
import { FoundingWorld, type FoundingHost } from "./founding-world.ts";
import { RecordingCaller } from "./recording-caller.ts";
import { TestCell } from "./test-cell.ts";

const wal = { segmentBytes: 256 * 1024, frameBytesMax: 64 * 1024, groupsMax: 8 };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The single process, as packages/server wires it. */
class Single {
  readonly replica: Replica;
  readonly checkpointer: Checkpointer;
  readonly log: Awaited<ReturnType<typeof openVirtualLog>>;
  readonly #world: FoundingWorld;

  private constructor(world: FoundingWorld, parts: Pick<Single, "replica" | "checkpointer" | "log">) {
    this.#world = world;
    this.replica = parts.replica;
    this.checkpointer = parts.checkpointer;
    this.log = parts.log;
  }

  static async start(world: FoundingWorld, { disk, store }: Pick<FoundingHost, "disk" | "store">): Promise<Single> {
    const { clock } = world;
    const onFatal = (error: unknown): void => {
      throw error;
    };
    if (!(await disk.exists("metadata"))) await disk.makeDirectory("metadata");
    await disk.syncDirectory(".");
    const metadata = await fileMetadataStore(disk, "metadata");
    await requireSingle(metadata);
    const files = await WriteAheadLog.open({
      disk,
      directory: "wal",
      clock,
      random: new SeededRandom(5),
      limits: wal,
      onFatal,
    });
    const engines = { local: localEngine(files) };
    const log = await openVirtualLog({ metadata, key: "chain/0", engines, initialEngine: "local" });
    const stored = await metadata.get("node");
    const last =
      stored === undefined ? 0 : (JSON.parse(new TextDecoder().decode(stored.value)) as Identity).incarnation;
    const identity = { node: 1, incarnation: last + 1 };
    await metadata.compareAndSet("node", stored?.version ?? 0, bytes(JSON.stringify(identity)));
    const machine = new CounterMachine({ seed: 1 });
    await loadMachine(store, machine);
    const replica = new Replica({ log, machine, clock, identity, onFatal });
    const started = replica.start();
    await world.run(25);
    await started;
    return new Single(world, { replica, log, checkpointer: new Checkpointer({ store, machine, log, clock, onFatal }) });
  }

  async call(ask: (caller: RecordingCaller) => void): Promise<string> {
    const caller = new RecordingCaller();
    ask(caller);
    await this.#world.until(() => caller.replies.length > 0);
    return caller.replies[0] as string;
  }
}

interface Identity {
  readonly incarnation: number;
}

function once(caller: RecordingCaller, door: Pick<Replica, "onceAdd">): void {
  const id = bytes("order 17");
  door.onceAdd(caller, 1, { bytes: id, start: 0, end: id.length }, 60_000, null, 0, bytes("stock"), 0, 5, -3);
}

async function addTo(single: Single, key: string): Promise<string> {
  return single.call((caller) => single.replica.add(caller, 1, 0, bytes(key), 0, key.length, 1));
}

/** Counts in the store, more in two segments of the log, then the power fails. Returns what was there. */
async function singleData(world: FoundingWorld, host: FoundingHost): Promise<{ position: number; hash: string }> {
  const single = await Single.start(world, host);
  for (let i = 0; i < 20; i++) await addTo(single, `key ${i % 7}`);
  await single.checkpointer.checkpoint();
  await single.log.reconfigure("local");
  expect(await single.call((caller) => once(caller, single.replica))).toBe("1:-3");
  for (let i = 0; i < 5; i++) await addTo(single, "key 0");
  const { machine } = single.replica;
  const before = { position: machine.appliedLsn, hash: machine.stateHash() };
  world.crash(host);
  return before;
}

async function stateOf(store: KeyValueStore): Promise<{ position: number; hash: string }> {
  const machine = new CounterMachine({ seed: 9 });
  await loadMachine(store, machine);
  return { position: machine.appliedLsn, hash: machine.stateHash() };
}

const alone: Network = { listen: () => undefined, send: () => undefined, peers: () => [] };

/** A node of the cell, whose every reply is checked against what the single process had acknowledged. */
async function servesOn(world: FoundingWorld, host: FoundingHost, position: number): Promise<void> {
  const { membership, disk, store } = host;
  if (membership === undefined) throw new Error("no member");
  const { clock } = world;
  const fatal: unknown[] = [];
  const random = new SeededRandom(3);
  const onFatal = (error: unknown): void => void fatal.push(error);
  const { cell, node: number, bootstrap } = membership;
  const raft = { appendBytesMax: 32 * 1024, persistBytesMax: 32 * 1024, core: { messageBytesMax: 32 * 1024 } };
  const settings = { wal, raft };
  const node = new CellNode({
    disk,
    store,
    network: alone,
    clock,
    random,
    cell,
    node: number,
    bootstrap,
    settings,
    onFatal,
  });
  const started = node.start();
  await world.until(() => node.isServing);
  await started;
  expect(node.machine.appliedLsn).toBeGreaterThan(position);
  const caller = new RecordingCaller();
  once(caller, node.door);
  node.door.add(caller, 2, 0, bytes("key 0"), 0, 5, 1);
  await world.until(() => caller.replies.length === 2);
  // Its own first reply again, and the count goes on: 3 of the first twenty, 5 later.
  expect(caller.replies).toEqual(["1:-3", "2:9"]);
  expect(node.status.identity).toMatchObject({ generation: 0, state: "member" });
  expect(fatal).toEqual([]);
}

describe("a cell of one name", () => {
  test("goes on with the state, the positions, the incarnation and what was asked once", async () => {
    const world = new FoundingWorld({ seed: 1, names: ["n1"] });
    const host = world.host("n1");
    const before = await singleData(world, host);
    world.start(host);
    await world.until(() => host.membership !== undefined || host.error !== undefined);
    expect(host.error).toBeUndefined();
    expect(host.membership).toMatchObject({ node: 1, origin: "adopted", bootstrap: { type: "found", founders: [1] } });
    expect(await stateOf(host.store)).toEqual(before);
    expect(await loadLogStart(host.store)).toMatchObject({ member: 1 });
    expect(host.disk.paths().some((path) => path.startsWith("wal.single/"))).toBe(true);
    await servesOn(world, host, before.position);
    const metadata = await fileMetadataStore(host.disk, "metadata");
    await expect(requireSingle(metadata)).rejects.toMatchObject({ code: "INVALID_CONFIGURATION" });
    // The next start gives the room of the old log back.
    world.start(host);
    await world.until(() => host.membership?.origin === "member");
    expect(host.disk.paths().some((path) => path.startsWith("wal.single/"))).toBe(false);
  });

  test("the power may fail at any operation of disk and store: it is still a single process, or its cell's", async () => {
    const seen = { single: 0, cell: 0 };
    for (let survives = 0, isOver = false; !isOver; survives++) {
      const world = new FoundingWorld({ seed: 7 + survives, names: ["n1"] });
      const host = world.host("n1");
      const before = await singleData(world, host);
      let left = survives;
      const fault = (): undefined => {
        if (left-- === 0) world.crash(host);
      };
      host.disk.fault = fault;
      host.store = faulty(host, fault);
      world.start(host);
      await world.until(() => left < 0 || host.membership !== undefined);
      isOver = left >= 0;
      host.disk.fault = undefined;
      left = Number.POSITIVE_INFINITY;
      if (!isOver) {
        const copy = { disk: host.disk.clone(), store: host.store };
        const single = await Single.start(world, copy).catch((error: unknown) => {
          expect(error).toMatchObject({ code: "INVALID_CONFIGURATION" });
        });
        // As one process it has everything; nothing but its first record was added. The store is not written by this.
        if (single === undefined) seen.cell += 1;
        else {
          seen.single += 1;
          expect(await single.call((caller) => once(caller, single.replica))).toBe("1:-3");
          expect(await addTo(single, "key 0")).toBe("1:9");
        }
        world.start(host);
        await world.until(() => host.membership !== undefined || host.error !== undefined);
      }
      expect(host.error).toBeUndefined();
      expect(await stateOf(host.store)).toEqual(before);
      await servesOn(world, host, before.position);
    }
    expect(seen.single).toBeGreaterThan(3);
    expect(seen.cell).toBeGreaterThan(3);
  });
});

/** Asks `fault` before each operation of the store that is there at the time. */
function faulty(host: FoundingHost, fault: () => undefined): FoundingHost["store"] {
  const store = host.store;
  const methods = new Set(["get", "batch", "entries"]);
  return new Proxy(store, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function") return value;
      return (...parameters: unknown[]): unknown => {
        if (methods.has(property as string)) fault();
        return (value as (...all: unknown[]) => unknown).apply(target, parameters);
      };
    },
  });
}

test("the other listed nodes join, get the state, and become voters", async () => {
  const names = ["n1", "n2", "n3"];
  const world = new FoundingWorld({ seed: 11, names, lost: 20 });
  const before = await singleData(world, world.host("n2"));
  for (const host of world.hosts) world.start(host);
  await world.until(() => world.hosts.every(({ membership }) => membership !== undefined));
  expect(world.hosts.map(({ membership }) => membership?.origin)).toEqual(["joined", "adopted", "joined"]);
  const cell = new TestCell(3);
  world.hosts.forEach(({ disk, store }, place) => {
    const host = cell.host(place + 1);
    host.disk = disk;
    host.store = store;
  });
  // On with the clock of the cell.
  world.hosts.forEach(({ membership }, place) => {
    if (membership === undefined) throw new Error("no member");
    const { node, bootstrap } = membership;
    void cell.start(place + 1, false, { cell: membership.cell, node, bootstrap });
  });
  await cell.until(() => cell.hosts.every(({ node }) => node?.isServing === true));
  await cell.until(() => cell.host(2).up.logGroup?.inspect().configuration.voters.length === 3);
  for (const number of [1, 3]) expect(cell.host(number).up.shard.status.snapshotsInstalled).toBe(1);
  expect(cell.host(1).up.machine.appliedLsn).toBeGreaterThan(before.position);
  expect(await cell.add(1, "key 0")).toBe("1:9");
  expect(await cell.add(3, "key 0")).toBe("1:10");
  expect(new Set(await cell.hashes()).size).toBe(1);
  for (const { fatal } of cell.hosts) expect(fatal).toEqual([]);
});

test("two nodes with data are both refused, and each is named", async () => {
  const world = new FoundingWorld({ seed: 12, names: ["n1", "n2", "n3"] });
  for (const name of ["n1", "n3"]) await singleData(world, world.host(name));
  for (const host of world.hosts) world.start(host);
  await world.until(() => ["n1", "n3"].every((name) => world.host(name).error !== undefined));
  for (const name of ["n1", "n3"]) {
    expect(world.host(name).error).toMatchObject({
      code: "INVALID_CONFIGURATION",
      message: expect.stringContaining("n1 and n3 each hold") as unknown,
    });
  }
  expect(world.host("n2").membership).toBeUndefined();
});
