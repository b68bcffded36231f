/** Whole nodes: founding, restarts, snapshots, lost and damaged disks. */
import { nodeOf } from "@quipu/consensus";
import { SeededRandom } from "@quipu/core";
import { describe, expect, test } from "vitest";
import { RecordingCaller } from "./recording-caller.ts";
import { TestCell } from "./test-cell.ts";

const allFine = (cell: TestCell): void => {
  for (const { fatal } of cell.hosts) expect(fatal).toEqual([]);
};

/** Followers that lie so little behind are kept in the log for no time at all, and snapshots have many chunks. */
const settings = {
  raft: { followerPinBytesMax: 0 },
  snapshots: { chunkBytes: 64, windowChunks: 3, chunkTimeoutMs: 100, peerPatienceMs: 1_000 },
  checkpoints: { intervalMs: 60_000 },
};

const addMany = async (cell: TestCell, number: number, count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await cell.add(number, `key ${i}`);
};

/** Whatever a majority has in its state stores is no longer in any log. */
const trimAll = async (cell: TestCell, numbers: readonly number[]): Promise<void> => {
  for (const number of numbers) await cell.host(number).up.checkpoint();
  await cell.run(3_000);
};

describe("a cell of three", () => {
  test("is founded, serves at each node, and holds one state", async () => {
    const cell = new TestCell(3);
    await cell.startAll();
    expect(await cell.add(1, "a")).toBe("1:1");
    expect(await cell.add(2, "a")).toBe("1:2");
    expect(await cell.add(3, "a")).toBe("1:3");
    for (const number of [1, 2, 3]) expect(await cell.read(number, "a")).toBe("1:3");
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });

  test("survives the power failing at all nodes at once, and each node writes under a new incarnation", async () => {
    const cell = new TestCell(3);
    await cell.startAll();
    await addMany(cell, 1, 5);
    for (const { number } of cell.hosts) cell.crash(number);
    await cell.startAll();
    expect(await cell.read(2, "key 4")).toBe("1:1");
    expect(cell.host(1).up.status.identity).toMatchObject({ generation: 0, incarnation: 2, state: "member" });
    expect(await cell.add(1, "key 4")).toBe("1:2");
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });

  test("a node starts only when its cell has a quorum, and can be stopped while it waits", async () => {
    const cell = new TestCell(3);
    const started = expect(cell.start(1)).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
    await cell.run(5_000);
    expect(cell.host(1).up.isServing).toBe(false);
    await cell.stop(1);
    await started;
    await cell.startAll();
    expect(await cell.add(1, "a")).toBe("1:1");
    allFine(cell);
  });

  test("an orderly stop leaves a checkpoint, and answers everything before", async () => {
    const cell = new TestCell(3);
    await cell.startAll();
    await addMany(cell, 2, 3);
    await cell.stop(2);
    void cell.start(2);
    await cell.until(() => cell.host(2).up.isServing);
    expect(await cell.read(2, "key 2")).toBe("1:1");
    allFine(cell);
  });
});

describe("a node that lacks a part of the log", () => {
  test("fetches the state, though chunks are lost, repeated and late", async () => {
    const cell = new TestCell(3, { settings });
    await cell.startAll();
    cell.crash(3);
    await addMany(cell, 1, 60);
    await trimAll(cell, [1, 2]);
    let frames = 0;
    cell.passes = (_, to) => to !== 3 || ++frames % 3 !== 0;
    void cell.start(3);
    await cell.until(() => cell.host(3).up.isServing);
    const { shard } = cell.host(3).up.status;
    expect(shard?.snapshotsInstalled).toBe(1);
    expect(shard?.fetching.repeats).toBeGreaterThan(0);
    cell.passes = () => true;
    await cell.add(3, "key 1");
    expect(await cell.read(3, "key 1")).toBe("1:2");
    expect(new Set(await cell.hashes()).size).toBe(1);
    // What was installed is what a restart finds.
    cell.crash(3);
    void cell.start(3);
    await cell.until(() => cell.host(3).up.isServing);
    expect(cell.host(3).up.shard.status.snapshotsInstalled).toBe(0);
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });

  test("fetches it while it runs: callers are refused definitely, and served again afterwards", async () => {
    const cell = new TestCell(3, { settings });
    await cell.startAll();
    await cell.until(() => cell.leader > 0);
    const behind = cell.leader === 3 ? 2 : 3;
    const others = [1, 2, 3].filter((number) => number !== behind);
    cell.host(behind).isCut = true;
    await addMany(cell, others[0] as number, 40);
    await trimAll(cell, others);
    const before = cell.host(behind).up.shard.status;
    expect(before.phase).toBe("serving");
    cell.host(behind).isCut = false;
    await cell.until(() => cell.host(behind).up.shard.status.lives === 2 && cell.host(behind).up.isServing);
    const after = cell.host(behind).up.shard.status;
    expect(after.snapshotsInstalled).toBe(1);
    expect(after.identity?.incarnation).toBe((before.identity?.incarnation ?? 0) + 1);
    expect(await cell.add(behind, "key 1")).toBe("1:2");
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });

  test("goes on with another node where the first dies", async () => {
    const cell = new TestCell(3, { settings });
    await cell.startAll();
    cell.crash(3);
    await addMany(cell, 1, 60);
    await trimAll(cell, [1, 2]);
    const source = cell.leader;
    // The leader's chunks stop after the first few; nothing else of it does.
    let chunks = 0;
    cell.passes = (from, to, frame) => from !== source || to !== 3 || frame.length < 100 || ++chunks < 4;
    void cell.start(3);
    await cell.until(() => cell.host(3).up.isServing);
    expect(cell.host(3).up.shard.status.fetching.peersLeft).toBeGreaterThan(0);
    cell.passes = () => true;
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });
});

