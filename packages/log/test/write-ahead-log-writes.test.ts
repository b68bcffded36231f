/**
 * Atomic writes of three groups, pipelined, against a model: after a crash at any I/O the log is what it was after
 * some prefix of the queued writes that holds every acknowledged one. On a full disk each write happens or does not.
 */
import { SeededRandom } from "@quipu/core";
import type { SimulatedDisk } from "@quipu/simulator";
import { expect, test } from "vitest";
import type { LogMutation, WriteAheadLog } from "../src/mod.ts";
import { makeDisk, openLog } from "./wal-harness.ts";
import {
  applyWrite,
  emptyGroup,
  type ModelGroup,
  modelNext,
  queue,
  randomWrite,
  recordsOneByOne,
  recoveredGroup,
  sameGroup,
} from "./wal-model.ts";

const tinyLimits = { segmentBytes: 32 * 1024, frameBytesMax: 8 * 1024, hardStateBytesMax: 8, groupsMax: 8 };
const groups = [1, 2, 3];

type Model = ReadonlyMap<number, ModelGroup>;

const emptyModel: Model = new Map(groups.map((group) => [group, emptyGroup]));

/** Every state that a crash may leave, and how many writes were acknowledged. */
interface History {
  /** After no write, one, two, … in queue order. */
  states: Model[];
  acknowledged: number;
}

async function recoveredModel(wal: WriteAheadLog): Promise<Model> {
  return new Map(await Promise.all(groups.map(async (group) => [group, await recoveredGroup(wal, group)] as const)));
}

function sameModel(left: Model, right: Model): boolean {
  return groups.every((group) => sameGroup(left.get(group) ?? emptyGroup, right.get(group) ?? emptyGroup));
}

/** Throws unless the log holds what some allowed prefix left; takes it as the new beginning. */
async function check(wal: WriteAheadLog, history: History): Promise<void> {
  const recovered = await recoveredModel(wal);
  const found = history.states.findIndex((state, k) => k >= history.acknowledged && sameModel(state, recovered));
  if (found < 0) throw new Error(`no prefix of at least ${history.acknowledged} writes gives what was recovered`);
  for (const [group, { records }] of recovered) expect(await recordsOneByOne(wal, group)).toEqual(records);
  Object.assign(history, { states: [recovered], acknowledged: 0 });
}

/** Writes in bursts, and sometimes in the callbacks. */
async function live(
  disk: SimulatedDisk,
  random: SeededRandom,
  history: History,
  mutation: LogMutation | undefined,
): Promise<void> {
  const { wal, fatal } = await openLog(disk, tinyLimits, mutation === undefined ? {} : { mutation });
  await check(wal, history);
  const push = (): Promise<void> => {
    const model = history.states.at(-1) ?? emptyModel;
    const group = groups[random.below(groups.length)] ?? 1;
    const before = model.get(group) ?? emptyGroup;
    const write = randomWrite(random, group, before, 500);
    const number = history.states.length;
    return new Promise((resolve, reject) => {
      queue(wal, write, (error) => {
        if (error !== undefined) return reject(error as Error);
        if (number !== history.acknowledged + 1) reject(new Error("acknowledgements come in order"));
        history.acknowledged = number;
        resolve(random.chance(1, 6) ? push() : undefined);
      });
      history.states.push(new Map(model).set(group, applyWrite(before, write)));
    });
  };
  for (let round = 0; round < 25; round++) {
    await Promise.all(Array.from({ length: 1 + random.below(5) }, push));
    const model = history.states[history.acknowledged] ?? emptyModel;
    for (const group of groups) expect(wal.nextIndex(group)).toBe(modelNext(model.get(group) ?? emptyGroup));
  }
  expect(fatal).toEqual([]);
}

/** Several lives with a crash at any I/O each; returns whether the oldest segment was unlinked in the end. */
async function lives(seed: number, mutation?: LogMutation): Promise<boolean> {
  const random = new SeededRandom(seed);
  const history: History = { states: [emptyModel], acknowledged: 0 };
  let disk = makeDisk(seed);
  for (let life = 0; life < 4; life++) {
    const base = disk;
    const crashAt = base.operations + random.below(250);
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
    await Promise.race([live(base, random, history, mutation), crashed]);
    disk = after ?? base.crash();
  }
  const { wal } = await openLog(disk, tinyLimits, mutation === undefined ? {} : { mutation });
  await check(wal, history);
  await wal.close();
  return !disk.paths().includes("wal/wal-000000000001");
}

test("crashes at any I/O: a prefix of the queued writes of all groups, with every acknowledged one", async () => {
  let unlinked = 0;
  for (let seed = 1; seed <= 150; seed++) {
    const wasUnlinked = await lives(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
    if (wasUnlinked) unlinked++;
  }
  expect(unlinked, "some log grew and lost its oldest segment").toBeGreaterThan(20);
});

test.each<LogMutation>([
  "truncation-forgotten-at-recovery",
  "overwritten-record-read",
  "write-split-in-two-frames",
  "restart-keeps-old-records",
])("a log with the bug %s is caught", async (mutation) => {
  let caught = 0;
  for (let seed = 1; seed <= 40; seed++) {
    await lives(seed, mutation).catch(() => caught++);
  }
  expect(caught).toBeGreaterThan(2);
});
