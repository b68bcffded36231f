/** Forwards that are very late: of an earlier life, or of a stream that its sender has given up. */
import type { MemberId } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import type { PeerMessage } from "@quipu/protocol";
import { expect, test } from "vitest";
import { bytesOf, Reading, TestCell } from "./raft-harness.ts";

async function openCell(seed: number): Promise<{ cell: TestCell; leader: MemberId; follower: MemberId }> {
  const cell = await TestCell.open({ seed });
  const leader = await cell.untilLeader();
  return { cell, leader, follower: cell.follower() };
}

const code = (append: Promise<unknown>): Promise<string> =>
  append.then(
    () => "ok",
    (error: unknown) => (error instanceof QuipuError ? error.code : String(error)),
  );

test("a forward of an earlier life does not stand in the way of this one's", async () => {
  const { cell, leader, follower } = await openCell(1);
  const { log, hub } = cell.node(follower);
  expect(await cell.until(code(log.append([bytesOf("a")])))).toBe("ok");
  const { group } = cell.group(leader);
  const { term } = cell.group(leader).inspect();
  const records = [bytesOf("late")];
  hub.send(leader, { type: "forward", group, term, stream: 77, sequence: 1, operation: { kind: "append", records } });
  await cell.forMs(20);
  expect(await cell.until(code(log.append([bytesOf("b")])), 1000)).toBe("ok");
});

test("what a sender has given up is not proposed behind what it sent since", async () => {
  const { cell, leader, follower } = await openCell(2);
  const { log, hub } = cell.node(follower);
  const kept: PeerMessage[] = [];
  const send = hub.send.bind(hub);
  hub.send = (to, message) => (message.type === "forward" ? void kept.push(message) : send(to, message));
  expect(await cell.until(code(log.append([bytesOf("a")])))).toBe("LOG_APPEND_UNKNOWN");
  hub.send = send;
  expect(await cell.until(code(log.append([bytesOf("b")])))).toBe("ok");
  for (const message of kept) hub.send(leader, message);
  await cell.forMs(20);
  expect(await cell.until(code(log.append([bytesOf("c")])), 1000)).toBe("ok");
  const reading = new Reading(log);
  await cell.forMs(20);
  expect(reading.all).toEqual(["b", "c"]);
});
