/** Live replicas compare their states; members raise the feature level together. */
import { describe, expect, test } from "vitest";
import type { DivergenceReport } from "../src/mod.ts";
import { text } from "./busy-machine.ts";
import { RecordingCaller } from "./recording-caller.ts";
import { TestCell } from "./test-cell.ts";

const allFine = (cell: TestCell): void => {
  for (const { fatal } of cell.hosts) expect(fatal).toEqual([]);
};

const agreementOf = (cell: TestCell, number: number) => cell.host(number).up.shard.status.agreement;

/** A cell whose node 3 loses the bounds of a key where it is set: it diverges when {@link diverge} says so. */
const startWithFault = async (cell: TestCell): Promise<void> => {
  void cell.start(1);
  void cell.start(2);
  startFaulty(cell);
  await cell.until(() => cell.hosts.every(({ node }) => node?.isServing === true));
};

const startFaulty = (cell: TestCell): void =>
  void cell.start(3, false, { mutations: { counters: "bounds-lost-on-set" } });

const diverge = async (cell: TestCell): Promise<void> => {
  const caller = new RecordingCaller();
  const key = { database: 0, key: text("bounded") };
  const set = { type: "set", ...key, value: text("5"), condition: "always", returnPrevious: false } as const;
  const { door } = cell.host(1).up;
  door.write(caller, 1, { ...set, expiry: { type: "clear" } });
  door.write(caller, 2, { type: "bound", ...key, minimum: 0, maximum: 9, force: false });
  door.write(caller, 3, { ...set, expiry: { type: "clear" } });
  await cell.until(() => caller.replies.length === 3);
};

describe("replicas whose states are equal", () => {
  test("find that out, under load and when the log has fallen silent", async () => {
    const reports: DivergenceReport[] = [];
    const cell = new TestCell(3, { onDivergence: (report) => reports.push(report) });
    await cell.startAll();
    for (let i = 0; i < 5; i++) {
      await cell.add(1 + (i % 3), "a");
      await cell.run(700);
    }
    await cell.run(5_000);
    for (const number of [1, 2, 3]) {
      const { machine } = cell.host(number).up;
      expect(agreementOf(cell, number)).toMatchObject({ comparedUpTo: machine.appliedLsn, divergences: 0 });
    }
    expect(reports).toEqual([]);
    allFine(cell);
  });
});

describe("a replica whose state differs from that of a majority", () => {
  test("serves and stores nothing more, fetches the state of the others and goes on", async () => {
    const reports: DivergenceReport[] = [];
    const cell = new TestCell(3, { onDivergence: (report) => reports.push(report) });
    // First: it has told the others of its state before it hears of theirs.
    startFaulty(cell);
    void cell.start(1);
    void cell.start(2);
    await cell.until(() => cell.hosts.every(({ node }) => node?.isServing === true));
    await cell.add(1, "a");
    await diverge(cell);
    await cell.add(1, "a");
    await cell.until(() => agreementOf(cell, 3).divergences === 1);
    await cell.until(() => cell.host(3).up.isServing);
    expect(cell.host(3).up.shard.status).toMatchObject({ snapshotsInstalled: 1, lives: 2, storesRejected: 0 });
    expect(await cell.read(3, "a")).toBe("1:2");
    expect(new Set(await cell.hashes()).size).toBe(1);
    expect(reports.some(({ whose }) => whose === "ours")).toBe(true);
    await cell.until(() => reports.some(({ whose, members }) => whose === "another's" && members.includes(3 as never)));
    // And what it fetched is what a restart finds.
    cell.crash(3);
    void cell.start(3);
    await cell.until(() => cell.host(3).up.isServing);
    expect(cell.host(3).up.shard.status.storesRejected).toBe(0);
    allFine(cell);
  });

  test("does not come back with that state after a crash, though it could not fetch another", async () => {
    const cell = new TestCell(3);
    await startWithFault(cell);
    await cell.add(1, "a");
    await diverge(cell);
    await cell.host(3).up.checkpoint();
    await cell.add(1, "a");
    // Hashes pass, snapshots do not: type 39 is a chunk.
    cell.passes = (_, to, frame) => to !== 3 || frame[26] !== 39;
    await cell.until(() => cell.host(3).up.shard.status.phase === "fetching");
    await cell.run(1_000);
    cell.crash(3);
    void cell.start(3);
    await cell.run(3_000);
    expect(cell.host(3).up.isServing).toBe(false);
    cell.passes = () => true;
    await cell.until(() => cell.host(3).up.isServing);
    expect(cell.host(3).up.shard.status).toMatchObject({ storesRejected: 1, snapshotsInstalled: 1 });
    expect(await cell.read(3, "a")).toBe("1:2");
    expect(new Set(await cell.hashes()).size).toBe(1);
    allFine(cell);
  });

  test("is stopped for good where the fetched state differs again", async () => {
    const cell = new TestCell(3);
    await startWithFault(cell);
    for (const times of [1, 2]) {
      await diverge(cell);
      await cell.until(() => agreementOf(cell, 3).divergences === times);
      if (times === 1) await cell.until(() => cell.host(3).up.isServing);
    }
    await cell.until(() => cell.host(3).fatal.length > 0);
    expect(cell.host(3).fatal).toMatchObject([{ code: "STATE_DIVERGED" }]);
    expect(cell.host(3).up.isServing).toBe(false);
    expect(cell.host(1).fatal).toEqual([]);
  });
});

