/**
 * One atomic write against its disk: every subset of its sectors, every byte, every bit, a crash at every operation.
 * It is there whole, with its hard state, its cut and its records, or nothing of it is.
 */
import type { SimulatedDisk } from "@quipu/simulator";
import { describe, expect, test } from "vitest";
import { makeDisk, openLog } from "./wal-harness.ts";
import { applyWrite, emptyGroup, type ModelGroup, type ModelWrite, queue, recoveredGroup } from "./wal-model.ts";

const first = "wal/wal-000000000001";
const tinyLimits = { segmentBytes: 32 * 1024, frameBytesMax: 8 * 1024, hardStateBytesMax: 8, groupsMax: 4 };

const records = (from: number, count: number, bytes: number): { number: number; bytes: number }[] =>
  Array.from({ length: count }, (_, i) => ({ number: from + i, bytes }));

/** What a consensus engine asks for in its life: votes, entries, a conflict, a snapshot, a trim. */
const script: readonly ModelWrite[] = [
  { group: 1, hardState: 1, records: records(1, 5, 40) },
  { group: 2, hardState: 1, records: records(1, 3, 700) },
  { group: 1, hardState: 2, truncateFrom: 3, records: records(13, 4, 300) },
  { group: 2, hardState: 2, restartAt: 2, records: records(20, 2, 900) },
  { group: 1, trimUpTo: 4, truncateFrom: 6, hardState: 3, records: records(30, 3, 700) },
  { group: 2, hardState: 3, restartAt: 500, records: [] },
];

type Model = readonly [ModelGroup, ModelGroup];

/** After each write of the script, the first of them after none. */
const states: readonly Model[] = script.reduce<Model[]>(
  (all, write) => {
    const [one, two] = all.at(-1) ?? [emptyGroup, emptyGroup];
    return [...all, write.group === 1 ? [applyWrite(one, write), two] : [one, applyWrite(two, write)]];
  },
  [[emptyGroup, emptyGroup]],
);

async function run(disk: SimulatedDisk, count: number, onDone?: () => void): Promise<void> {
  const { wal } = await openLog(disk, tinyLimits);
  for (const write of script.slice(0, count)) {
    await new Promise<void>((resolve, reject) => {
      queue(wal, write, (error) => (error === undefined ? resolve() : reject(error as Error)));
    });
    onDone?.();
  }
  await wal.close();
}

/** How many writes of the script a start finds, or that it is refused. */
async function found(disk: SimulatedDisk): Promise<number | "corrupt"> {
  let model: Model;
  try {
    const { wal } = await openLog(disk, tinyLimits);
    model = [await recoveredGroup(wal, 1), await recoveredGroup(wal, 2)];
    await wal.close();
  } catch (error) {
    expect(error).toMatchObject({ code: "LOG_CORRUPT", message: expect.stringMatching(/wal-\d{12} at offset \d+: /) });
    return "corrupt";
  }
  const text = JSON.stringify(model);
  const count = states.findIndex((state) => JSON.stringify(state) === text);
  expect(count, text).toBeGreaterThanOrEqual(0);
  return count;
}

function usedBytes(disk: SimulatedDisk): number {
  const last = disk.bytes(first).findLastIndex((byte) => byte !== 0);
  return Math.ceil((last + 1) / 512) * 512;
}

describe.each(script.map((_, i) => i + 1))("the last frame is write %i", (count) => {
  async function lastFrame(): Promise<{ disk: SimulatedDisk; from: number; to: number }> {
    const before = makeDisk();
    await run(before, count - 1);
    const disk = makeDisk();
    await run(disk, count);
    return { disk, from: usedBytes(before), to: usedBytes(disk) };
  }

  test("every subset of its sectors: whole or not there, and so it stays", async () => {
    const { disk, from, to } = await lastFrame();
    const sectors = (to - from) / 512;
    expect(sectors).toBeLessThan(8);
    for (let kept = 0; kept < 1 << sectors; kept++) {
      const torn = disk.clone();
      for (let i = 0; i < sectors; i++) {
        if ((kept & (1 << i)) === 0) torn.overwrite(first, from + i * 512, new Uint8Array(512));
      }
      const expected = kept === (1 << sectors) - 1 ? count : count - 1;
      expect(await found(torn)).toBe(expected);
      expect(await found(torn.crash("none"))).toBe(expected);
    }
  });

  test("zero from any byte on (every third), any bit flipped (every thirteenth): never another state", async () => {
    const { disk, from, to } = await lastFrame();
    for (let cut = from; cut < to; cut += 3) {
      const torn = disk.clone();
      torn.overwrite(first, cut, new Uint8Array(to - cut));
      expect(cut <= to - 512 ? [count - 1, "corrupt"] : ["corrupt"]).toContain(await found(torn));
    }
    for (let bit = from * 8; bit < to * 8; bit += 13) {
      const damaged = disk.clone();
      damaged.flipBit(first, bit);
      expect(await found(damaged)).toBe("corrupt");
    }
  });
});

test.each(["none", "all", "random"] as const)("a crash at every operation that keeps %s", async (keeps) => {
  const whole = makeDisk();
  await run(whole, script.length);
  const outcomes = new Set<number>();
  for (let crashAt = 0; crashAt < whole.operations; crashAt++) {
    const disk = makeDisk(crashAt + 1);
    let acknowledged = 0;
    let after: SimulatedDisk | undefined;
    const crashed = new Promise<void>((resolve) => {
      disk.fault = ({ number }) => {
        if (number < crashAt || after !== undefined) return undefined;
        after = disk.crash(keeps);
        resolve();
        return undefined;
      };
    });
    await Promise.race([run(disk, script.length, () => acknowledged++), crashed]);
    const count = await found(after ?? disk.crash(keeps));
    expect([acknowledged, acknowledged + 1]).toContain(count);
    outcomes.add(Number(count) - acknowledged);
  }
  expect(outcomes.has(0)).toBe(true);
  expect(outcomes.has(1)).toBe(keeps !== "none");
});
