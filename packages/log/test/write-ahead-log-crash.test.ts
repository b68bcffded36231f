/**
 * The write-ahead log against its disk: cuts, flips, short writes, errors, lost names, crashes anywhere.
 * Nothing acknowledged is lost, no frame is half there, damage is named with file and offset.
 */
import { SeededRandom } from "@quipu/core";
import type { DiskFault, DiskOperation, SimulatedDisk } from "@quipu/simulator";
import { describe, expect, test } from "vitest";
import type { WriteAheadLogLimits } from "../src/mod.ts";
import {
  type OpenedLog,
  append,
  crashAndOpen,
  makeDisk,
  openLog,
  readAll,
  record,
  smallLimits,
  testClock,
  trim,
} from "./wal-harness.ts";

const first = "wal/wal-000000000001";

/** Few sectors in all, so that every bit can be tried. */
const tinyLimits = { segmentBytes: 32 * 1024, frameBytesMax: 8 * 1024, hardStateBytesMax: 8, groupsMax: 4 };

/** Position behind the last non-zero sector. */
function usedBytes(disk: SimulatedDisk, path: string): number {
  const last = disk.bytes(path).findLastIndex((byte) => byte !== 0);
  return Math.ceil((last + 1) / 512) * 512;
}

/** Compares as a whole: element by element is what would take the time of these tests. */
function expectRecord(bytes: Uint8Array, number: number): void {
  expect(Buffer.compare(bytes, record(number, bytes.length))).toBe(0);
}

interface Reopened {
  /** Numbers of the records that are there, or why start was refused. */
  readonly records?: readonly number[];
  readonly refused?: { readonly code: string; readonly message: string };
}

async function reopen(disk: SimulatedDisk, limits = smallLimits): Promise<Reopened> {
  let opened: OpenedLog;
  try {
    opened = await openLog(disk, limits);
  } catch (error) {
    return { refused: error as { code: string; message: string } };
  }
  const records = (await readAll(opened.wal, 1)).map((bytes) => {
    const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    expectRecord(bytes, number);
    return number;
  });
  // And it goes on, durably.
  await append(opened.wal, 1, [record(999)]);
  expect(opened.fatal).toEqual([]);
  await opened.wal.close();
  return { records };
}

/** A log with records 1..3 in one frame each and then one last frame, records 4..6, of several sectors. */
async function logWithLastBatch(
  limits: WriteAheadLogLimits,
): Promise<{ disk: SimulatedDisk; from: number; to: number }> {
  const disk = makeDisk();
  const { wal } = await openLog(disk, limits);
  for (let i = 1; i <= 3; i++) await append(wal, 1, [record(i, 40)]);
  const from = usedBytes(disk, first);
  await append(wal, 1, [record(4, 700), record(5, 700), record(6, 300)]);
  await wal.close();
  return { disk, from, to: usedBytes(disk, first) };
}

