/**
 * Atomic writes of three groups on a disk that is full at times: each happens whole or is refused whole, nothing that
 * builds on a refused write happens, and what an owner learns is what the log, and a later start, holds.
 */
import { SeededRandom } from "@quipu/core";
import type { SimulatedDisk } from "@quipu/simulator";
import { expect, test } from "vitest";
import type { WriteAheadLog } from "../src/mod.ts";
import { makeDisk, openLog, record, testClock } from "./wal-harness.ts";
import {
  applyWrite,
  emptyGroup,
  isTrim,
  type ModelGroup,
  type ModelWrite,
  queue,
  randomRecords,
  randomWrite,
  recoveredGroup,
} from "./wal-model.ts";

const tinyLimits = { segmentBytes: 32 * 1024, frameBytesMax: 8 * 1024, hardStateBytesMax: 8, groupsMax: 8 };
const groups = [1, 2, 3];

interface Queued {
  readonly write: ModelWrite;
  readonly queuedAt: number;
  /** Whatever becomes of the writes before it. */
  readonly independent: boolean;
  toldAt?: number;
  refused?: boolean;
}

class Owner {
  /** What was acknowledged. */
  readonly durable: Map<number, ModelGroup> = new Map(groups.map((group) => [group, emptyGroup]));
  refusals = 0;
  readonly #wal: WriteAheadLog;
  readonly #random: SeededRandom;
  /** As it will be if nothing is refused. */
  #expected: Map<number, ModelGroup> = new Map();
  readonly #refused: Set<number> = new Set();
  #queued: Queued[] = [];
  #moment = 0;
  #pending = 0;
  #onTold: () => void = () => undefined;

  constructor(wal: WriteAheadLog, random: SeededRandom) {
    this.#wal = wal;
    this.#random = random;
  }

