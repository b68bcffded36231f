/**
 * Mistakes that other implementations made, one test each, named by the case (research list P2, P12–P15, as far as they
 * concern the files of a log and the engine on them). P3–P11 are in the consensus package, the rest in counters and cluster.
 */
import type { MemberId } from "@quipu/consensus";
import { type Lsn, lsn } from "@quipu/core";
import type { DiskOperation, SimulatedDisk } from "@quipu/simulator";
import { describe, expect, test } from "vitest";
import { fileMetadataStore, type LogMutation, type WriteAheadLog } from "../src/mod.ts";
import { bothEngines, bytesOf, type CellOptions, Reading, TestCell } from "./group-harness.ts";
import { append, makeDisk, openLog, readAll, record, trim } from "./wal-harness.ts";
import { applyWrite, emptyGroup, type ModelGroup, type ModelWrite, queue, recoveredGroup } from "./wal-model.ts";

const tinyLimits = { segmentBytes: 32 * 1024, frameBytesMax: 8 * 1024, hardStateBytesMax: 8, groupsMax: 4 };
const first = "wal/wal-000000000001";
const crashes = ["none", "all", "random"] as const;

const numbers = (records: readonly Uint8Array[]): readonly number[] =>
  records.map((bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true));

/** Runs `work` until the power fails before operation `crashAt`; returns what the machine finds. */
async function crashBefore(
  crashAt: number,
  disk: SimulatedDisk,
  keeps: (typeof crashes)[number],
  work: () => Promise<unknown>,
): Promise<SimulatedDisk> {
  let after: SimulatedDisk | undefined;
  const crashed = new Promise<void>((resolve) => {
    disk.fault = ({ number }) => {
      if (number >= crashAt && after === undefined) {
        after = disk.crash(keeps);
        resolve();
      }
      return undefined;
    };
  });
  await Promise.race([work(), crashed]);
  return after ?? disk.crash(keeps);
}

/** The upkeep of a log: a busy group that is trimmed, a quiet one that is written again at the head, snapshots. */
class Upkeep {
  /** What was acknowledged, and what would be there if the write under way were. */
  readonly settled: Map<number, ModelGroup> = new Map();
  readonly underWay: Map<number, ModelGroup> = new Map();
  rewrites = 0;
  #record = 0;

  async run(disk: SimulatedDisk): Promise<void> {
    let begun = false;
    const { wal } = await openLog(disk, tinyLimits, { onSegmentBegun: () => (begun = true) });
    await this.#write(wal, { group: 2, hardState: 7, records: this.#records(3) });
    for (let round = 1; round <= 30; round++) {
      await this.#write(wal, { group: 1, hardState: round, records: this.#records(2) });
      if (round % 3 === 0) await this.#write(wal, { group: 1, trimUpTo: 2 * round - 3, records: [] });
      // A member that was far behind installs a snapshot: its log begins anew above everything it had.
      if (round === 20) await this.#write(wal, { group: 3, hardState: 1, restartAt: 1_000, records: [] });
      if (begun && wal.pinningGroups().includes(2)) await this.#rewrite(wal);
      begun = false;
    }
    await wal.close();
  }

