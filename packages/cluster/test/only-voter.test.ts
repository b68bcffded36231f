/** What only one node of a cell has is not put out of the way when its log is damaged. */
import { memberId } from "@quipu/consensus";
import { fileMetadataStore } from "@quipu/log";
import { describe, expect, test } from "vitest";
import { mayRefetch } from "../src/mod.ts";
import { TestCell } from "./test-cell.ts";

function damageLog(cell: TestCell, number: number): void {
  const { disk } = cell.host(number);
  const path = disk.paths().find((name) => name.startsWith("wal/") && disk.bytes(name).some((byte) => byte !== 0));
  disk.flipBit(path as string, 8 * 200);
}

const isAside = (cell: TestCell, number: number): boolean =>
  cell
    .host(number)
    .disk.paths()
    .some((path) => path.startsWith("wal.damaged-"));

async function refusedToStart(cell: TestCell, number: number): Promise<void> {
  const before = cell.host(number).disk.paths();
  let failure: unknown;
  cell.start(number).catch((error: unknown) => (failure = error));
  await cell.until(() => failure !== undefined);
  // The file and the place in it, as a single process says it.
  const message = expect.stringMatching(/^wal\/.* at offset \d+: .*only voter/u) as unknown;
  expect(failure).toMatchObject({ code: "LOG_CORRUPT", message });
  expect(cell.host(number).disk.paths()).toEqual(before);
}

async function refetches(cell: TestCell, number: number): Promise<boolean> {
  return await mayRefetch(await fileMetadataStore(cell.host(number).disk, "metadata"));
}

async function changeVoters(cell: TestCell, number: number, voters: readonly number[]): Promise<void> {
  const group = cell.host(number).up.logGroup;
  let isDone = false;
  void group
    ?.changeMembers(
      voters.map((voter) => memberId(voter)),
      [],
    )
    .then(() => (isDone = true));
  await cell.until(() => isDone);
}

describe("a damaged log", () => {
  test("of the only voter stays where it is, at every start, and its state is nowhere else", async () => {
    const cell = new TestCell(1);
    await cell.startAll();
    for (let i = 0; i < 5; i++) await cell.add(1, "a");
    cell.crash(1);
    damageLog(cell, 1);
    expect(await refetches(cell, 1)).toBe(false);
    await refusedToStart(cell, 1);
    await refusedToStart(cell, 1);
  });

  test("of one founder whom others joined is put aside, and told before there is a quorum", async () => {
    const cell = new TestCell(3, {}, 1);
    void cell.start(1);
    await cell.until(() => cell.host(1).node?.isServing === true);
    for (const joiner of [2, 3]) void cell.start(joiner, true);
    await cell.until(() => cell.host(1).up.logGroup?.inspect().configuration.voters.length === 3);
    await cell.add(1, "a");
    await cell.run(100);
    for (const { number } of cell.hosts) cell.crash(number);
    expect(await refetches(cell, 1)).toBe(true);
    damageLog(cell, 1);
    const damages: string[] = [];
    void cell.start(1, false, { onDamage: (text) => damages.push(text) });
    await cell.until(() => damages.length > 0);
    expect(damages).toEqual([expect.stringMatching(/^wal\/.* at offset/u)]);
    expect(cell.host(1).up.isServing).toBe(false);
    expect(isAside(cell, 1)).toBe(true);
    for (const number of [2, 3]) void cell.start(number, true);
    await cell.until(() => cell.hosts.every(({ node }) => node?.isServing === true));
    expect(await cell.read(1, "a")).toBe("1:1");
  });

  test("of the last voter of three, after the others were removed, stays", async () => {
    const cell = new TestCell(3);
    await cell.startAll();
    await cell.until(() => cell.leader > 0);
    const last = cell.leader;
    await cell.add(last, "a");
    expect(await refetches(cell, last)).toBe(true);
    const voter = cell.host(last).member;
    await changeVoters(cell, last, [voter]);
    for (const host of cell.hosts) if (host.number !== last) cell.crash(host.number);
    await cell.add(last, "a");
    cell.crash(last);
    expect(await refetches(cell, last)).toBe(false);
    damageLog(cell, last);
    await refusedToStart(cell, last);
  });
});
