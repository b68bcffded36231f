/** The write-ahead log without faults: append, group commit, segments, trim, reopen, limits. */
import { expect, test } from "vitest";
import { append, crashAndOpen, makeDisk, openLog, readAll, record, trim } from "./wal-harness.ts";

test("what is acknowledged is there after a crash", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk);
  expect(await append(wal, 1, [record(1), record(2)])).toBe(1);
  expect(await append(wal, 1, [record(3)])).toBe(3);
  const again = await crashAndOpen(disk, "none");
  expect(again.wal.nextIndex(1)).toBe(4);
  expect(await readAll(again.wal, 1)).toEqual([record(1), record(2), record(3)]);
  expect(await append(again.wal, 1, [record(4)])).toBe(4);
  await again.wal.close();
});

test("what is queued during a sync becomes one frame: one write, one sync", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk);
  const writes: number[] = [];
  disk.fault = (operation) => {
    if (operation.type === "write" && operation.path === "wal/wal-000000000001") writes.push(operation.length);
    return undefined;
  };
  await Promise.all(Array.from({ length: 100 }, (_, i) => append(wal, (i % 3) + 1, [record(i)])));
  // 48 bytes of header and 100 entries of 24 + 16 are 4048 bytes: eight sectors.
  expect(writes).toEqual([4096]);
  expect([1, 2, 3].map((group) => wal.nextIndex(group))).toEqual([35, 34, 34]);
  await wal.close();
});

test("segments follow one another; trim unlinks those that no group needs; hard states survive", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk);
  await new Promise<void>((resolve) => wal.saveHardState(2, Uint8Array.of(9), () => resolve()));
  await append(wal, 2, [record(0)]);
  for (let i = 1; i <= 60; i++) await append(wal, 1, [record(i, 9000)]);
  expect(disk.paths().length).toBeGreaterThan(4);
  expect(wal.pinningGroups()).toEqual([1, 2]);
  await trim(wal, 1, 55);
  expect(wal.pinningGroups()).toEqual([2]);
  await trim(wal, 2, 1);
  await wal.close();
  expect(disk.paths().length).toBeLessThanOrEqual(3);
  const again = await crashAndOpen(disk);
  expect(again.wal.firstIndex(1)).toBe(56);
  expect(again.wal.hardState(2)).toEqual(Uint8Array.of(9));
  expect(again.wal.nextIndex(2)).toBe(2);
  expect(await readAll(again.wal, 1)).toEqual([56, 57, 58, 59, 60].map((i) => record(i, 9000)));
  await again.wal.close();
});

test("records that are all zero, whole sectors of them, come back and are not taken for a torn tail", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk);
  const zeros = new Uint8Array(5000);
  // The first mask candidate fills a sector of its own.
  const ones = new Uint8Array(new Uint32Array(2000).fill(1).buffer);
  await append(wal, 1, [zeros]);
  await append(wal, 1, [zeros, ones, zeros]);
  const bytes = disk.bytes("wal/wal-000000000001");
  const frames = bytes.subarray(512, bytes.findLastIndex((byte) => byte !== 0) + 1);
  for (let at = 0; at < frames.length; at += 512)
    expect(frames.subarray(at, at + 512).some((byte) => byte !== 0)).toBe(true);
  const again = await crashAndOpen(disk);
  expect(await readAll(again.wal, 1)).toEqual([zeros, zeros, ones, zeros]);
  await again.wal.close();
});

test("the queue is bounded: OVERLOADED, definite, and what was queued goes on", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk);
  expect(() => wal.append(1, [new Uint8Array(65 * 1024)], () => undefined)).toThrow(
    expect.objectContaining({ code: "VALUE_TOO_LARGE" }),
  );
  const first = append(wal, 1, [record(1, 40_000)]);
  await expect(append(wal, 1, [record(2, 40_000)])).rejects.toMatchObject({ code: "OVERLOADED", outcome: "definite" });
  await first;
  expect(await append(wal, 1, [record(3, 40_000)])).toBe(2);
  await wal.close();
});
