/** A damaged log is renamed, durably, and a fresh one begins; a bounded number is kept; a crash anywhere does no harm. */
import type { SimulatedDisk } from "@quipu/simulator";
import { expect, test } from "vitest";
import { setAside } from "../src/mod.ts";
import { append, makeDisk, openLog, readAll, record } from "./wal-harness.ts";

const first = "wal/wal-000000000001";

/** A log whose records are `numbers`, one frame each. */
async function writeLog(disk: SimulatedDisk, numbers: readonly number[]): Promise<void> {
  const { wal } = await openLog(disk);
  for (const number of numbers) await append(wal, 1, [record(number)]);
  await wal.close();
}

test("what was damaged stays for an operator, and the fresh log is another", async () => {
  let disk = makeDisk();
  await writeLog(disk, [1, 2, 3]);
  disk.flipBit(first, 1024 * 8 + 77);
  const damaged = disk.bytes(first);
  await expect(openLog(disk)).rejects.toMatchObject({ code: "LOG_CORRUPT" });
  expect(await setAside(disk, "wal")).toBe("wal.damaged-000001");
  disk = disk.crash("none");
  expect(disk.bytes("wal.damaged-000001/wal-000000000001")).toEqual(damaged);
  const { wal } = await openLog(disk);
  expect(wal.groups()).toEqual([]);
  expect(await append(wal, 1, [record(7)])).toBe(1);
  expect(await readAll(wal, 1)).toEqual([record(7)]);
  await wal.close();
});

test("the oldest go when there are too many, and numbers go on", async () => {
  const disk = makeDisk();
  for (let round = 1; round <= 6; round++) {
    await writeLog(disk, [round]);
    expect(await setAside(disk, "wal", 2)).toBe(`wal.damaged-00000${round}`);
  }
  const directories = new Set(disk.paths().map((path) => path.slice(0, path.indexOf("/"))));
  expect([...directories]).toEqual(["wal.damaged-000005", "wal.damaged-000006"]);
  expect(await disk.list("wal")).toEqual([]);
});

test("a crash at any step: the damaged log is under one name or the other, whole", async () => {
  for (let step = 0; step < 30; step++) {
    for (const keeps of ["none", "random", "all"] as const) {
      const disk = makeDisk(step + 1);
      for (let round = 1; round <= 3; round++) {
        await writeLog(disk, [round]);
        if (round < 3) await setAside(disk, "wal", 2);
      }
      const damaged = disk.bytes(first);
      let after: SimulatedDisk | undefined;
      const crashAt = disk.operations + step;
      const crashed = new Promise<void>((resolve) => {
        disk.fault = ({ number }) => {
          if (number < crashAt || after !== undefined) return undefined;
          after = disk.crash(keeps);
          resolve();
          return undefined;
        };
      });
      await Promise.race([setAside(disk, "wal", 2), crashed]);
      const found = after ?? disk.crash(keeps);
      const places = found.paths().filter((path) => Buffer.compare(found.bytes(path), damaged) === 0);
      expect(places).toHaveLength(1);
      // Still there: again. Else a fresh log begins.
      if (places[0] === first) await setAside(found, "wal", 2);
      const { wal } = await openLog(found);
      expect(wal.groups()).toEqual([]);
      await wal.close();
    }
  }
});
