/** Members that others speak for, and changes that nobody is left to make. */
import { memberOf } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import { expect, test } from "vitest";
import { bytesOf, TestCell } from "./group-harness.ts";

test("a member that is alive is not replaced, whoever says that its disk was lost", async () => {
  const cell = await TestCell.open({ seed: 1 });
  const leader = await cell.untilLeader();
  await cell.until(cell.node(leader).log.append([bytesOf("a")]));
  // Late words of a generation that is gone, or a second process with the number of a node that runs.
  for (const member of cell.founders) await cell.start(memberOf(member, 77), "join");
  await cell.forMs(5000);
  for (const member of cell.founders) {
    expect(cell.group(member).inspect().configuration.voters).toEqual(cell.founders);
    await cell.until(cell.node(member).log.append([bytesOf("b")]));
  }
});

test("a change of members of a closed group is refused", async () => {
  const cell = await TestCell.open({ seed: 2 });
  const leader = await cell.untilLeader();
  const group = cell.group(leader);
  await cell.node(leader).log.close();
  const change = group.changeMembers([leader], []);
  const error = await cell.until(change.catch((reason: unknown) => reason));
  expect(error).toBeInstanceOf(QuipuError);
  expect(error).toMatchObject({ code: "SHUTTING_DOWN", outcome: "definite" });
});