describe("the last frame", () => {
  test("every subset of its sectors: whole, or not there at all, and the log goes on", async () => {
    const { disk, from, to } = await logWithLastBatch(tinyLimits);
    const sectors = (to - from) / 512;
    expect(sectors).toBe(4);
    for (let kept = 0; kept < 1 << sectors; kept++) {
      const torn = disk.clone();
      for (let i = 0; i < sectors; i++) {
        if ((kept & (1 << i)) === 0) torn.overwrite(first, from + i * 512, new Uint8Array(512));
      }
      const whole = kept === (1 << sectors) - 1;
      expect(await reopen(torn, tinyLimits)).toEqual({ records: whole ? [1, 2, 3, 4, 5, 6] : [1, 2, 3] });
      // What was torn was wiped: nothing of it shows up later.
      expect(await reopen(torn, tinyLimits)).toEqual({ records: whole ? [1, 2, 3, 4, 5, 6, 999] : [1, 2, 3, 999] });
    }
  });

  test("zero from every byte on: torn where a sector is still zero, else damage at the frame's offset", async () => {
    const { disk, from, to } = await logWithLastBatch(tinyLimits);
    for (let cut = from; cut < to; cut++) {
      const torn = disk.clone();
      torn.overwrite(first, cut, new Uint8Array(to - cut));
      const { records, refused } = await reopen(torn, tinyLimits);
      const zeroSector = cut <= to - 512;
      if (zeroSector && (cut === from || cut >= from + 48)) expect(records).toEqual([1, 2, 3]);
      // No disk cuts a sector, so half a header is no tear. It may also have been cut into padding.
      else
        expect(refused).toMatchObject({
          code: "LOG_CORRUPT",
          message: expect.stringContaining(`${first} at offset ${from}`),
        });
    }
  });

  test("the file cut at every byte of it: damage, because a segment is full-sized before it is used", async () => {
    const { disk, from, to } = await logWithLastBatch(tinyLimits);
    for (let size = from; size < to; size += 7) {
      const cut = disk.clone();
      cut.cut(first, size);
      const { refused } = await reopen(cut, tinyLimits);
      expect(refused).toMatchObject({
        code: "LOG_CORRUPT",
        message: expect.stringContaining(`${first} at offset ${size}`),
      });
    }
  });

  test("a torn frame in mid-file is damage: a sector of any earlier frame zeroed", async () => {
    const { disk, from } = await logWithLastBatch(tinyLimits);
    for (let at = 0; at < from; at += 512) {
      const damaged = disk.clone();
      damaged.overwrite(first, at, new Uint8Array(512));
      const { refused } = await reopen(damaged, tinyLimits);
      expect(refused).toMatchObject({
        code: "LOG_CORRUPT",
        message: expect.stringContaining(`${first} at offset ${at}`),
      });
    }
  });
});

test("every bit of a small log flipped: refused with file and offset, or nothing is missing", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk, tinyLimits);
  await append(wal, 1, [record(1, 40)]);
  await append(wal, 1, [record(2, 300), record(3, 300)]);
  await wal.close();
  const to = usedBytes(disk, first);
  expect(to).toBe(4 * 512);
  let refusals = 0;
  const bits = (to + 512) * 8;
  for (let bit = 0; bit < bits; bit++) {
    disk.flipBit(first, bit);
    const opened = await openLog(disk.clone(), tinyLimits).catch((error: { code: string; message: string }) => error);
    if ("wal" in opened) {
      expect(bit).toBeGreaterThanOrEqual(to * 8);
      expect(opened.wal.nextIndex(1)).toBe(4);
      await opened.wal.close();
    } else {
      refusals++;
      expect(opened.code).toBe("LOG_CORRUPT");
      expect(opened.message).toMatch(/wal\/wal-000000000001 at offset \d+: /);
    }
    disk.flipBit(first, bit);
  }
  expect(refusals).toBeGreaterThanOrEqual(to * 8);
});

test("a missing segment is damage, and named", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk);
  for (let i = 1; i <= 40; i++) await append(wal, 1, [record(i, 9000)]);
  await wal.close();
  const segments = disk.paths().length - 1;
  expect(segments).toBeGreaterThan(2);
  for (let number = 1; number < segments; number++) {
    const name = `wal/wal-${String(number).padStart(12, "0")}`;
    const damaged = disk.clone();
    await damaged.remove(name);
    const { refused } = await reopen(damaged, smallLimits);
    expect(refused).toMatchObject({ code: "LOG_CORRUPT", message: expect.stringContaining(name) });
  }
});