test("two that differ while the third is absent report it, and are told who is wrong when it is back", async () => {
  const reports: DivergenceReport[] = [];
  const cell = new TestCell(3, { onDivergence: (report) => reports.push(report) });
  await startWithFault(cell);
  await cell.add(1, "a");
  cell.crash(2);
  await diverge(cell);
  await cell.add(1, "a");
  await cell.until(() => agreementOf(cell, 1).undecided !== undefined && agreementOf(cell, 3).undecided !== undefined);
  expect(reports.map(({ whose }) => whose)).toEqual(["undecided", "undecided"]);
  await cell.run(20_000);
  expect(reports).toHaveLength(2);
  expect(cell.host(3).up.isServing).toBe(true);
  void cell.start(2);
  await cell.until(() => agreementOf(cell, 3).divergences === 1 && cell.host(3).up.isServing);
  await cell.until(() => agreementOf(cell, 1).undecided === undefined);
  expect(await cell.read(3, "a")).toBe("1:2");
  expect(new Set(await cell.hashes()).size).toBe(1);
  allFine(cell);
});

describe("feature levels", () => {
  test("are raised once all members know them, and a version that does not is refused from there on", async () => {
    const cell = new TestCell(3);
    void cell.start(1, false, { featureLevelMax: 2 });
    void cell.start(2, false, { featureLevelMax: 2 });
    void cell.start(3);
    await cell.until(() => cell.hosts.every(({ node }) => node?.isServing === true));
    await cell.run(10_000);
    await cell.add(3, "a");
    for (const number of [1, 2, 3]) expect(agreementOf(cell, number).featureLevel).toBe(1);
    await cell.stop(3);
    void cell.start(3, false, { featureLevelMax: 2 });
    await cell.until(() => cell.host(3).node?.isServing === true);
    // Somebody tells the newcomer the time.
    await cell.run(500);
    const before = cell.host(3).up.machine.appliedLsn;
    await cell.until(() => [1, 2, 3].every((number) => agreementOf(cell, number).featureLevel === 2));
    await cell.run(10_000);
    // One record did it.
    expect(cell.host(1).up.machine.appliedLsn).toBe(before + 1);
    for (const number of [1, 2, 3]) await cell.add(number, "a");
    expect(new Set(await cell.hashes()).size).toBe(1);
    await cell.run(3_000);
    expect(agreementOf(cell, 2)).toMatchObject({ divergences: 0, comparedUpTo: cell.host(2).up.machine.appliedLsn });
    // Found in the store, and (after a crash without a checkpoint of that level) in the log.
    await cell.stop(3);
    await expect(outcome(cell, cell.start(3))).resolves.toMatchObject({ code: "VERSION_TOO_OLD" });
    cell.crash(2);
    await expect(outcome(cell, cell.start(2))).resolves.toMatchObject({ code: "VERSION_TOO_OLD" });
    expect(cell.host(1).fatal).toEqual([]);
  });
});

async function outcome(cell: TestCell, started: Promise<void>): Promise<unknown> {
  let result: unknown;
  started.then(
    () => (result = "started"),
    (error: unknown) => (result = error),
  );
  await cell.until(() => result !== undefined);
  return result;
}
