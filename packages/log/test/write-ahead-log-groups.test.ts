/** Several groups in one write-ahead log: pipelined, with hard states, trims, removals, and crashes at any I/O. */
import { lsn, SeededRandom } from "@quipu/core";
import type { SimulatedDisk } from "@quipu/simulator";
import { expect, test } from "vitest";
import { localEngine, memoryMetadataStore, openVirtualLog, type WriteAheadLog } from "../src/mod.ts";
import { append, crashAndOpen, makeDisk, openLog, readAll, record, trim } from "./wal-harness.ts";

const tinyLimits = { segmentBytes: 32 * 1024, frameBytesMax: 8 * 1024, hardStateBytesMax: 8, groupsMax: 8 };
const groups = [1, 2, 3];

/** What one group's user was told, and what it asked for. */
interface GroupModel {
  attempted: number;
  acknowledged: number;
  trimAttempted: number;
  trimAcknowledged: number;
  stateAttempted: number;
  stateAcknowledged: number;
}

function saveState(wal: WriteAheadLog, group: number, version: number): Promise<void> {
  return new Promise((resolve, reject) => {
    wal.saveHardState(group, Uint8Array.of(version), (error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Asks for something of a random group without waiting for what it asked for before. */
function step(wal: WriteAheadLog, random: SeededRandom, models: Map<number, GroupModel>): Promise<void> {
  const group = groups[random.below(groups.length)] ?? 1;
  const model = models.get(group);
  if (model === undefined) throw new Error(`no group ${group}`);
  if (random.chance(1, 8)) {
    const version = ++model.stateAttempted;
    return saveState(wal, group, version).then(() => {
      model.stateAcknowledged = version;
    });
  }
  if (random.chance(1, 6) && model.acknowledged > 2) {
    const upTo = model.acknowledged - random.below(3);
    model.trimAttempted = Math.max(model.trimAttempted, upTo);
    return trim(wal, group, upTo).then(() => {
      model.trimAcknowledged = Math.max(model.trimAcknowledged, upTo);
    });
  }
  const number = model.attempted + 1;
  const count = 1 + random.below(3);
  model.attempted += count;
  const records = Array.from({ length: count }, (_, i) => record(number + i, 8 + random.below(600)));
  return append(wal, group, records).then((first) => {
    expect(first).toBe(number);
    expect(model.acknowledged, "acknowledgements come in order").toBe(number - 1);
    model.acknowledged = number + count - 1;
  });
}

/** Compares a recovered log with the models, and takes what it has as the new truth. */
async function check(wal: WriteAheadLog, models: Map<number, GroupModel>): Promise<void> {
  for (const [group, model] of models) {
    const last = wal.nextIndex(group) - 1;
    expect(last).toBeGreaterThanOrEqual(model.acknowledged);
    expect(last).toBeLessThanOrEqual(model.attempted);
    expect(wal.firstIndex(group)).toBeGreaterThan(model.trimAcknowledged);
    expect(wal.firstIndex(group)).toBeLessThanOrEqual(model.trimAttempted + 1);
    const state = wal.hardState(group)?.[0] ?? 0;
    expect(state).toBeGreaterThanOrEqual(model.stateAcknowledged);
    expect(state).toBeLessThanOrEqual(model.stateAttempted);
    let index = wal.firstIndex(group);
    for (const bytes of await readAll(wal, group)) {
      expect(Buffer.compare(bytes, record(index++, bytes.length))).toBe(0);
    }
    const first = wal.firstIndex(group) - 1;
    Object.assign(model, { attempted: last, acknowledged: last, trimAttempted: first, trimAcknowledged: first });
    Object.assign(model, { stateAttempted: state, stateAcknowledged: state });
  }
}

async function live(disk: SimulatedDisk, random: SeededRandom, models: Map<number, GroupModel>): Promise<void> {
  const { wal, fatal } = await openLog(disk, tinyLimits);
  await check(wal, models);
  for (let round = 0; round < 30; round++) {
    const burst = Array.from({ length: 1 + random.below(6) }, () => step(wal, random, models));
    await Promise.all(burst);
  }
  expect(fatal).toEqual([]);
}

test("three groups, pipelined, through crashes at any I/O", async () => {
  let unlinked = 0;
  for (let seed = 1; seed <= 80; seed++) {
    const random = new SeededRandom(seed);
    const models = new Map<number, GroupModel>();
    for (const group of groups) {
      models.set(group, {
        attempted: 0,
        acknowledged: 0,
        trimAttempted: 0,
        trimAcknowledged: 0,
        stateAttempted: 0,
        stateAcknowledged: 0,
      });
    }
    let disk = makeDisk(seed);
    for (let life = 0; life < 4; life++) {
      const base = disk;
      const crashAt = base.operations + random.below(150);
      let after: SimulatedDisk | undefined;
      const crashed = new Promise<void>((resolve) => {
        base.fault = ({ number }) => {
          if (number >= crashAt && after === undefined) {
            after = base.crash();
            resolve();
          }
          return undefined;
        };
      });
      await Promise.race([live(base, random, models), crashed]);
      disk = after ?? base.crash();
    }
    const { wal } = await openLog(disk, tinyLimits);
    await check(wal, models);
    await wal.close();
    if (!disk.paths().includes("wal/wal-000000000001")) unlinked++;
  }
  expect(unlinked, "some log grew and was trimmed").toBeGreaterThan(0);
});

test("a virtual log's trimmed segment gives its group back: nothing of it pins, also after a crash", async () => {
  const disk = makeDisk();
  const { wal } = await openLog(disk, tinyLimits);
  const options = { metadata: memoryMetadataStore(), key: "chain", initialEngine: "local" };
  const log = await openVirtualLog({ ...options, engines: { local: localEngine(wal) } });
  for (let i = 1; i <= 10; i++) await log.append([record(i, 5000)]);
  await log.reconfigure("local");
  for (let i = 11; i <= 20; i++) await log.append([record(i, 5000)]);
  expect(wal.groups()).toEqual([1, 2]);
  expect(wal.pinningGroups()).toEqual([1]);
  await log.trim(lsn(10));
  expect(wal.groups()).toEqual([2]);
  const again = await crashAndOpen(disk, "none", tinyLimits);
  expect(again.wal.groups()).toEqual([2]);
  expect(again.wal.pinningGroups()).not.toContain(1);
  const reopened = await openVirtualLog({ ...options, engines: { local: localEngine(again.wal) } });
  expect(reopened.chain().segments).toMatchObject([{ base: 11, parameters: "2" }]);
  expect(await reopened.append([record(21)])).toEqual({ first: 21, last: 21 });
  await reopened.reconfigure("local");
  expect(again.wal.groups()).toEqual([2, 3]);
  await again.wal.close();
});
