/** Reading where a group was replaced more than once in a frame, while it is replaced, and where frames hold very many records. */
import { describe, expect, test } from "vitest";
import type { GroupWrite } from "../src/mod.ts";
import { crashAndOpen, makeDisk, openLog, type OpenedLog, readAll, record, smallLimits } from "./wal-harness.ts";

type Wal = OpenedLog["wal"];

function write(wal: Wal, group: number, one: GroupWrite): Promise<void> {
  return new Promise((resolve, reject) => {
    wal.write(group, one, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

function numbers(records: readonly Uint8Array[]): number[] {
  return records.map((bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true));
}

async function allOf(wal: Wal, group: number): Promise<number[]> {
  const found: number[] = [];
  await wal.readAll(group, (_first, records) => found.push(...numbers(records)));
  return found;
}

describe("in one frame", () => {
  test("a group that begins anew above, and again below", async () => {
    const disk = makeDisk();
    const { wal, fatal } = await openLog(disk);
    await Promise.all([
      write(wal, 1, { records: [1, 2, 3].map((n) => record(n)) }),
      write(wal, 1, { restartAt: 8, records: [record(18)] }),
      write(wal, 1, { restartAt: 3, records: [23, 24, 25, 26, 27, 28].map((n) => record(n)) }),
    ]);
    const wanted = [23, 24, 25, 26, 27, 28];
    expect(await allOf(wal, 1)).toEqual(wanted);
    expect(numbers(await readAll(wal, 1))).toEqual(wanted);
    expect(fatal).toEqual([]);
    const again = await crashAndOpen(disk);
    expect(await allOf(again.wal, 1)).toEqual(wanted);
  });

  test("a group that is removed and made again", async () => {
    const { wal } = await openLog(makeDisk());
    const removed = new Promise((resolve) => {
      void write(wal, 1, { restartAt: 8, records: [record(8)] });
      wal.removeGroup(1, resolve);
    });
    await Promise.all([removed, write(wal, 1, { records: Array.from({ length: 9 }, (_, at) => record(101 + at)) })]);
    expect(await allOf(wal, 1)).toEqual([101, 102, 103, 104, 105, 106, 107, 108, 109]);
  });
});

describe("a read that overlaps a replacement of its group", () => {
  test.each(["truncateFrom", "restartAt"] as const)("by %s is made again, at whatever moment", async (how) => {
    // The read takes some turns, the write too: every overlap of the two.
    for (let lead = 0; lead < 24; lead++) {
      const { wal, fatal } = await openLog(makeDisk());
      await write(wal, 1, { records: [1, 2, 3, 4, 5].map((n) => record(n)) });
      const replaced = write(wal, 1, { [how]: 2, records: [record(22)] });
      for (let turn = 0; turn < lead; turn++) await Promise.resolve();
      const reading = wal.nextIndex(1) > 4 ? wal.read(1, 4) : undefined;
      await replaced;
      const found = await reading;
      expect(found === undefined || numbers(found)[0] === 4).toBe(true);
      expect(fatal).toEqual([]);
      expect(numbers((await wal.read(1, 2)) ?? [])).toEqual([22]);
      await wal.close();
    }
  });
});

test("a trim behind a restart that leads below the old log is not taken for done already", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk);
  await write(wal, 1, { restartAt: 100, records: Array.from({ length: 50 }, (_, at) => record(100 + at)) });
  const told: string[] = [];
  const restarted = write(wal, 1, { restartAt: 10, records: Array.from({ length: 20 }, (_, at) => record(10 + at)) });
  const trimmed = new Promise((resolve) => wal.trim(1, 20, resolve));
  await Promise.all([restarted.then(() => told.push("restarted")), trimmed.then(() => told.push("trimmed"))]);
  expect(told).toEqual(["restarted", "trimmed"]);
  expect([wal.firstIndex(1), wal.nextIndex(1)]).toEqual([21, 30]);
  const again = await crashAndOpen(disk);
  expect(await allOf(again.wal, 1)).toEqual([21, 22, 23, 24, 25, 26, 27, 28, 29]);
});

test("a frame with very many records is read in one call", async () => {
  const limits = { ...smallLimits, segmentBytes: 32 * 1024 * 1024, frameBytesMax: 8 * 1024 * 1024 };
  const { wal, fatal } = await openLog(makeDisk(), limits);
  const count = 250_000;
  await write(wal, 1, { records: Array.from({ length: count }, (_, at) => record(at, 4)) });
  expect((await wal.read(1, 1))?.length).toBe(count);
  expect(fatal).toEqual([]);
});