  async #rewrite(wal: WriteAheadLog): Promise<void> {
    const { first: restartAt, records } = this.#of(2);
    await this.#write(wal, { group: 2, hardState: 7, restartAt, records });
    this.rewrites++;
  }

  async #write(wal: WriteAheadLog, write: ModelWrite): Promise<void> {
    const after = applyWrite(this.#of(write.group), write);
    this.underWay.set(write.group, after);
    await new Promise<void>((resolve, reject) => {
      queue(wal, write, (error) => (error === undefined ? resolve() : reject(error as Error)));
    });
    this.settled.set(write.group, after);
  }

  #of(group: number): ModelGroup {
    return this.settled.get(group) ?? emptyGroup;
  }

  #records(count: number): ModelGroup["records"] {
    return Array.from({ length: count }, () => ({ number: ++this.#record, bytes: 1_000 }));
  }
}

describe("P2 etcd 14685 (defragmentation), 17780 (compaction): upkeep that a crash interrupts loses data, or goes back", () => {
  test.each(crashes)(
    "trim, unlink, rewrite at the head, begin anew: the power fails at every operation, keeps %s",
    async (keeps) => {
      const whole = makeDisk();
      const upkeep = new Upkeep();
      await upkeep.run(whole);
      // All of it has happened: the oldest files are gone, the quiet group stands in a newer one.
      expect(upkeep.rewrites).toBeGreaterThan(0);
      expect(whole.paths()).not.toContain(first);
      for (let crashAt = 1; crashAt < whole.operations; crashAt++) {
        const { settled, underWay, disk } = await interrupted(crashAt, keeps);
        const { wal } = await openLog(disk, tinyLimits);
        for (const group of [1, 2, 3]) {
          const before = settled.get(group) ?? emptyGroup;
          const found = await recoveredGroup(wal, group);
          expect([before, underWay.get(group) ?? emptyGroup]).toContainEqual(found);
          // No position that was told to anybody goes back.
          expect(wal.firstIndex(group)).toBeGreaterThanOrEqual(before.first);
          expect(wal.nextIndex(group)).toBeGreaterThanOrEqual(before.first + before.records.length);
        }
        await append(wal, 1, [record(9_999)]);
        await wal.close();
      }
    },
  );

  test.each(bothEngines)(
    "a %s group's own: a member loses its power at one I/O after another while it trims and rewrites",
    async (engine) => {
      const cell = await TestCell.open({ engine, seed: 2, settings: { rewriteBytesMax: 20_000 } });
      const acknowledged: string[] = [];
      const victim = cell.founders[2] as MemberId;
      let rounds = 0;
      for (let operations = 0, isOver = false; !isOver; operations++) {
        await cell.untilLeader();
        const text = `round ${operations}`;
        const { last } = await cell.until(cell.node(cell.founders[0] as MemberId).log.append([bytesOf(text)]));
        acknowledged.push(text);
        await cell.until(() => cell.group(victim).inspect().delivered >= last);
        const { start, last: lastBefore } = cell.group(victim).inspect();
        let left = operations;
        let isPowered = true;
        const { disk, wal } = cell.node(victim);
        disk.fault = () => {
          if (--left < 0 && isPowered) {
            isPowered = false;
            cell.crash(victim);
          }
          return undefined;
        };
        let isDone = false;
        void upkeepOf(cell, victim, last, operations).then(() => (isDone = true));
        await cell.until(() => isDone || !isPowered);
        // What goes on behind an acknowledgement: the rewrite, files that are unlinked or made ready.
        const endMs = cell.nowMs + 2_000;
        await cell.until(() => cell.nowMs >= endMs || !isPowered);
        isOver = isPowered;
        if (isOver) expect(wal.pinningGroups()).not.toContain(1);
        rounds++;
        disk.fault = undefined;
        if (isPowered) cell.crash(victim);
        await cell.start(victim);
        const view = cell.group(victim).inspect();
        expect(view.start.index).toBeGreaterThanOrEqual(start.index);
        expect(view.last).toBeGreaterThanOrEqual(lastBefore);
        const reading = new Reading(cell.node(victim).log, view.start.index + 1);
        await cell.until(() => reading.texts.has(last));
        const kept = reading.all;
        expect(acknowledged.slice(-kept.length)).toEqual(kept);
      }
      expect(rounds).toBeGreaterThan(50);
      expect(cell.group(victim).inspect().start.index).toBeGreaterThan(50);
      expect(cell.node(victim).disk.paths()).not.toContain(first);
      for (const { fatal } of cell.nodes.values()) expect(fatal).toEqual([]);
    },
  );

  /** All members trim; another group on the victim's disk is busy, so that the old segments would go. */
  async function upkeepOf(cell: TestCell, victim: MemberId, last: Lsn, round: number): Promise<void> {
    const upTo = lsn(Math.max(0, last - 2));
    if (round % 6 === 0) for (const { log } of cell.nodes.values()) void log.trim(upTo).catch(() => undefined);
    const { wal } = cell.node(victim);
    for (let i = 0; i < 9; i++) {
      const index = await append(wal, 9, [record(i, 150_000)]);
      await trim(wal, 9, index);
    }
  }

  async function interrupted(
    crashAt: number,
    keeps: (typeof crashes)[number],
  ): Promise<Upkeep & { disk: SimulatedDisk }> {
    const upkeep = new Upkeep();
    const disk = makeDisk(crashAt);
    const found = await crashBefore(crashAt, disk, keeps, () => upkeep.run(disk));
    return Object.assign(upkeep, { disk: found });
  }
});

/** Three frames of one record, and one of several sectors that begins at `from`. */
async function withLastFrame(): Promise<{ disk: SimulatedDisk; from: number; to: number }> {
  const disk = makeDisk();
  const { wal } = await openLog(disk, tinyLimits);
  const used = (): number => Math.ceil((disk.bytes(first).findLastIndex((byte) => byte !== 0) + 1) / 512) * 512;
  for (let number = 1; number <= 3; number++) await append(wal, 1, [record(number, 40)]);
  const from = used();
  await append(wal, 1, [record(4, 700), record(5, 700)]);
  await wal.close();
  return { disk, from, to: used() };
}

async function recordsOf(disk: SimulatedDisk, mutation?: LogMutation): Promise<readonly number[]> {
  const { wal } = await openLog(disk, tinyLimits, mutation === undefined ? {} : { mutation });
  const found = numbers(await readAll(wal, 1));
  await wal.close();
  return found;
}

describe("P12 CTRL (FAST'18), etcd isTornEntry: what a crash tore, and what is corrupt", () => {
  test("only the last frame, with a whole sector still zero, was torn: nobody was told of it, so it may go", async () => {
    const { disk, from, to } = await withLastFrame();
    for (let sector = from; sector < to; sector += 512) {
      const torn = disk.clone();
      torn.overwrite(first, sector, new Uint8Array(512));
      expect(await recordsOf(torn)).toEqual([1, 2, 3]);
    }
  });

  test("whatever else does not match its checksum is named and kept: a voter must not forget what it acknowledged", async () => {
    const { disk, from, to } = await withLastFrame();
    for (let at = 0; at < to; at += 97) {
      const damaged = disk.clone();
      damaged.flipBit(first, at * 8);
      const before = damaged.bytes(first);
      const frame = new RegExp(`^${first} at offset ${at >= from ? from : "\\d+"}: `);
      await expect(recordsOf(damaged)).rejects.toMatchObject({
        code: "LOG_CORRUPT",
        message: expect.stringMatching(frame),
      });
      // Not repaired either: the next start, and whoever examines it, sees the same.
      expect(Buffer.compare(damaged.bytes(first), before)).toBe(0);
      await expect(recordsOf(damaged)).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    }
  });

  test("a zero sector of an earlier frame is corruption, not a tear", async () => {
    const { disk, from } = await withLastFrame();
    for (let sector = 0; sector < from; sector += 512) {
      const damaged = disk.clone();
      damaged.overwrite(first, sector, new Uint8Array(512));
      await expect(recordsOf(damaged)).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    }
  });

  test("cut off where a checksum fails, the log would forget acknowledged records and say nothing", async () => {
    const { disk } = await withLastFrame();
    disk.flipBit(first, (1024 + 100) * 8);
    await expect(recordsOf(disk.clone())).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    expect(await recordsOf(disk.clone(), "torn-tail-rule-in-mid-file")).toEqual([1]);
  });
});

describe("P13 fsync failure (ATC'20): the pages are clean, the next sync succeeds, the data are gone", () => {
  /** One record is durable, the sync of the second fails once. Returns what was acknowledged, and what a restart finds. */
  async function failedSync(
    mutation?: LogMutation,
  ): Promise<{ acknowledged: number[]; found: readonly number[]; fatal: number }> {
    const disk = makeDisk();
    const { wal, fatal } = await openLog(disk, tinyLimits, mutation === undefined ? {} : { mutation });
    const acknowledged: number[] = [];
    const write = (number: number): Promise<void> =>
      append(wal, 1, [record(number)]).then(
        () => void acknowledged.push(number),
        (error: unknown) => expect(error).toMatchObject({ code: "DISK_FAILED", outcome: "unknown" }),
      );
    await write(1);
    let failures = 0;
    disk.fault = ({ type, path }) =>
      type === "sync" && path === first && failures++ === 0 ? { type: "error", code: "EIO" } : undefined;
    const failing = write(2);
    const waiting = write(3);
    await Promise.all([failing, waiting]);
    // The disk is fine again, says the system.
    for (const number of [4, 5]) await write(number);
    return { acknowledged, found: await recordsOf(disk.crash("all")), fatal: fatal.length };
  }

  test("the log ends there: nothing is acknowledged afterwards, and the next start reads what is really there", async () => {
    expect(await failedSync()).toEqual({ acknowledged: [1], found: [1], fatal: 1 });
  });

  test("tried again, it would acknowledge what is nowhere", async () => {
    const { acknowledged, found } = await failedSync("fsync-error-retried").catch((error: { code: string }) => {
      expect(error.code).toBe("LOG_CORRUPT");
      return { acknowledged: [2], found: [] as readonly number[] };
    });
    expect(acknowledged.filter((number) => !found.includes(number))).not.toEqual([]);
  });

  test.each(bothEngines)(
    "a member of a %s group whose sync fails is never counted for what it could not keep, and has it after a restart",
    async (engine) => {
      const cell = await TestCell.open({ engine, seed: 13 });
      const leader = await cell.untilLeader();
      const broken = cell.follower();
      await cell.until(cell.node(leader).log.append([bytesOf("a")]));
      await cell.forMs(200);
      const kept = cell.group(broken).inspect().last;
      const { disk, fatal } = cell.node(broken);
      let failures = 0;
      disk.fault = ({ type }) => (type === "sync" && failures++ === 0 ? { type: "error", code: "EIO" } : undefined);
      for (const text of ["b", "c", "d"]) await cell.until(cell.node(leader).log.append([bytesOf(text)]));
      await cell.forMs(300);
      expect(failures).toBeGreaterThan(0);
      expect(fatal.length).toBeGreaterThan(0);
      const progress = cell
        .group(leader)
        .inspect()
        .progress.find(({ member }) => member === broken);
      expect(progress?.match).toBe(kept);
      await cell.restart(broken);
      const reading = new Reading(cell.node(broken).log);
      await cell.until(() => reading.all.length === 4);
      expect(reading.all).toEqual(["a", "b", "c", "d"]);
    },
  );
});

/** What the disk was asked, in order. */
function recorded(disk: SimulatedDisk): DiskOperation[] {
  const operations: DiskOperation[] = [];
  disk.fault = (operation) => {
    operations.push(operation);
    return undefined;
  };
  return operations;
}

/** What most of ALICE's 60 vulnerabilities break: two unsynced writes may change places, a name may be lost or too early. */
function checkOrder(operations: readonly DiskOperation[], directory: string): void {
  const unsynced = new Set<string>();
  let renamed = false;
  for (const { type, path, number } of operations) {
    const where = `${type} of ${path}, operation ${number}`;
    // What is opened by a name that a crash may lose must not get anything that counts.
    if (type === "open") expect(renamed, `${where}: the directory is not synced`).toBe(false);
    else if (type === "write") {
      expect(unsynced.has(path), `${where}: another one before it is not synced`).toBe(false);
      unsynced.add(path);
    } else if (type === "sync") unsynced.delete(path);
    else if (type === "rename") {
      expect(unsynced.has(path), `${where}: its content may be lost, its name not`).toBe(false);
      renamed = true;
    } else if (type === "syncDirectory" && path === directory) renamed = false;
  }
}

describe("P14 ALICE (OSDI'14), etcd 6378: names that are not durable, writes that change places", () => {
  /** Fills several segments; resolves to what was acknowledged. */
  async function segments(disk: SimulatedDisk, mutation?: LogMutation, acknowledged: number[] = []): Promise<number[]> {
    const { wal } = await openLog(disk, tinyLimits, mutation === undefined ? {} : { mutation });
    for (let number = 1; number <= 45; number++) {
      await append(wal, 1, [record(number, 3_000)]);
      acknowledged.push(number);
      if (number === 20) await trim(wal, 1, number - 8);
    }
    await wal.close();
    return acknowledged;
  }

  const isThere = async (disk: SimulatedDisk, acknowledged: readonly number[]): Promise<boolean> => {
    const found = await recordsOf(disk).catch((): number[] => []);
    return acknowledged.slice(-8).every((number) => found.includes(number));
  };

  test("a file that was begun is there after a crash; without the sync of its directory it would be lost", async () => {
    const disk = makeDisk();
    const acknowledged = await segments(disk);
    expect(await isThere(disk.crash("none"), acknowledged)).toBe(true);
    const careless = makeDisk();
    const lost = await segments(careless, "directory-not-synced");
    expect(await isThere(careless.crash("none"), lost)).toBe(false);
  });

  test("content is synced before a rename, the directory before the name is relied on, no two writes unsynced", async () => {
    const disk = makeDisk();
    const operations = recorded(disk);
    await segments(disk);
    expect(operations.filter(({ type }) => type === "rename").length).toBeGreaterThan(2);
    checkOrder(operations, "wal");
  });

  test("so are the registers, each change of which is a rename", async () => {
    const disk = makeDisk();
    const operations = recorded(disk);
    await disk.makeDirectory("metadata");
    await disk.syncDirectory(".");
    const store = await fileMetadataStore(disk, "metadata");
    for (let version = 0; version < 4; version++) {
      expect(await store.compareAndSet("chain", version, bytesOf(`${version}`))).toBe(true);
      // Acknowledged means that the name is durable, not only the bytes.
      expect(operations.at(-1)).toMatchObject({ type: "syncDirectory", path: "metadata" });
      const after = await fileMetadataStore(disk.clone().crash("none"), "metadata");
      expect(await after.get("chain")).toMatchObject({ version: version + 1 });
    }
    checkOrder(operations, "metadata");
  });

  test("whatever unsynced sectors and names survive, in whatever mixture, a start finds what was acknowledged", async () => {
    const whole = makeDisk();
    await segments(whole);
    for (let crashAt = 1; crashAt < whole.operations; crashAt += 3) {
      const disk = makeDisk(crashAt);
      const acknowledged: number[] = [];
      const found = await crashBefore(crashAt, disk, "random", () => segments(disk, undefined, acknowledged));
      expect(await isThere(found, acknowledged), `crash before operation ${crashAt}`).toBe(true);
    }
  });
});

describe("P15 no lease: a leader that was paused, or whose clock stands still or jumps, does not answer from the past", () => {
  /**
   * The leader does not run, then runs again; its timers have told it as much of the pause as `clockSees` when it is asked
   * for a tail. Meanwhile others have acknowledged a record.
   */
  async function tailAfterPause(
    clockSees: "nothing" | "all of it at once",
    options: CellOptions = {},
  ): Promise<{ readonly tail: number | string; readonly acknowledged: number }> {
    const cell = await TestCell.open({ seed: 15, ...options });
    const paused = await cell.untilLeader();
    const { log, life } = cell.node(paused);
    await cell.until(log.append([bytesOf("before")]));
    await cell.until(log.tail());
    const held: (() => void)[] = [];
    let isPaused = true;
    const schedule = cell.schedule.bind(cell);
    cell.schedule = (delayMs, of, action) =>
      schedule(delayMs, of, () => (isPaused && of === life ? void held.push(action) : action()));
    // Timers set before the pause run once more, then nothing of it does.
    await cell.forMs(100);
    cell.isolate(paused);
    const follows = (): MemberId | undefined => (cell.leader() === paused ? undefined : cell.leader());
    await cell.until(() => follows() !== undefined);
    const { last } = await cell.until(cell.node(follows() as MemberId).log.append([bytesOf("meanwhile")]));
    expect(cell.group(paused).inspect().role).toBe("leader");
    isPaused = false;
    cell.heal();
    const late = clockSees === "nothing" ? [] : held.splice(0);
    for (const action of late) action();
    const asked = log.tail().then(
      ({ tail }) => tail,
      (error: { readonly code: string }) => error.code,
    );
    for (const action of held) action();
    return { tail: await cell.until(asked), acknowledged: last };
  }

  test.each(bothEngines.flatMap((engine) => [[engine, "nothing"] as const, [engine, "all of it at once"] as const]))(
    "when a %s leader is asked, its timers have told it %s of the pause",
    async (engine, clockSees) => {
      const { tail, acknowledged } = await tailAfterPause(clockSees, { engine });
      if (typeof tail === "number") expect(tail).toBeGreaterThan(acknowledged);
      else expect(tail).toBe("OVERLOADED");
    },
  );

  test("with an answer kept from before the pause it would", async () => {
    const { tail, acknowledged } = await tailAfterPause("nothing", { mutation: "barrier-answer-cached" });
    expect(tail).toBeLessThanOrEqual(acknowledged);
  });
});