describe("errors", () => {
  const onFirstSegment =
    (type: DiskOperation["type"], fault: DiskFault) =>
    (operation: DiskOperation): DiskFault | undefined =>
      operation.type === type && operation.path === first ? fault : undefined;

  test("short writes of every length are continued", async () => {
    for (const bytes of [1, 7, 511, 512, 513]) {
      const disk = makeDisk();
      const { wal, fatal } = await openLog(disk);
      disk.fault = onFirstSegment("write", { type: "shortWrite", bytes });
      await append(wal, 1, [record(1, 700)]);
      expect(fatal).toEqual([]);
      expect(await reopen(disk.crash("none"))).toEqual({ records: [1] });
    }
  });

  test("a write that gets nowhere, EIO or ENOSPC on write, EIO on sync: fatal once, unknown for all that wait", async () => {
    const faults: [DiskOperation["type"], DiskFault][] = [
      ["write", { type: "shortWrite", bytes: 0 }],
      ["write", { type: "error", code: "EIO" }],
      ["write", { type: "error", code: "ENOSPC" }],
      ["sync", { type: "error", code: "EIO" }],
      ["sync", { type: "error", code: "ENOSPC" }],
    ];
    for (const [type, fault] of faults) {
      const disk = makeDisk();
      const { wal, fatal } = await openLog(disk);
      await append(wal, 1, [record(1)]);
      disk.fault = onFirstSegment(type, fault);
      const failed = append(wal, 1, [record(2)]);
      await Promise.resolve();
      await Promise.resolve();
      const queued = append(wal, 1, [record(3)]);
      for (const outcome of [failed, queued]) {
        await expect(outcome).rejects.toMatchObject({ code: "DISK_FAILED", outcome: "unknown" });
      }
      disk.fault = undefined;
      // Never again: the page cache and the disk may differ now.
      await expect(append(wal, 1, [record(4)])).rejects.toMatchObject({ code: "DISK_FAILED" });
      expect(fatal).toHaveLength(1);
      const { records } = await reopen(disk.crash());
      expect([[1], [1, 2]]).toContainEqual(records);
    }
  });

  test("a failed sync whose pages are gone: the record is not there after the restart, and nothing is damaged", async () => {
    const disk = makeDisk();
    const { wal } = await openLog(disk);
    await append(wal, 1, [record(1)]);
    disk.fault = onFirstSegment("sync", { type: "error", code: "EIO" });
    await expect(append(wal, 1, [record(2)])).rejects.toMatchObject({ code: "DISK_FAILED" });
    expect(await reopen(disk.crash("all"))).toEqual({ records: [1] });
  });

  test("no room for a segment: appends are refused definitely, reads and trims go on, room is used when made", async () => {
    const disk = makeDisk();
    const { wal, fatal } = await openLog(disk);
    let acknowledged = 0;
    const appendUntilRefused = async (): Promise<void> => {
      for (;;) {
        const outcome = await append(wal, 1, [record(acknowledged + 1, 9000)]).catch((error: unknown) => error);
        if (typeof outcome !== "number") {
          expect(outcome).toMatchObject({ code: "DISK_FULL", outcome: "definite" });
          return;
        }
        acknowledged++;
        expect(outcome).toBe(acknowledged);
      }
    };
    disk.capacityBytes = 3.5 * smallLimits.segmentBytes;
    await appendUntilRefused();
    expect(acknowledged).toBeGreaterThan(30);
    expect(wal.nextIndex(1)).toBe(acknowledged + 1);
    expect(await readAll(wal, 1)).toHaveLength(acknowledged);
    // Two pipelined ones are refused alike, and leave no hole.
    const both = [append(wal, 1, [record(77)]), append(wal, 1, [record(78, 60_000)])];
    await Promise.allSettled(both).then((outcomes) =>
      outcomes.forEach(({ status }) => expect(status).toBe("rejected")),
    );
    await trim(wal, 1, acknowledged - 2);
    // Unlinking follows the acknowledgement.
    for (let i = 0; i < 300; i++) await Promise.resolve();
    await appendUntilRefused();
    expect(acknowledged).toBeGreaterThan(40);
    // Room from elsewhere is noticed after a while.
    disk.capacityBytes = 20 * smallLimits.segmentBytes;
    testClock.nowMs += 10_000;
    expect(await append(wal, 1, [record(acknowledged + 1, 9000)])).toBe(acknowledged + 1);
    expect(fatal).toEqual([]);
    await wal.close();
    const again = await crashAndOpen(disk);
    expect(again.wal.nextIndex(1)).toBe(acknowledged + 2);
    await again.wal.close();
  });

  test("on a disk that is full to the last sector, a trim is still logged, and makes room", async () => {
    const disk = makeDisk();
    const { wal } = await openLog(disk, tinyLimits);
    disk.capacityBytes = 2 * tinyLimits.segmentBytes;
    let refused: unknown;
    let last = 0;
    while (refused === undefined) {
      await append(wal, 1, [record(last + 1)]).then(
        (index) => (last = index),
        (error: unknown) => (refused = error),
      );
    }
    expect(refused).toMatchObject({ code: "DISK_FULL" });
    // One sector each, and each is logged: a full disk may stay full for a while.
    for (let upTo = 1; upTo <= 10; upTo++) await trim(wal, 1, upTo);
    await trim(wal, 1, last);
    for (let i = 0; i < 300; i++) await Promise.resolve();
    expect(await append(wal, 1, [record(last + 1)])).toBe(last + 1);
    await wal.close();
    const again = await openLog(disk.crash("none"), tinyLimits);
    expect([again.wal.firstIndex(1), again.wal.nextIndex(1)]).toEqual([last + 1, last + 2]);
    await again.wal.close();
  });

  test("a reader that throws stops the log, and nobody is told a falsehood", async () => {
    const disk = makeDisk();
    const { wal, fatal } = await openLog(disk);
    const bug = new Error("bug");
    wal.append(1, [record(1)], () => {
      throw bug;
    });
    const next = append(wal, 1, [record(2)]);
    await expect(next).rejects.toMatchObject({ code: "DISK_FAILED", outcome: "unknown" });
    expect(fatal).toEqual([bug]);
  });
});