  /** Queues several writes, some of them while others are under way, and waits for all. */
  async burst(): Promise<void> {
    const random = this.#random;
    this.#expected = new Map(this.durable);
    this.#refused.clear();
    this.#queued = [];
    for (let i = 1 + random.below(12); i > 0; i--) {
      const group = groups[random.below(groups.length)] ?? 1;
      if (this.#refused.has(group)) continue;
      this.#push(randomWrite(random, group, this.#expected.get(group) ?? emptyGroup, 1500));
      if (random.chance(1, 3)) for (let turns = random.below(8); turns > 0; turns--) await Promise.resolve();
    }
    while (this.#pending > 0) await new Promise<void>((resolve) => (this.#onTold = resolve));
    for (const group of groups) this.#checkOrder(this.#queued.filter(({ write }) => write.group === group));
  }

  #push(write: ModelWrite): void {
    const entry: Queued = {
      write,
      queuedAt: ++this.#moment,
      independent: write.remove === true || isTrim(this.#wal, write),
    };
    const { group } = write;
    const done = (error: unknown): void => {
      expect(entry.toldAt).toBeUndefined();
      entry.toldAt = ++this.#moment;
      entry.refused = error !== undefined;
      this.#pending--;
      this.#onTold();
      if (error === undefined) {
        this.durable.set(group, applyWrite(this.durable.get(group) ?? emptyGroup, write));
        return;
      }
      expect(error).toMatchObject({ code: "DISK_FULL", outcome: "definite" });
      this.refusals++;
      this.#refused.add(group);
      // An owner that tries again at once: behind everything, on what is durable.
      if (this.#random.chance(1, 4)) this.#push({ group, records: randomRecords(this.#random, 2, 300) });
    };
    try {
      queue(this.#wal, write, done);
      this.#pending++;
    } catch (error) {
      // Not taken, and nothing changed.
      expect(error).toMatchObject({ code: "OVERLOADED", outcome: "definite" });
      return;
    }
    this.#queued.push(entry);
    this.#expected.set(group, applyWrite(this.#expected.get(group) ?? emptyGroup, write));
  }

  /**
   * Every state in which a crash may leave the group: of the writes that nobody was told of some first ones happened,
   * and of those that stand by themselves any.
   */
  possible(group: number): readonly ModelGroup[] {
    const open = this.#queued.filter(({ write, toldAt }) => write.group === group && toldAt === undefined);
    const bound = open.filter(({ independent }) => !independent);
    const alone = open.filter(({ independent }) => independent);
    const states: ModelGroup[] = [];
    for (let count = 0; count <= bound.length; count++) {
      for (let chosen = 0; chosen < 1 << alone.length; chosen++) {
        const happened = new Set([...bound.slice(0, count), ...alone.filter((_, i) => (chosen & (1 << i)) !== 0)]);
        const writes = open.filter((one) => happened.has(one)).map(({ write }) => write);
        states.push(writes.reduce(applyWrite, this.durable.get(group) ?? emptyGroup));
      }
    }
    return states;
  }

  /** Of one group, in queue order. */
  #checkOrder(queued: readonly Queued[]): void {
    const bound = queued.filter(({ independent }) => !independent);
    // When the owner heard of the refusal: what it queued before builds on it, what it queued since does not.
    let heardAt = 0;
    bound.forEach((one, i) => {
      const before = bound[i - 1];
      if (before !== undefined) expect(one.toldAt).toBeGreaterThan(before.toldAt ?? Infinity);
      if (one.queuedAt < heardAt) expect(one.refused, "it builds on a refused one").toBe(true);
      else heardAt = one.refused ? (one.toldAt ?? Infinity) : 0;
    });
  }
}

async function state(wal: WriteAheadLog): Promise<Map<number, ModelGroup>> {
  return new Map(await Promise.all(groups.map(async (group) => [group, await recoveredGroup(wal, group)] as const)));
}

async function fillAndFree(seed: number): Promise<number> {
  const random = new SeededRandom(seed);
  const disk: SimulatedDisk = makeDisk(seed);
  const { wal, fatal } = await openLog(disk, tinyLimits);
  const owner = new Owner(wal, random);
  const full = (2 + random.below(2)) * tinyLimits.segmentBytes + random.below(tinyLimits.segmentBytes);
  for (let round = 0; round < 60; round++) {
    disk.capacityBytes = random.chance(1, 6) ? 40 * tinyLimits.segmentBytes : full;
    testClock.nowMs += random.chance(1, 3) ? 10_000 : 0;
    await owner.burst();
  }
  expect(await state(wal)).toEqual(owner.durable);
  expect(fatal).toEqual([]);
  const again = await openLog(disk.crash("none"), tinyLimits);
  expect(await state(again.wal)).toEqual(owner.durable);
  await again.wal.close();
  return owner.refusals;
}

test("random writes, full and free by turns", async () => {
  let refusals = 0;
  for (let seed = 1; seed <= 25; seed++) {
    refusals += await fillAndFree(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
  }
  expect(refusals).toBeGreaterThan(500);
});

test("a crash at any I/O while the disk is full: what was refused did not happen, what was acknowledged did", async () => {
  let refusals = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed);
    const disk = makeDisk(seed);
    disk.capacityBytes = 3 * tinyLimits.segmentBytes;
    const { wal } = await openLog(disk, tinyLimits);
    const owner = new Owner(wal, random);
    const crashAt = disk.operations + 40 + random.below(400);
    let after: SimulatedDisk | undefined;
    const crashed = new Promise<void>((resolve) => {
      disk.fault = ({ number }) => {
        if (number < crashAt || after !== undefined) return undefined;
        after = disk.crash();
        resolve();
        return undefined;
      };
    });
    const work = (async () => {
      for (let round = 0; round < 200; round++) {
        testClock.nowMs += random.chance(1, 3) ? 10_000 : 0;
        await owner.burst();
      }
    })();
    await Promise.race([work, crashed]);
    refusals += owner.refusals;
    const again = await openLog(after ?? disk.crash(), tinyLimits);
    for (const group of groups) {
      const recovered = await recoveredGroup(again.wal, group);
      expect(owner.possible(group), `seed ${seed}`).toContainEqual(recovered);
    }
    await again.wal.close();
  }
  expect(refusals).toBeGreaterThan(100);
});

test("a write queued behind a refused one before its owner was told is refused, in order; what was kept comes first", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk, tinyLimits);
  disk.capacityBytes = 0;
  const told: string[] = [];
  const write = (name: string, group: number, ...[what]: [Parameters<WriteAheadLog["write"]>[1]]): void =>
    wal.write(group, what, (error) => told.push(error === undefined ? name : `${name} ${error.code}`));
  // The disk is full once the prepared segment is, too.
  for (let i = 1; told.at(-1) !== "fill DISK_FULL"; i++) {
    write("fill", 9, { records: [record(i, 3000)] });
    while (told.length < i) await Promise.resolve();
  }
  told.length = 0;
  write("vote", 1, { hardState: Uint8Array.of(1) });
  write("entry", 1, { records: [record(1, 3000)] });
  write("vote behind", 1, { hardState: Uint8Array.of(2) });
  write("other vote", 2, { hardState: Uint8Array.of(3) });
  // While the kept ones are being written: this one builds on "entry", as far as its owner knows.
  await Promise.resolve();
  await Promise.resolve();
  expect(told).toEqual([]);
  write("late", 1, { truncateFrom: 2, records: [record(2)] });
  while (told.length < 5) await Promise.resolve();
  expect(told).toEqual(["vote", "other vote", "entry DISK_FULL", "vote behind DISK_FULL", "late DISK_FULL"]);
  expect([wal.hardState(1), wal.hardState(2)]).toEqual([Uint8Array.of(1), Uint8Array.of(3)]);
  expect(wal.nextIndex(1)).toBe(1);
});
