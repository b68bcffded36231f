/** Who belongs to a group: joining, taking the place of a lost disk, promotion, changes by hand. */
import { type MemberId, memberOf } from "@quipu/consensus";
import { describe, expect, test } from "vitest";
import { bytesOf, Reading, TestCell } from "./group-harness.ts";

/** None while the configuration is joint. */
function votersOf(cell: TestCell, member: MemberId): readonly MemberId[] {
  const { voters, outgoing } = cell.group(member).inspect().configuration;
  return outgoing.length === 0 ? voters : [];
}

async function withRecords(cell: TestCell): Promise<MemberId> {
  const leader = await cell.untilLeader();
  for (let i = 0; i < 10; i++) await cell.until(cell.node(leader).log.append([bytesOf(`${i}`)]));
  return leader;
}

describe("the keeper", () => {
  test("a new node asks, is let in as a learner, and made a voter when it has the log", async () => {
    const cell = await TestCell.open({ seed: 1, lossPercent: 3 });
    await withRecords(cell);
    const fourth = memberOf(4, 0);
    await cell.start(fourth, "join");
    await cell.until(() => votersOf(cell, fourth).length === 4);
    const reading = new Reading(cell.node(fourth).log);
    const { tail } = await cell.until(cell.node(fourth).log.tail());
    await cell.until(() => Math.max(0, ...reading.texts.keys()) === tail - 1);
    expect(reading.all).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`));
    await cell.until(cell.node(fourth).log.append([bytesOf("from the new one")]));
  });

  test("new nodes stay outside where the policy says so", async () => {
    const cell = await TestCell.open({ seed: 2, settings: { admitNewNodes: false } });
    await withRecords(cell);
    const fourth = memberOf(4, 0);
    await cell.start(fourth, "join");
    await cell.forMs(10_000);
    expect(votersOf(cell, fourth)).toEqual([]);
    expect(cell.group(fourth).inspect().leader).toBeUndefined();
  });

  test("a lost disk comes back under another id, in place of the old member, and is a voter again", async () => {
    const cell = await TestCell.open({ seed: 3, settings: { admitNewNodes: false } });
    await withRecords(cell);
    const lost = cell.follower();
    cell.crash(lost);
    const node = lost % 1024;
    const replacement = memberOf(node, 77);
    await cell.start(replacement, "join");
    await cell.until(() => votersOf(cell, replacement).includes(replacement));
    for (const member of cell.nodes.keys()) {
      await cell.until(() => !votersOf(cell, member).includes(lost) && votersOf(cell, member).length === 3);
    }
    // With the third member gone, the new one is one of the two that it takes.
    const leader = await cell.untilLeader();
    const other = [...cell.nodes.keys()].find((member) => member !== leader && member !== replacement);
    if (other !== undefined) cell.crash(other);
    await cell.untilLeader();
    await cell.until(cell.node(replacement).log.append([bytesOf("x")]));
  });

  test("also if the lost disk was the leader's", async () => {
    const cell = await TestCell.open({ seed: 4 });
    const lost = await withRecords(cell);
    cell.crash(lost);
    const replacement = memberOf(lost % 1024, 5);
    await cell.start(replacement, "join");
    await cell.until(() => votersOf(cell, replacement).includes(replacement));
    expect(votersOf(cell, replacement)).not.toContain(lost);
  });

  test("a late message of a member that was replaced does not bring it back", async () => {
    const cell = await TestCell.open({ seed: 5 });
    await withRecords(cell);
    const lost = cell.follower();
    cell.crash(lost);
    const replacement = memberOf(lost % 1024, 5);
    await cell.start(replacement, "join");
    await cell.until(() => votersOf(cell, replacement).includes(replacement));
    const leader = await cell.untilLeader();
    const group = cell.group(leader) as unknown as { receive(from: MemberId, message: object): void };
    group.receive(lost, { type: "join", group: 1 });
    await cell.forMs(3000);
    expect(votersOf(cell, leader)).toContain(replacement);
  });
});

describe("changes by hand", () => {
  test("resolve when the final configuration is committed", async () => {
    const cell = await TestCell.open({ seed: 6, settings: { promoteLearners: false } });
    const leader = await withRecords(cell);
    const [gone] = [...cell.nodes.keys()].filter((member) => member !== leader) as [MemberId];
    const voters = cell.founders.filter((member) => member !== gone);
    await cell.until(cell.group(leader).changeMembers(voters, [gone]));
    const { configuration, configurationIndex, delivered } = cell.group(leader).inspect();
    expect(configuration).toEqual({ voters, outgoing: [], learners: [gone], learnersNext: [] });
    expect(configurationIndex).toBeLessThanOrEqual(delivered);
  });

  test("are surely not made by one that does not lead, nor beside another change", async () => {
    const cell = await TestCell.open({ seed: 7, settings: { promoteLearners: false } });
    const leader = await withRecords(cell);
    const [gone] = [...cell.nodes.keys()].filter((member) => member !== leader) as [MemberId];
    const voters = cell.founders.filter((member) => member !== gone);
    const refused = { code: "OVERLOADED", outcome: "definite" };
    await expect(cell.group(gone).changeMembers(voters, [])).rejects.toMatchObject(refused);
    const first = cell.group(leader).changeMembers(voters, []);
    await expect(cell.group(leader).changeMembers(cell.founders, [])).rejects.toMatchObject(refused);
    await cell.until(first);
  });

  test("of a leader that loses its leadership meanwhile end as unknown, or made", async () => {
    const cell = await TestCell.open({ seed: 8, settings: { promoteLearners: false, changeDeadlineTicks: 100 } });
    const leader = await withRecords(cell);
    const [gone] = [...cell.nodes.keys()].filter((member) => member !== leader) as [MemberId];
    cell.isolate(leader);
    const change = cell.group(leader).changeMembers(
      cell.founders.filter((member) => member !== gone),
      [],
    );
    const end = change.then(
      () => "made",
      (error: { readonly code: string }) => error.code,
    );
    expect(await cell.until(end)).toBe("LOG_APPEND_UNKNOWN");
  });
});

test("the members of a Multi-Paxos group never change, whoever asks", async () => {
  const cell = await TestCell.open({ engine: "multi-paxos", seed: 9 });
  const leader = await cell.untilLeader();
  const change = cell.group(leader).changeMembers(cell.founders.slice(0, 2), []);
  await expect(change).rejects.toMatchObject({ code: "INVALID_CONFIGURATION", outcome: "definite" });
  // One that was never asked keeps no part of it, and is not let in.
  await expect(cell.start(memberOf(4, 0))).rejects.toThrow("keeps no part of the log");
});
