/** Replaced suffixes and restarts: no overwritten record is ever read, wherever it lies; what pins can be rewritten. */
import { SeededRandom } from "@quipu/core";
import type { SimulatedDisk } from "@quipu/simulator";
import { describe, expect, test } from "vitest";
import { type GroupWrite, type WriteAheadLog, writeAheadLogLimits } from "../src/mod.ts";
import { checkLimits, reserveBytes } from "../src/write-ahead-log/options.ts";
import { append, crashAndOpen, makeDisk, openLog, readAll, record, smallLimits, trim } from "./wal-harness.ts";

function write(wal: WriteAheadLog, group: number, groupWrite: GroupWrite): Promise<void> {
  return new Promise((resolve, reject) => {
    wal.write(group, groupWrite, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** The number of a record, which is whole. Compared as bytes: element by element would take the time of these tests. */
function numberOf(bytes: Uint8Array): number {
  const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  expect(Buffer.compare(bytes, record(number, bytes.length))).toBe(0);
  return number;
}

/** Numbers of the records there are from the first index on, by `read` and by `readAll`. */
async function numbers(wal: WriteAheadLog, group: number): Promise<readonly number[]> {
  const all: number[] = [];
  await wal.readAll(group, (first, records) => {
    expect(first).toBe(wal.firstIndex(group) + all.length);
    all.push(...records.map(numberOf));
  });
  expect((await readAll(wal, group)).map(numberOf)).toEqual(all);
  for (let index = wal.firstIndex(group); index < wal.nextIndex(group); index++) {
    const [one] = (await wal.read(group, index)) ?? [];
    expect(one && numberOf(one)).toBe(all[index - wal.firstIndex(group)]);
  }
  return all;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("a replaced suffix", () => {
  test("one frame that holds a record twice and thrice, another group between: the last one counts", async () => {
    const disk = makeDisk();
    const { wal } = await openLog(disk);
    const writes: Promise<unknown>[] = [
      append(wal, 1, [record(1), record(2), record(3)]),
      append(wal, 2, [record(91)]),
      write(wal, 1, { truncateFrom: 2, records: [record(12), record(13), record(14)] }),
      write(wal, 2, { truncateFrom: 1, records: [record(92), record(93)] }),
      write(wal, 1, { truncateFrom: 3, records: [record(23)] }),
    ];
    let frames = 0;
    disk.fault = ({ type, path }) => {
      if (type === "write" && path === "wal/wal-000000000001") frames++;
      return undefined;
    };
    await Promise.all(writes);
    expect(frames).toBe(1);
    expect(await numbers(wal, 1)).toEqual([1, 12, 23]);
    expect(await numbers(wal, 2)).toEqual([92, 93]);
    const again = await openLog(disk.crash("none"));
    expect(await numbers(again.wal, 1)).toEqual([1, 12, 23]);
    expect(await numbers(again.wal, 2)).toEqual([92, 93]);
  });

  test("an overwritten record in the frame where the live ones begin, its successor in the next frame", async () => {
    const { wal } = await openLog(makeDisk());
    await Promise.all([
      append(wal, 1, [record(1), record(2), record(3), record(4)]),
      write(wal, 1, { truncateFrom: 2, records: [record(12)] }),
    ]);
    await append(wal, 1, [record(13)]);
    expect(await numbers(wal, 1)).toEqual([1, 12, 13]);
  });

  test("cut in a later segment, across borders of chunks and of frames, up to a first index that was trimmed", async () => {
    const disk = makeDisk();
    const { wal } = await openLog(disk);
    for (let i = 1; i <= 60; i++) await append(wal, 1, [record(i, 6000)]);
    expect(wal.sizeBytes).toBeGreaterThan(3 * smallLimits.segmentBytes);
    await write(wal, 1, { truncateFrom: 10, records: [record(110, 9000)] });
    for (let i = 111; i <= 130; i++) await append(wal, 1, [record(i, 9000)]);
    const expected = [...range(1, 9), ...range(110, 130)];
    expect(await numbers(wal, 1)).toEqual(expected);
    await trim(wal, 1, 4);
    await write(wal, 1, { truncateFrom: 5 });
    expect([wal.firstIndex(1), wal.nextIndex(1)]).toEqual([5, 5]);
    expect(await numbers(wal, 1)).toEqual([]);
    await append(wal, 1, [record(205)]);
    await wal.close();
    const again = await openLog(disk);
    expect(await numbers(again.wal, 1)).toEqual([205]);
  });

  test("segments of the usual size, where chunks cut runs", async () => {
    const disk = makeDisk();
    const limits = { ...smallLimits, segmentBytes: 1536 * 1024, frameBytesMax: 512 * 1024 };
    const { wal } = await openLog(disk, limits);
    const random = new SeededRandom(5);
    const model: number[] = [];
    for (let i = 1; i <= 700; i++) {
      const from = model.length + 1 - (random.chance(1, 20) ? random.below(Math.min(50, model.length + 1)) : 0);
      model.length = from - 1;
      const count = 1 + random.below(4);
      const first = i * 10;
      model.push(...range(first, first + count - 1));
      const records = range(first, first + count - 1).map((number) => record(number, 100 + random.below(4000)));
      await write(wal, 1, { truncateFrom: from, records });
    }
    expect(wal.sizeBytes).toBeGreaterThanOrEqual(2 * limits.segmentBytes);
    expect(await numbers(wal, 1)).toEqual(model);
    await wal.close();
    const again = await openLog(disk, limits);
    expect(await numbers(again.wal, 1)).toEqual(model);
  });

  test("a read under way when its records are overwritten gives the new ones, or says that they are gone", async () => {
    const { wal } = await openLog(makeDisk());
    await append(wal, 1, [record(1), record(2), record(3)]);
    const replaced = wal.read(1, 2);
    await write(wal, 1, { truncateFrom: 2, records: [record(12)] });
    const [oldOrNew] = (await replaced) ?? [];
    expect(oldOrNew).toEqual(record(12));
    const gone = wal.read(1, 2);
    await write(wal, 1, { restartAt: 50 });
    expect(await gone).toBeUndefined();
  });

  test("what does not fit the group throws at once, and leaves nothing behind", async () => {
    const { wal, fatal } = await openLog(makeDisk());
    await append(wal, 1, [record(1), record(2)]);
    await trim(wal, 1, 1);
    const bad: GroupWrite[] = [
      { truncateFrom: 4 },
      { truncateFrom: 1 },
      { trimUpTo: 3 },
      { restartAt: 0 },
      { restartAt: 10, truncateFrom: 9 },
      { restartAt: 10, trimUpTo: 10 },
      { hardState: new Uint8Array(smallLimits.hardStateBytesMax + 1) },
    ];
    for (const one of bad) expect(() => wal.write(1, one, () => undefined)).toThrow();
    expect(() => wal.write(1, { records: [record(1, 70_000)] }, () => undefined)).toThrow(
      expect.objectContaining({ code: "VALUE_TOO_LARGE" }),
    );
    const first = append(wal, 1, [record(3, 40_000)]);
    expect(() => wal.write(1, { truncateFrom: 2, records: [record(4, 40_000)] }, () => undefined)).toThrow(
      expect.objectContaining({ code: "OVERLOADED" }),
    );
    expect(await first).toBe(3);
    // Nothing to write, and done in its turn all the same.
    await Promise.all([append(wal, 1, [record(4)]), write(wal, 1, {}), write(wal, 1, { truncateFrom: 5 })]);
    await write(wal, 7, {});
    expect(await numbers(wal, 1)).toEqual([2, 3, 4]);
    expect(fatal).toEqual([]);
  });
});

test("a log begins anew, higher and lower, and goes on; the hard state is of the same moment", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk);
  for (let i = 1; i <= 30; i++) await append(wal, 1, [record(i, 9000)]);
  await write(wal, 1, { hardState: Uint8Array.of(1), restartAt: 1000 });
  expect([wal.firstIndex(1), wal.nextIndex(1), wal.hardState(1)?.[0]]).toEqual([1000, 1000, 1]);
  await append(wal, 1, [record(1000), record(1001)]);
  const again = await crashAndOpen(disk, "none");
  expect(await numbers(again.wal, 1)).toEqual([1000, 1001]);
  // Several at once, as one frame.
  await Promise.all([
    write(again.wal, 1, { hardState: Uint8Array.of(2), restartAt: 5, records: [record(5), record(6)] }),
    write(again.wal, 1, { hardState: Uint8Array.of(3), restartAt: 3, records: [record(3), record(4), record(55)] }),
    write(again.wal, 1, { trimUpTo: 3, truncateFrom: 5, records: [record(65), record(66)] }),
  ]);
  expect(await numbers(again.wal, 1)).toEqual([4, 65, 66]);
  const last = await crashAndOpen(again.disk, "none");
  expect([last.wal.firstIndex(1), last.wal.nextIndex(1), last.wal.hardState(1)?.[0]]).toEqual([4, 7, 3]);
  expect(await numbers(last.wal, 1)).toEqual([4, 65, 66]);
  await last.wal.close();
});

test("several groups in one pass: each in order, in memory of its own, only those asked for", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk);
  const random = new SeededRandom(3);
  for (let i = 1; i <= 400; i++) await append(wal, 1 + random.below(4), [record(i, 10 + random.below(1500))]);
  await trim(wal, 2, wal.nextIndex(2) - 1);
  await trim(wal, 3, 20);
  const read = new Map<number, Uint8Array[]>();
  await wal.readGroups([3, 1, 2, 9], (group, first, records) => {
    const before = read.get(group) ?? [];
    expect(first).toBe(wal.firstIndex(group) + before.length);
    for (const { buffer, length } of records) expect(buffer.byteLength).toBe(length);
    read.set(group, [...before, ...records]);
  });
  expect(new Set(read.keys())).toEqual(new Set([1, 3]));
  for (const [group, records] of read) expect(records.map(numberOf)).toEqual(await numbers(wal, group));
  const writing = append(wal, 1, [record(1)]);
  await expect(wal.readGroups([1], () => undefined)).rejects.toThrow("group 1 is being written to");
  await writing;
});

test("a damaged record stops the reader and the log", async () => {
  const disk = makeDisk();
  const { wal, fatal } = await openLog(disk);
  for (let i = 1; i <= 3; i++) await append(wal, 1, [record(i)]);
  disk.flipBit("wal/wal-000000000001", (512 * 3 + 100) * 8);
  const read: number[] = [];
  const reading = wal.readAll(1, (_first, records) => read.push(...records.map(numberOf)));
  await expect(reading).rejects.toMatchObject({
    code: "LOG_CORRUPT",
    message: expect.stringContaining("at offset 1536"),
  });
  expect(fatal).toHaveLength(1);
});

describe("pinning", () => {
  /** Group 1 has a few records in the oldest segment, group 2 fills three more. */
  async function pinned(onSegmentBegun?: () => void): Promise<{ disk: SimulatedDisk; wal: WriteAheadLog }> {
    const disk = makeDisk();
    const { wal } = await openLog(disk, smallLimits, { ...(onSegmentBegun && { onSegmentBegun }) });
    await write(wal, 1, { hardState: Uint8Array.of(1), records: [record(1), record(2), record(3)] });
    await append(wal, 3, [record(1)]);
    for (let i = 1; i <= 40; i++) await append(wal, 2, [record(i, 9000)]);
    return { disk, wal };
  }

  test("who pins, and how many bytes", async () => {
    const { wal } = await pinned();
    const { segmentBytes } = smallLimits;
    expect(wal.sizeBytes).toBe(4 * segmentBytes);
    expect(wal.pinningGroups()).toEqual([1, 2, 3]);
    await trim(wal, 2, 38);
    await trim(wal, 3, 1);
    expect(wal.pinningGroups()).toEqual([1]);
    expect([1, 2, 3, 4].map((group) => wal.pinnedBytes(group))).toEqual([4 * segmentBytes, segmentBytes, 0, 0]);
  });

  test("records still needed, rewritten at the head: the oldest segments are unlinked", async () => {
    const { disk, wal } = await pinned();
    await trim(wal, 2, 38);
    await trim(wal, 3, 1);
    await trim(wal, 1, 1);
    expect(wal.sizeBytes).toBe(4 * smallLimits.segmentBytes);
    const records: Uint8Array[] = [];
    await wal.readAll(1, (_first, some) => records.push(...some));
    await write(wal, 1, { truncateFrom: 2, records });
    for (let i = 0; i < 300; i++) await Promise.resolve();
    expect(wal.sizeBytes).toBe(smallLimits.segmentBytes);
    expect(wal.pinnedBytes(1)).toBe(smallLimits.segmentBytes);
    expect(disk.paths()).not.toContain("wal/wal-000000000003");
    const again = await crashAndOpen(disk, "none");
    expect(await numbers(again.wal, 1)).toEqual([2, 3]);
    expect(again.wal.hardState(1)).toEqual(Uint8Array.of(1));
    expect(await numbers(again.wal, 2)).toEqual([39, 40]);
    await again.wal.close();
  });

  test("restarts give the oldest segments free as well", async () => {
    const { wal } = await pinned();
    await write(wal, 1, { restartAt: 100 });
    await write(wal, 3, { restartAt: 1 });
    await trim(wal, 2, 40);
    for (let i = 0; i < 300; i++) await Promise.resolve();
    expect(wal.sizeBytes).toBe(smallLimits.segmentBytes);
  });

  test("owners hear of each new segment, after the commit that began it, and may write", async () => {
    let begun = 0;
    const opened: WriteAheadLog[] = [];
    const { wal } = await pinned(() => {
      begun++;
      expect(opened[0]?.pinningGroups() ?? [1]).toContain(1);
      opened[0]?.write(1, { hardState: Uint8Array.of(begun) }, () => undefined);
    });
    expect(begun).toBe(3);
    opened.push(wal);
    for (let i = 41; i <= 80; i++) await append(wal, 2, [record(i, 9000)]);
    expect(begun).toBeGreaterThan(5);
    expect(wal.hardState(1)).toEqual(Uint8Array.of(begun));
  });
});

test("the usual limits hold a head of every group with the largest hard state, and a reserve", () => {
  expect(writeAheadLogLimits.hardStateBytesMax).toBe(1024);
  checkLimits(writeAheadLogLimits);
  expect(reserveBytes(writeAheadLogLimits.segmentBytes)).toBe(512 * 1024);
  expect(reserveBytes(128 * 1024)).toBe(16 * 1024);
  expect(() => checkLimits({ ...writeAheadLogLimits, groupsMax: 8192 })).toThrow();
});