test("a crash at any I/O, any sectors and names lost, again and again: acknowledged records are there, in order", async () => {
  let tears = 0;
  for (let seed = 1; seed <= 100; seed++) {
    const random = new SeededRandom(seed);
    let disk = makeDisk(seed);
    let acknowledged = 0;
    let trimmed = 0;
    let attempted = 0;
    for (let life = 0; life < 5; life++) {
      const base = disk;
      let after: SimulatedDisk | undefined;
      const crashAt = base.operations + random.below(life === 0 ? 40 : 120);
      const crashed = new Promise<undefined>((resolve) => {
        base.fault = ({ number }) => {
          if (number >= crashAt && after === undefined) {
            after = base.crash();
            resolve(undefined);
          }
          return undefined;
        };
      });
      const opened = await Promise.race([openLog(base, tinyLimits), crashed]);
      if (opened !== undefined) {
        const { wal } = opened;
        const next = wal.nextIndex(1);
        expect(next).toBeGreaterThan(acknowledged);
        expect(next).toBeLessThanOrEqual(attempted + 1);
        expect(wal.firstIndex(1)).toBeGreaterThanOrEqual(trimmed + 1);
        const check = (async () => {
          let index = wal.firstIndex(1);
          for (const bytes of await readAll(wal, 1)) expectRecord(bytes, index++);
          if (next - 1 > acknowledged) tears++;
          acknowledged = next - 1;
          attempted = acknowledged;
          return true;
        })();
        if ((await Promise.race([check, crashed])) === true) {
          const work = (async () => {
            for (let i = 0; i < 60; i++) {
              const number = attempted + 1;
              const count = 1 + random.below(3);
              attempted += count;
              await append(
                wal,
                1,
                Array.from({ length: count }, (_, k) => record(number + k, 20 + random.below(2000))),
              );
              acknowledged = attempted;
              if (random.chance(1, 5) && acknowledged > 6) {
                const upTo = acknowledged - 5;
                await trim(wal, 1, upTo);
                trimmed = upTo;
              }
            }
          })();
          await Promise.race([work, crashed]);
        }
      }
      disk = after ?? base.crash();
      disk.fault = undefined;
    }
  }
  // Some crash left a frame that was whole, though nobody had been told.
  expect(tears).toBeGreaterThan(0);
});
