/** A consensus group on a disk that is full, or broken, or whose oldest segment is kept by a group that writes little. */
import { lsn } from "@quipu/core";
import { describe, expect, test } from "vitest";
import { bothEngines, bytesOf, Reading, TestCell } from "./group-harness.ts";

const large = (): Uint8Array => new Uint8Array(40_000);

describe.each(bothEngines)("%s:", (engine) => {
  test("a full disk: the member takes no appends, votes and follows nothing that it cannot keep; the others go on", async () => {
    const cell = await TestCell.open({ engine, seed: 1 });
    const leader = await cell.untilLeader();
    const full = cell.follower();
    await cell.until(cell.node(full).log.append([bytesOf("before")]));
    cell.node(full).disk.capacityBytes = 0;
    const { log } = cell.node(leader);
    for (let i = 0; i < 40; i++) await cell.until(log.append([large()]));
    await expect(cell.until(cell.node(full).log.append([bytesOf("x")]))).rejects.toMatchObject({ code: "DISK_FULL" });
    const { tail } = await cell.until(log.tail());
    expect(cell.group(full).inspect().delivered).toBeLessThan(tail - 1);
    expect(cell.node(full).fatal).toEqual([]);

    cell.node(full).disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    await cell.until(() => cell.group(full).inspect().delivered >= tail - 1);
    await cell.until(cell.node(full).log.append([bytesOf("after")]));
    const reading = new Reading(cell.node(full).log);
    const now = await cell.until(cell.node(full).log.tail());
    await cell.until(() => Math.max(0, ...reading.texts.keys()) === now.tail - 1);
    expect(reading.all.length).toBe(42);
    await cell.restart(full);
    await cell.until(() => cell.group(full).inspect().delivered >= now.tail - 1);
  });

  test("trims make room on a full disk, although entries wait before them", async () => {
    const cell = await TestCell.open({ engine, seed: 2 });
    const leader = await cell.untilLeader();
    const full = cell.follower();
    const { disk, wal } = cell.node(full);
    const { log } = cell.node(leader);
    for (let i = 0; i < 30; i++) await cell.until(log.append([large()]));
    await cell.until(() => cell.group(full).inspect().delivered >= 30);
    // As much as it has by now, not a byte more.
    await cell.forMs(1000);
    disk.capacityBytes = wal.sizeBytes + 512 * 1024;
    for (let i = 0; i < 60; i++) {
      await cell.until(log.append([large()]));
      if (i % 10 !== 9) continue;
      // Every member says what it has; the one with the full disk only what it could keep.
      await cell.forMs(500);
      for (const node of cell.nodes.values()) {
        const position = cell.group(node.member).inspect().delivered;
        await cell.until(node.log.trim(lsn(Math.max(1, position - 3))));
      }
      await cell.forMs(1500);
    }
    const { tail } = await cell.until(log.tail());
    await cell.until(() => cell.group(full).inspect().delivered >= tail - 1);
    expect(cell.node(full).fatal).toEqual([]);
  });

  test("a disk that fails ends the member: it answers nobody any more, and the others go on", async () => {
    const cell = await TestCell.open({ engine, seed: 3 });
    const broken = await cell.untilLeader();
    cell.node(broken).disk.fault = ({ type }) =>
      type === "sync" || type === "write" ? { type: "error", code: "EIO" } : undefined;
    const end = cell
      .node(broken)
      .log.append([bytesOf("x")])
      .then(
        () => "ok",
        (error: { readonly outcome: string }) => error.outcome,
      );
    expect(await cell.until(end)).toBe("unknown");
    expect(cell.node(broken).fatal.length).toBeGreaterThan(0);
    cell.crash(broken);
    await cell.until(() => cell.leader() !== undefined && cell.leader() !== broken);
    await cell.until(cell.node(await cell.untilLeader()).log.append([bytesOf("y")]));
  });

  test("a group that keeps the oldest segment with a few entries is written again at the head", async () => {
    const cell = await TestCell.open({ engine, seed: 4, settings: { rewriteBytesMax: 10_000 } });
    const leader = await cell.untilLeader();
    const { wal, log } = cell.node(leader);
    await cell.until(log.append([bytesOf("small")]));
    const oldest = wal.sizeBytes;
    // Another group on the same write-ahead log is busy, and trimmed.
    for (let i = 0; i < 60; i++) {
      const written = new Promise<void>((resolve) => void wal.append(9, [large()], () => resolve()));
      await cell.until(written);
      const trimmed = new Promise<void>((resolve) => wal.trim(9, i + 1, () => resolve()));
      await cell.until(trimmed);
    }
    await cell.forMs(500);
    expect(wal.sizeBytes).toBeLessThanOrEqual(oldest + 512 * 1024);
    expect(wal.pinningGroups()).not.toContain(1);
    await cell.restart(leader);
    await cell.untilLeader();
    const reading = new Reading(cell.node(leader).log);
    await cell.until(() => reading.all.includes("small"));
  });
});
