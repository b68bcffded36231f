/** The real ports: disk, clock, chance, LevelDB. */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { QuipuError } from "@quipu/core";
import { expect, test, vi } from "vitest";
import { CryptoRandom } from "../src/ports/crypto-random.ts";
import { LevelStore } from "../src/ports/level-store.ts";
import { NodeClock, timerDelayMsMax } from "../src/ports/node-clock.ts";
import { NodeDisk } from "../src/ports/node-disk.ts";
import { temporaryDirectory } from "./temporary.ts";

const root = temporaryDirectory();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value);

test("a file is written and read by position, a read past the end is short", async () => {
  const disk = new NodeDisk(root);
  await disk.makeDirectory("a/b");
  const file = await disk.open("a/b/file", { create: "new" });
  expect(await file.write(bytes("world"), 6)).toBe(5);
  expect(await file.write(bytes("hello "), 0)).toBe(6);
  await file.sync();
  await disk.syncDirectory("a/b");
  expect(await file.size()).toBe(11);
  const into = new Uint8Array(20);
  expect(await file.read(into, 6)).toBe(5);
  expect(text(into.subarray(0, 5))).toBe("world");
  await file.close();
  expect(await disk.list("a/b")).toEqual(["file"]);
  await disk.rename("a/b/file", "a/b/other");
  expect(await disk.exists("a/b/file")).toBe(false);
  expect(await disk.exists("a/b/other")).toBe(true);
  await disk.remove("a/b/other");
  expect(await disk.list("a/b")).toEqual([]);
});

test("writeAndSync writes, syncs and reports how long the sync took; a failed one rejects", async () => {
  const syncsMs: number[] = [];
  const disk = new NodeDisk(root, { onSync: (durationMs) => syncsMs.push(durationMs) });
  await disk.makeDirectory("commit");
  const file = await disk.open("commit/log", { create: "new" });
  expect(await file.writeAndSync(bytes("abc"), 512)).toBe(3);
  expect(await file.size()).toBe(515);
  expect(syncsMs).toHaveLength(1);
  await file.close();
  await expect(file.writeAndSync(bytes("x"), 0)).rejects.toMatchObject({ name: "DiskError", code: "EBADF" });
});

test("failures carry the POSIX code", async () => {
  const disk = new NodeDisk(root);
  await disk.makeDirectory("codes");
  await expect(disk.open("codes/none", { create: "no" })).rejects.toMatchObject({ name: "DiskError", code: "ENOENT" });
  const file = await disk.open("codes/one", { create: "new" });
  await file.close();
  await expect(disk.open("codes/one", { create: "new" })).rejects.toMatchObject({ code: "EEXIST", path: "codes/one" });
  await expect(file.sync()).rejects.toMatchObject({ code: "EBADF" });
  await expect(disk.list("codes/none")).rejects.toMatchObject({ code: "ENOENT" });
});

test("a timer longer than setTimeout can hold does not fire at once", () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const fired = vi.fn();
    const clock = new NodeClock();
    clock.setTimer(timerDelayMsMax + 1000, fired);
    vi.advanceTimersByTime(timerDelayMsMax);
    expect(fired).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    expect(fired).toHaveBeenCalledTimes(1);
    const cancelled = clock.setTimer(timerDelayMsMax + 1000, fired);
    vi.advanceTimersByTime(timerDelayMsMax + 1);
    cancelled();
    vi.advanceTimersByTime(5000);
    expect(fired).toHaveBeenCalledTimes(1);
    clock.setTimer(Number.POSITIVE_INFINITY, fired)();
  } finally {
    vi.useRealTimers();
  }
});

test("chance stays below its limit", () => {
  const random = new CryptoRandom();
  const draws = Array.from({ length: 3000 }, () => random.below(7));
  expect(Math.max(...draws)).toBe(6); // 3,000 draws without a 6: (6/7)^3000, about 10^-200.
  expect(Math.min(...draws)).toBe(0);
  expect(random.chance(0, 1)).toBe(false);
  expect(random.chance(1, 1)).toBe(true);
});

test("the store keeps batches, lists ranges in order and in pages", async () => {
  const directory = path.join(root, "store");
  const store = await LevelStore.open(directory);
  const batch = store.batch();
  for (let index = 0; index < 2500; index++) batch.put(Uint8Array.of(1, index >> 8, index & 255), bytes(`v${index}`));
  batch.put(Uint8Array.of(2), bytes("outside"));
  await batch.write({ sync: false });
  const removal = store.batch();
  removal.delete(Uint8Array.of(1, 0, 0));
  await removal.write({ sync: true });
  const given = store.batch();
  given.put(Uint8Array.of(1, 0, 0), bytes("never"));
  await given.abandon();
  await store.close();

  const again = await LevelStore.open(directory);
  const pages: number[] = [];
  let last = -1;
  for await (const page of again.entries(Uint8Array.of(1), Uint8Array.of(2))) {
    pages.push(page.length);
    for (const [key] of page) {
      const index = ((key[1] as number) << 8) | (key[2] as number);
      expect(index).toBeGreaterThan(last);
      last = index;
    }
  }
  expect(pages.length).toBeGreaterThan(2);
  expect(pages.reduce((sum, length) => sum + length, 0)).toBe(2499);
  expect(text(await again.get(Uint8Array.of(2)))).toBe("outside");
  expect(await again.get(Uint8Array.of(1, 0, 0))).toBeUndefined();
  await again.close();
});

test("a store that is opened anew keeps what it has, takes batches and holds its lock", async () => {
  const directory = path.join(root, "reopened");
  const store = await LevelStore.open(directory);
  for (const key of [1, 2]) {
    const batch = store.batch();
    batch.put(Uint8Array.of(key), bytes(`v${key}`));
    await batch.write({ sync: true });
    await store.reopen();
  }
  expect(text(await store.get(Uint8Array.of(1)))).toBe("v1");
  expect(text(await store.get(Uint8Array.of(2)))).toBe("v2");
  await expect(LevelStore.open(directory)).rejects.toMatchObject({ code: "DATA_DIRECTORY_IN_USE" });
  await store.close();
});

test("a store that is open cannot be opened again", async () => {
  const directory = path.join(root, "locked");
  const store = await LevelStore.open(directory);
  await expect(LevelStore.open(directory)).rejects.toMatchObject({ code: "DATA_DIRECTORY_IN_USE" });
  await store.close();
  await (await LevelStore.open(directory)).close();
});

test("a store whose manifest is gone, or is not the one that CURRENT names, is corrupt", async () => {
  for (const how of ["gone", "misnamed"]) {
    const directory = path.join(root, `manifest-${how}`);
    await (await LevelStore.open(directory)).close();
    if (how === "misnamed") writeFileSync(path.join(directory, "CURRENT"), "MANIFEST-999999\n");
    else for (const name of readdirSync(directory)) if (name.startsWith("MANIFEST")) rmSync(path.join(directory, name));
    await expect(LevelStore.open(directory)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  }
});

test("a store that cannot be created says why", async () => {
  const failure = await LevelStore.open(path.join(root, "store", "CURRENT", "below-a-file")).catch((error) => error);
  expect(failure).toBeInstanceOf(QuipuError);
  expect(failure.code).toBe("DATA_DIRECTORY_UNUSABLE");
});