test("two nodes left of three come up, though the one lacks what only the other's store has", async () => {
  const cell = new TestCell(3, { settings });
  await cell.startAll();
  cell.crash(3);
  await addMany(cell, 1, 30);
  await trimAll(cell, [1, 2]);
  await addMany(cell, 2, 5);
  // Only this one's: the log is not trimmed so far, and after a restart nobody knows yet that it is committed.
  await cell.host(2).up.checkpoint();
  for (const number of [1, 2]) cell.crash(number);
  for (const number of [2, 3]) void cell.start(number);
  await cell.until(() => cell.host(2).up.isServing && cell.host(3).up.isServing);
  expect(cell.host(3).up.shard.status.snapshotsInstalled).toBe(1);
  expect(await cell.add(3, "key 1")).toBe("1:3");
  expect(new Set(await cell.hashes()).size).toBe(1);
  allFine(cell);
});

test("a fetch that takes longer than the pause between checkpoints, under constant load, is of use all the same", async () => {
  const quick = {
    checkpoints: { intervalMs: 300 },
    snapshots: { ...settings.snapshots, windowChunks: 1, peerPatienceMs: 10_000 },
  };
  const cell = new TestCell(3, { settings: quick });
  await cell.startAll();
  await addMany(cell, 1, 60);
  cell.crash(3);
  cell.host(3).wipe();
  await cell.run(3_000);
  // Half of what goes to it is lost, so that each chunk takes some 100 ms.
  const random = new SeededRandom(1);
  cell.passes = (_, to) => to !== 3 || random.chance(1, 2);
  void cell.start(3, true);
  const load = new RecordingCaller();
  let tag = 0;
  await cell.until(() => {
    cell.host(1).up.door.add(load, ++tag, 0, new TextEncoder().encode("busy"), 0, 4, 1);
    return cell.host(3).node?.isServing === true;
  });
  const { shard } = cell.host(3).up.status;
  expect(shard?.fetching.repeats).toBeGreaterThan(10);
  expect(shard?.snapshotsInstalled).toBeLessThanOrEqual(2);
  cell.passes = () => true;
  await cell.run(1_000);
  expect(new Set(await cell.hashes()).size).toBe(1);
  // And nothing holds the log for ever.
  await cell.run(70_000);
  const view = cell.host(cell.leader).up.logGroup?.inspect();
  expect((view?.last ?? 0) - (view?.start.index ?? 0)).toBeLessThan(10);
  allFine(cell);
});

