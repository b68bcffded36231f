/** Groups that are made while the cell runs: announced, elected, opened, dropped again; members that were not there. */
import { memberOf, type MemberId } from "@quipu/consensus";
import type { GroupEngine } from "@quipu/protocol";
import { describe, expect, test } from "vitest";
import { decodeGroupParameters, encodeGroupParameters, type Loglet } from "../src/mod.ts";
import { bothEngines, bytesOf, engineOf, Reading, TestCell } from "./group-harness.ts";

const members = (...nodes: readonly number[]): MemberId[] => nodes.map((node) => memberOf(node, 0));
const [one, two, three, four] = members(1, 2, 3, 4) as [MemberId, MemberId, MemberId, MemberId];

function prepare(cell: TestCell, member: MemberId, engine: GroupEngine): Promise<string> {
  return engineOf(cell.node(member).engines, engine).prepare();
}

async function refused(cell: TestCell, call: Promise<unknown>): Promise<unknown> {
  return await cell.until(call.catch((error: unknown) => error));
}

const made = (cell: TestCell, member: MemberId): readonly number[] => cell.node(member).engines.made();

describe.each(bothEngines)("%s: a group that is prepared", (engine) => {
  test("has a leader when it is there, and a part on every founding voter; each opens it by its parameters", async () => {
    const cell = await TestCell.open({ seed: 1 });
    await cell.untilLeader();
    const parameters = await cell.until(prepare(cell, two, engine));
    expect(decodeGroupParameters(parameters)).toEqual({ group: 2, members: cell.founders });
    const views = cell.founders.flatMap((member) =>
      cell
        .node(member)
        .engines.groups()
        .filter(({ group }) => group === 2)
        .map((group) => [group.engine, group.inspect().role === "leader"]),
    );
    expect(views.filter(([, leads]) => leads === true)).toEqual([[engine, true]]);
    await cell.until(() => cell.founders.every((member) => made(cell, member).includes(2)));
    const logs: Loglet[] = [];
    for (const member of cell.founders) logs.push(await cell.openGroup(member, engine, parameters));
    expect(logs.map((log) => log.engine)).toEqual([engine, engine, engine]);
    for (const [i, log] of logs.entries()) await cell.until(log.append([bytesOf(`from ${i}`)]));
    const readings = logs.map((log) => new Reading(log));
    await cell.until(() => readings.every(({ all }) => all.join() === "from 0,from 1,from 2"));
  });

  test("is open for a member that was down at the announcement, by its parameters", async () => {
    const cell = await TestCell.open({ seed: 2 });
    await cell.untilLeader();
    cell.crash(three);
    const parameters = await cell.until(prepare(cell, one, engine));
    const log = await cell.openGroup(one, engine, parameters);
    await cell.until(log.append([bytesOf("a")]));
    await cell.start(three);
    await cell.forMs(1000);
    // The announcements are over.
    expect(made(cell, three)).toEqual([1]);
    const late = await cell.openGroup(three, engine, parameters);
    const reading = new Reading(late);
    await cell.until(() => reading.all.includes("a"));
    await cell.until(late.append([bytesOf("b")]));
  });

  test("waits for a majority; a member that was down meanwhile finds its part again when it is announced", async () => {
    const cell = await TestCell.open({ seed: 3, founders: [1, 2, 3], settings: { prepareDeadlineTicks: 2000 } });
    cell.plannedMembers = members(1, 2, 3, 4, 5);
    cell.crash(three);
    const prepared = prepare(cell, one, engine);
    await cell.until(() => made(cell, two).includes(2));
    await cell.restart(two);
    expect(made(cell, two)).toEqual([1, 2]);
    expect(cell.node(two).engines.groups()).toHaveLength(1);
    await cell.until(() => cell.node(two).engines.groups().length === 2);
    await cell.start(three);
    const parameters = await cell.until(prepared);
    const log = await cell.openGroup(three, engine, parameters);
    await cell.until(log.append([bytesOf("a")]));
  });

  test("on a node that is none of its voters is ready when one of them says so", async () => {
    const cell = await TestCell.open({ seed: 4 });
    await cell.untilLeader();
    await cell.start(four, "join");
    const parameters = await cell.until(prepare(cell, four, engine));
    const leads = cell.founders.filter((member) =>
      cell
        .node(member)
        .engines.groups()
        .some((group) => group.group === 2 && group.inspect().role === "leader"),
    );
    expect(leads).toHaveLength(1);
    expect(made(cell, four)).not.toContain(2);
    const log = await cell.until(engineOf(cell.node(four).engines, engine).open(parameters));
    if (engine === "raft") {
      await cell.until((log as Loglet).append([bytesOf("a")]));
    } else {
      expect(log).toBeUndefined();
      expect(made(cell, four)).not.toContain(2);
    }
  });

  test("that finds no majority in time is dropped, by those who could not be told as soon as they speak", async () => {
    const cell = await TestCell.open({ seed: 5 });
    await cell.untilLeader();
    cell.plannedMembers = members(1, 2, 3, 4, 5, 6, 7);
    const prepared = prepare(cell, one, engine);
    await cell.until(() => made(cell, two).includes(2) && made(cell, three).includes(2));
    cell.isolate(three);
    expect(await refused(cell, prepared)).toMatchObject({ code: "NOQUORUM", outcome: "definite" });
    expect(made(cell, one)).toEqual([1]);
    await cell.until(() => made(cell, two).length === 1);
    expect(made(cell, three)).toEqual([1, 2]);
    cell.heal();
    await cell.until(() => made(cell, three).length === 1);
    // A number that was given out is not given out again.
    cell.plannedMembers = undefined;
    const parameters = await cell.until(prepare(cell, one, engine));
    expect(decodeGroupParameters(parameters).group).toBe(3);
  });

  test("and opened by nobody is dropped by all when it is given back; not where a chain has it", async () => {
    const cell = await TestCell.open({ seed: 6 });
    await cell.untilLeader();
    const parameters = await cell.until(prepare(cell, one, engine));
    await cell.until(() => cell.founders.every((member) => made(cell, member).includes(2)));
    const log = await cell.openGroup(three, engine, parameters);
    await cell.until(engineOf(cell.node(one).engines, engine).discard(parameters));
    await cell.until(() => made(cell, two).length === 1);
    expect(made(cell, one)).toEqual([1]);
    await cell.forMs(1000);
    expect(made(cell, three)).toEqual([1, 2]);
    expect(cell.node(three).engines.groups()).toHaveLength(2);
    await log.close();
  });

  test("and opened is given back by this node alone: the others may need it", async () => {
    const cell = await TestCell.open({ seed: 7 });
    await cell.untilLeader();
    const parameters = await cell.until(prepare(cell, one, engine));
    const logs: Loglet[] = [];
    for (const member of cell.founders) logs.push(await cell.openGroup(member, engine, parameters));
    await cell.until(engineOf(cell.node(one).engines, engine).discard(parameters));
    await cell.forMs(1000);
    expect(cell.founders.map((member) => made(cell, member).length)).toEqual([1, 2, 2]);
    await cell.until((logs[2] as Loglet).append([bytesOf("a")]));
  });

  test("is not made again by an announcement that is late, nor where its number has passed", async () => {
    const cell = await TestCell.open({ seed: 8 });
    await cell.untilLeader();
    const announce = async (group: number): Promise<void> => {
      cell.node(one).hub.send(two, { type: "groupMade", group, engine, members: cell.founders });
      await cell.forMs(1000);
    };
    await announce(7);
    expect(made(cell, two)).toEqual([1, 7]);
    await cell.until(cell.node(two).engines.discardGroup(7));
    await announce(7);
    expect(made(cell, two)).toEqual([1]);
    await cell.restart(two);
    cell.passed.add(7);
    await announce(7);
    expect(made(cell, two)).toEqual([1]);
    cell.node(one).hub.send(two, { type: "groupMade", group: 8, engine, members: [one, three] });
    await cell.forMs(1000);
    expect(made(cell, two)).toEqual([1]);
  });

  test("ends with the engines", async () => {
    const cell = await TestCell.open({ seed: 9 });
    cell.plannedMembers = members(1, 8, 9);
    const { engines } = cell.node(one);
    const prepared = prepare(cell, one, engine);
    await cell.until(() => engines.groups().length === 2);
    await engines.close();
    expect(await refused(cell, prepared)).toMatchObject({ code: "SHUTTING_DOWN" });
    expect(await refused(cell, prepare(cell, one, engine))).toMatchObject({ code: "SHUTTING_DOWN" });
  });
});

test("a group of one engine is not opened as one of the other", async () => {
  const cell = await TestCell.open({ seed: 10 });
  const parameters = encodeGroupParameters({ group: 1, members: cell.founders });
  const opened = cell.node(one).engines.multiPaxos.open(parameters);
  expect(await refused(cell, opened)).toMatchObject({ code: "LOG_CORRUPT" });
});
