/** What a peer sends is no reason to end: not even more than this node's write-ahead log takes at once. */
import type { Entry, LogIndex, MemberId, PaxosMessage, RaftMessage, Term } from "@quipu/consensus";
import type { GroupEngine, PeerMessage } from "@quipu/protocol";
import { describe, expect, test } from "vitest";
import { at, bothEngines, bytesOf, TestCell } from "./group-harness.ts";

const big = new Uint8Array(300 * 1024); // The test's write-ahead log takes frames of 192 KiB, its groups appends of 64 KiB.

async function openCell(
  engine: GroupEngine,
  seed: number,
): Promise<{ cell: TestCell; leader: MemberId; follower: MemberId }> {
  const cell = await TestCell.open({ engine, seed, core: { messageBytesMax: 64 * 1024 } });
  await cell.until(() => cell.leader() !== undefined);
  const leader = cell.leader() as MemberId;
  await cell.until(cell.node(leader).log.append([bytesOf("a")]));
  const follower = cell.follower();
  await cell.until(() => cell.group(follower).inspect().committed === cell.group(leader).inspect().last);
  return { cell, leader, follower };
}

async function expectServing(cell: TestCell): Promise<void> {
  await cell.forMs(1000);
  for (const { log, fatal } of cell.nodes.values()) {
    await cell.until(log.append([bytesOf("b")]));
    expect(fatal).toEqual([]);
  }
}

describe.each(bothEngines)("%s: a peer that keeps to no limit", (engine) => {
  test("a forward of more than an append may have is not proposed", async () => {
    const { cell, leader, follower } = await openCell(engine, 1);
    const { last, term: now } = cell.group(leader).inspect();
    cell.node(follower).hub.send(leader, {
      type: "forward",
      group: cell.group(leader).group,
      term: now,
      stream: 77,
      sequence: 1,
      operation: { kind: "append", records: [big] },
    });
    await cell.forMs(200);
    expect(cell.group(leader).inspect().last).toBe(last);
    await expectServing(cell);
  });

  test("entries of more than a write takes are not appended", async () => {
    const { cell, leader, follower } = await openCell(engine, 2);
    const { last, lastTerm, term: now } = cell.group(follower).inspect();
    const { group } = cell.group(leader);
    const entries: readonly Entry[] = [{ index: at(last + 1), term: now, kind: "record", data: big }];
    const message: PeerMessage =
      engine === "raft"
        ? { type: "raft", group, message: appendEntries(now, last, lastTerm, entries) }
        : { type: "paxos", group, message: accept(now, cell.group(leader).inspect().start.index + 1, entries) };
    cell.node(leader).hub.send(follower, message);
    await cell.forMs(20);
    expect(cell.group(follower).inspect().last).toBe(last);
    await expectServing(cell);
  });
});

function appendEntries(now: Term, last: LogIndex, lastTerm: Term, entries: readonly Entry[]): RaftMessage {
  const before = { previousIndex: last, previousTerm: lastTerm };
  return { type: "appendEntries", term: now, ...before, entries, commit: at(0), barrier: 0 };
}

/** Of a leader that found an empty group. */
function accept(now: Term, freeFrom: number, entries: readonly Entry[]): PaxosMessage {
  return { type: "accept", ballot: now, freeFrom: at(freeFrom), entries, chosen: at(0), barrier: 0 };
}
