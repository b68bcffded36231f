/** Readers of the local engine below the in-memory window: out of the segment files, then live. */
import { lsn } from "@quipu/core";
import { expect, test } from "vitest";
import { localEngine, type Loglet, type WriteAheadLogLimits } from "../src/mod.ts";
import { makeDisk, openLog, record } from "./wal-harness.ts";

/** Frames larger than one read from disk, and more records than the window holds. */
const limits: WriteAheadLogLimits = {
  segmentBytes: 2 * 1024 * 1024,
  frameBytesMax: 1024 * 1024,
  hardStateBytesMax: 64,
  groupsMax: 64,
};

async function fill(log: Loglet, from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i++) {
    // One frame in seven is larger than a chunk.
    await log.append([record(i, i % 7 === 0 ? 300_000 : 40_000)]);
  }
}

/** Reads from `from` until position `upTo`; checks each record. */
function readUntil(log: Loglet, from: number, upTo: number): Promise<number> {
  let next = from;
  return new Promise((resolve) => {
    log.read(lsn(from), (delivery) => {
      if (delivery.type === "gap") {
        next = delivery.trimmedUpTo + 1;
        return;
      }
      expect(delivery.first).toBe(next);
      for (const bytes of delivery.records) {
        expect(Buffer.compare(bytes, record(next, bytes.length))).toBe(0);
        next++;
      }
      if (next > upTo) resolve(next);
    });
  });
}

test("more than the window holds, over several segments, before and after a restart, while appends go on", async () => {
  const disk = makeDisk();
  const opened = await openLog(disk, limits);
  const parameters = await localEngine(opened.wal).prepare();
  const log = await localEngine(opened.wal).open(parameters);
  await fill(log, 1, 80);
  const reading = [1, 2, 40, 79, 80].map((from) => readUntil(log, from, 100));
  await fill(log, 81, 20);
  expect(await Promise.all(reading)).toEqual([101, 101, 101, 101, 101]);
  const again = await openLog(disk.crash("none"), limits);
  const reopened = await localEngine(again.wal).open(parameters);
  const readingAgain = readUntil(reopened, 1, 110);
  await fill(reopened, 101, 10);
  expect(await readingAgain).toBe(111);
  await again.wal.close();
});

test("a trim under a slow reader gives it a gap, and then everything above", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk, limits);
  const log = await localEngine(wal).open(await localEngine(wal).prepare());
  await fill(log, 1, 80);
  const reading = readUntil(log, 1, 80);
  await log.trim(lsn(75));
  expect(await reading).toBe(81);
  await wal.close();
});

test("damage found by a reader is fatal and named, and the reader is given nothing false", async () => {
  const disk = makeDisk();
  const { wal, fatal } = await openLog(disk, limits);
  const log = await localEngine(wal).open(await localEngine(wal).prepare());
  await fill(log, 1, 150);
  disk.flipBit("wal/wal-000000000001", 8 * 5000);
  void readUntil(log, 1, 150);
  for (let i = 0; i < 100; i++) await Promise.resolve();
  expect(fatal).toMatchObject([
    { code: "LOG_CORRUPT", message: expect.stringContaining("wal/wal-000000000001 at offset") },
  ]);
});