describe("a disk that is lost or damaged", () => {
  const rejoins = async (cell: TestCell, number: number): Promise<void> => {
    await cell.until(() => cell.host(number).up.isServing);
    const { status } = cell.host(number).up;
    expect(status.identity.generation).not.toBe(0);
    expect(nodeOf(status.member)).toBe(number);
    // In place of the old member, as a voter.
    await cell.until(() => {
      const configuration = cell.host(cell.leader).up.logGroup?.inspect().configuration;
      return configuration?.voters.includes(status.member) === true && configuration.outgoing.length === 0;
    });
    expect(cell.host(cell.leader).up.logGroup?.inspect().configuration.voters).toHaveLength(3);
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  };

  for (const isTrimmed of [false, true]) {
    test(`an empty disk joins under a new generation, ${isTrimmed ? "by a snapshot" : "by the log"}`, async () => {
      const cell = new TestCell(3, { settings });
      await cell.startAll();
      await addMany(cell, 1, 10);
      cell.crash(2);
      cell.host(2).wipe();
      if (isTrimmed) await trimAll(cell, [1, 3]);
      void cell.start(2, true);
      await rejoins(cell, 2);
      expect(cell.host(2).up.shard.status.snapshotsInstalled).toBe(isTrimmed ? 1 : 0);
      expect(await cell.add(2, "key 1")).toBe("1:2");
      // And it stays who it is.
      const { generation } = cell.host(2).up.status.identity;
      cell.crash(2);
      void cell.start(2, true);
      await rejoins(cell, 2);
      expect(cell.host(2).up.status.identity.generation).toBe(generation);
      expect(cell.host(2).up.status.damage).toBeUndefined();
    });
  }

  test("a write-ahead log with a flipped bit is set aside; the state store is kept", async () => {
    const cell = new TestCell(3, { settings });
    await cell.startAll();
    await addMany(cell, 1, 10);
    await trimAll(cell, [1, 2, 3]);
    await addMany(cell, 1, 10);
    cell.crash(2);
    const { disk } = cell.host(2);
    const path = disk.paths().find((name) => name.startsWith("wal/") && disk.bytes(name).some((byte) => byte !== 0));
    disk.flipBit(path as string, 8 * 200);
    void cell.start(2);
    await rejoins(cell, 2);
    expect(cell.host(2).up.status.damage).toContain("wal/");
    expect(disk.paths().some((name) => name.startsWith("wal.damaged-"))).toBe(true);
  });

  test("a metadata file with a flipped bit takes the identity with it", async () => {
    const cell = new TestCell(3, { settings });
    await cell.startAll();
    await addMany(cell, 1, 5);
    cell.crash(2);
    cell.host(2).disk.flipBit("metadata/metadata", 8 * 20);
    void cell.start(2);
    await rejoins(cell, 2);
    expect(cell.host(2).up.status.damage).toContain("metadata/metadata");
  });

  test("a log that is gone, or whose metadata is, is damage too", async () => {
    for (const lost of ["wal/", "metadata/"]) {
      const cell = new TestCell(3, { settings });
      await cell.startAll();
      await addMany(cell, 1, 5);
      cell.crash(2);
      const { disk } = cell.host(2);
      for (const path of disk.paths().filter((name) => name.startsWith(lost))) await disk.remove(path);
      void cell.start(2);
      await rejoins(cell, 2);
      expect(cell.host(2).up.status.damage).toBeDefined();
    }
  });

  test("the power may fail at whatever operation of the disk while it becomes another member", async () => {
    for (let survives = 1, isOver = false; !isOver; survives += 2) {
      const cell = new TestCell(3, { settings });
      await cell.startAll();
      await addMany(cell, 1, 2);
      cell.crash(2);
      const { disk } = cell.host(2);
      const path = disk.paths().find((name) => name.startsWith("wal/") && disk.bytes(name).some((byte) => byte !== 0));
      disk.flipBit(path as string, 8 * 200);
      let operations = 0;
      let isPowered = true;
      disk.fault = () => {
        operations += 1;
        if (operations > survives && isPowered) {
          isPowered = false;
          cell.crash(2);
        }
        return undefined;
      };
      void cell.start(2);
      await cell.until(() => !isPowered || cell.host(2).node?.isServing === true);
      isOver = isPowered;
      cell.host(2).disk.fault = undefined;
      if (!isPowered) void cell.start(2);
      await rejoins(cell, 2);
    }
  });

  test("a state store that does not decode is replaced from another node", async () => {
    const cell = new TestCell(3, { settings });
    await cell.startAll();
    await addMany(cell, 1, 10);
    await trimAll(cell, [1, 2, 3]);
    cell.crash(2);
    const batch = cell.host(2).store.batch();
    batch.put(new TextEncoder().encode("x what is this"), new Uint8Array(3));
    await batch.write({ sync: true });
    void cell.start(2);
    await cell.until(() => cell.host(2).up.isServing);
    expect(cell.host(2).up.status).toMatchObject({ damage: undefined, identity: { generation: 0 } });
    expect(cell.host(2).up.shard.status).toMatchObject({ storesRejected: 1, snapshotsInstalled: 1 });
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });

  test("a directory of another node or cell is refused", async () => {
    const cell = new TestCell(3);
    await cell.startAll();
    cell.crash(2);
    await expect(cell.start(2, false, { node: 3 })).rejects.toMatchObject({ code: "INVALID_CONFIGURATION" });
    await expect(cell.start(2, false, { cell: 8 })).rejects.toMatchObject({ code: "INVALID_CONFIGURATION" });
  });
});

describe("the power fails while a node becomes a member", () => {
  for (const joins of [false, true]) {
    test(`${joins ? "joining" : "founding"}: at whatever operation of the disk, the next start goes on or begins anew`, async () => {
      const generations = new Set<number>();
      for (let survives = 1, isOver = false; !isOver; survives++) {
        const cell = new TestCell(3, { settings });
        for (const number of [1, 3]) void cell.start(number);
        await cell.until(() => cell.host(1).up.isServing && cell.host(3).up.isServing);
        let operations = 0;
        let isPowered = true;
        cell.host(2).disk.fault = () => {
          operations += 1;
          // From here on nothing comes to an end: the process hangs until it is crashed.
          if (operations > survives && isPowered) {
            isPowered = false;
            cell.crash(2);
          }
          return undefined;
        };
        void cell.start(2, joins);
        await cell.until(() => !isPowered || cell.host(2).node?.isServing === true);
        isOver = isPowered;
        cell.host(2).disk.fault = undefined;
        if (!isPowered) void cell.start(2, joins);
        await cell.until(() => cell.host(2).node?.isServing === true);
        const { identity } = cell.host(2).up.status;
        generations.add(identity.generation);
        if (!joins) expect(identity.generation).toBe(0);
        expect(await cell.add(2, "a")).toBe("1:1");
        expect(new Set(await cell.hashes()).size).toBe(1);
        allFine(cell);
      }
      expect(generations.has(0)).toBe(!joins);
    });
  }
});
