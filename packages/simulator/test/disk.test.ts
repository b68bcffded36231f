/** The simulated disk keeps what was synced, and may lose, keep or reorder everything else. */
import { SeededRandom } from "@quipu/core";
import { expect, test } from "vitest";
import { SimulatedDisk } from "../src/disk.ts";

const complete = (action: () => void): void => queueMicrotask(action);

function makeDisk(seed: number): SimulatedDisk {
  return new SimulatedDisk({ random: new SeededRandom(seed), complete });
}

/** A file with a durable name and size: `sectors` sectors of zeros. */
async function durableFile(disk: SimulatedDisk, sectors: number): ReturnType<SimulatedDisk["open"]> {
  const file = await disk.open("file", { create: "new" });
  await file.write(new Uint8Array(sectors * 512), 0);
  await file.sync();
  await disk.syncDirectory(".");
  return file;
}

test("unsynced sectors survive in any subset, synced ones always, and no sector is ever cut", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 100; seed++) {
    const disk = makeDisk(seed);
    const file = await durableFile(disk, 4);
    await file.write(new Uint8Array(512).fill(1), 0);
    await file.sync();
    await file.write(new Uint8Array(3 * 512).fill(2), 512);
    const bytes = disk.crash().bytes("file");
    const sectors = [0, 1, 2, 3].map((i) => new Set(bytes.subarray(i * 512, (i + 1) * 512)));
    expect(sectors.every((sector) => sector.size === 1)).toBe(true);
    seen.add(sectors.map((sector) => [...sector][0]).join(""));
  }
  expect([...seen].sort()).toEqual(["1000", "1002", "1020", "1022", "1200", "1202", "1220", "1222"]);
});

test("a name that was not synced is lost or kept; one that was is kept", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 50; seed++) {
    const disk = makeDisk(seed);
    await disk.open("a", { create: "new" });
    await disk.syncDirectory("");
    await disk.rename("a", "b");
    await disk.open("c", { create: "new" });
    seen.add(disk.crash().paths().join(" "));
  }
  expect([...seen].sort()).toEqual(["a", "a c", "b", "b c"]);
});

test("a sync under way when the power fails promises nothing; one that completed promises all", async () => {
  const disk = makeDisk(1);
  const file = await durableFile(disk, 1);
  await file.write(new Uint8Array(512).fill(7), 0);
  void file.sync();
  expect(disk.clone().bytes("file")[0]).toBe(7);
  expect(disk.crash("none").bytes("file")[0]).toBe(0);
});

test("a failed sync marks its pages clean: the next sync succeeds and the data are lost all the same", async () => {
  const disk = makeDisk(1);
  const file = await durableFile(disk, 1);
  await file.write(new Uint8Array(512).fill(7), 0);
  disk.fault = (operation) => (operation.type === "sync" ? { type: "error", code: "EIO" } : undefined);
  await expect(file.sync()).rejects.toMatchObject({ code: "EIO" });
  disk.fault = undefined;
  await file.sync();
  expect(disk.crash("all").bytes("file")[0]).toBe(0);
});

test("short writes, a full disk, missing and existing names, damage", async () => {
  const disk = makeDisk(1);
  const file = await durableFile(disk, 2);
  disk.fault = (operation) => (operation.type === "write" ? { type: "shortWrite", bytes: 3 } : undefined);
  expect(await file.writeAndSync(new Uint8Array(10).fill(1), 0)).toBe(3);
  disk.fault = undefined;
  disk.capacityBytes = 1500;
  expect(await file.write(new Uint8Array(1000), 1024)).toBe(476);
  await expect(file.write(new Uint8Array(1), 1500)).rejects.toMatchObject({ code: "ENOSPC" });
  expect(await file.write(new Uint8Array(1024), 0)).toBe(1024);
  await expect(disk.open("nothing", { create: "no" })).rejects.toMatchObject({ code: "ENOENT" });
  await expect(disk.open("file", { create: "new" })).rejects.toMatchObject({ code: "EEXIST" });
  disk.flipBit("file", 9);
  expect(disk.bytes("file")[1]).toBe(2);
  disk.cut("file", 10);
  expect(await file.size()).toBe(10);
  expect(await file.read(new Uint8Array(100), 4)).toBe(6);
});

test("the same seed loses the same things", async () => {
  const run = async (): Promise<Uint8Array> => {
    const disk = makeDisk(42);
    const file = await durableFile(disk, 64);
    for (let i = 0; i < 64; i++) await file.write(new Uint8Array(512).fill(i + 1), i * 512);
    return disk.crash().bytes("file");
  };
  expect(await run()).toEqual(await run());
});
