/** Both metadata stores: compare-and-set; the file one also crashes, full disks and damage. */
import { describe, expect, test } from "vitest";
import { fileMetadataStore, memoryMetadataStore, type MetadataStore } from "../src/mod.ts";
import { makeDisk } from "./wal-harness.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const stores: readonly (readonly [string, () => Promise<MetadataStore>])[] = [
  ["memory", () => Promise.resolve(memoryMetadataStore())],
  ["file", () => fileMetadataStore(makeDisk(), ".")],
];

describe.each(stores)("metadata store: %s", (_name, make) => {
  test("a register is absent, then set from version 0, then only from the version it has", async () => {
    const store = await make();
    expect(await store.get("a")).toBeUndefined();
    expect(await store.compareAndSet("a", 1, bytes("x"))).toBe(false);
    expect(await store.compareAndSet("a", 0, bytes("x"))).toBe(true);
    expect(await store.compareAndSet("a", 0, bytes("y"))).toBe(false);
    expect(await store.compareAndSet("b", 0, bytes("z"))).toBe(true);
    expect(await store.compareAndSet("a", 1, bytes("y"))).toBe(true);
    expect(await store.get("a")).toEqual({ version: 2, value: bytes("y") });
    expect(await store.get("b")).toEqual({ version: 1, value: bytes("z") });
  });

  test("of changes that race from one version, exactly one wins", async () => {
    const store = await make();
    const wins = await Promise.all(Array.from({ length: 10 }, (_, i) => store.compareAndSet("a", 0, bytes(`${i}`))));
    expect(wins.filter((won) => won)).toHaveLength(1);
    expect(await store.get("a")).toEqual({ version: 1, value: bytes(`${wins.indexOf(true)}`) });
  });
});

describe("metadata store: file, on a disk that fails", () => {
  test("a crash at any I/O leaves the old value or the new one, and the new one if that was acknowledged", async () => {
    const seen = new Set<string>();
    let operations = Number.POSITIVE_INFINITY;
    for (let crashAt = 0; crashAt < operations; crashAt++) {
      for (let seed = 1; seed <= 10; seed++) {
        const disk = makeDisk(seed);
        const store = await fileMetadataStore(disk, ".");
        await store.compareAndSet("key", 0, bytes("old"));
        const start = disk.operations;
        let after: typeof disk | undefined;
        const crashed = new Promise<undefined>((resolve) => {
          disk.fault = ({ number }) => {
            if (number === start + crashAt) {
              after = disk.crash();
              resolve(undefined);
            }
            return undefined;
          };
        });
        const acknowledged = await Promise.race([store.compareAndSet("key", 1, bytes("new")), crashed]);
        if (after === undefined) operations = disk.operations - start;
        const again = await fileMetadataStore(after ?? disk.crash(), ".");
        const found = await again.get("key");
        const text = new TextDecoder().decode(found?.value);
        seen.add(text);
        expect(["old", "new"]).toContain(text);
        if (acknowledged === true) expect(text).toBe("new");
        // A left-over temporary file is no obstacle.
        expect(await again.compareAndSet("key", found?.version ?? 0, bytes("next"))).toBe(true);
      }
    }
    expect([...seen].sort()).toEqual(["new", "old"]);
  });

  test("a full disk refuses definitely and changes nothing; a failed sync ends the store", async () => {
    const disk = makeDisk();
    const fatal: unknown[] = [];
    const store = await fileMetadataStore(disk, ".", (error) => fatal.push(error));
    await store.compareAndSet("key", 0, bytes("old"));
    disk.fault = ({ type }) => (type === "write" ? { type: "error", code: "ENOSPC" } : undefined);
    await expect(store.compareAndSet("key", 1, bytes("new"))).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(await store.get("key")).toEqual({ version: 1, value: bytes("old") });
    disk.fault = ({ type }) => (type === "sync" ? { type: "error", code: "EIO" } : undefined);
    await expect(store.compareAndSet("key", 1, bytes("new"))).rejects.toMatchObject({ code: "DISK_FAILED" });
    expect(fatal).toHaveLength(1); // The owner is told: without the store a sealed log has no successor.
    disk.fault = undefined;
    await expect(store.get("key")).rejects.toMatchObject({ code: "DISK_FAILED" });
    expect(await (await fileMetadataStore(disk.crash(), ".")).get("key")).toEqual({ version: 1, value: bytes("old") });
  });

  test("every flipped bit and every cut is noticed", async () => {
    const disk = makeDisk();
    const store = await fileMetadataStore(disk, ".");
    await store.compareAndSet("key", 0, bytes("value"));
    const size = disk.bytes("metadata").length;
    for (let bit = 0; bit < size * 8; bit++) {
      const damaged = disk.clone();
      damaged.flipBit("metadata", bit);
      await expect(fileMetadataStore(damaged, ".")).rejects.toMatchObject({
        code: "LOG_CORRUPT",
        message: expect.stringMatching(/metadata at offset 0: /),
      });
    }
    for (let cut = 0; cut < size; cut++) {
      const damaged = disk.clone();
      damaged.cut("metadata", cut);
      await expect(fileMetadataStore(damaged, ".")).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    }
  });
});
