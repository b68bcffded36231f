/**
 * The order rule: what a caller had to give up does not come back above what was proposed after it. Slot-wise Paxos alone
 * does not keep it: an old value that one acceptor holds in a higher slot is as good as any (decision 0013).
 */
import { type LogIndex, type MemberId, memberId, type MultiPaxosMutation, type PaxosMessage } from "@quipu/consensus";
import { describe, expect, test } from "vitest";
import { deliveredTexts, leaderOf, newCell, type PaxosCell, propose } from "./cell.ts";
import { PaxosInvariants } from "./invariants.ts";
import { accept, ballot, heartbeat, Lone, prepare, sentOf, slot } from "./lone.ts";

const [one, two, three] = [1, 2, 3].map(memberId) as [MemberId, MemberId, MemberId];

/** Only these two have time and a network, until `leader` leads. */
function electAmong(cell: PaxosCell, leader: MemberId, other: MemberId): void {
  for (let tries = 0; tries < 20 && leaderOf(cell) !== leader; tries++) {
    for (let tick = 0; tick < 10; tick++) {
      for (const member of [leader, other]) cell.step(member, { type: "tick" });
      cell.stabilize([leader, other]);
    }
    const now = leaderOf(cell);
    if (now === other) cell.step(other, { type: "transferLeadership", to: leader });
    cell.stabilize([leader, other]);
  }
  expect(leaderOf(cell)).toBe(leader);
}

/** Leader 1 leaves "old" in slot 2 of itself alone; 2 does not see it and chooses another in slot 1; then 1 and 3 go on. */
function schedule(mutation?: MultiPaxosMutation): string[] {
  const invariants = new PaxosInvariants();
  const cell = newCell({ size: 3, mutation, watch: (event) => invariants.watch(event) });
  electAmong(cell, one, two);
  // What goes to 2 and 3 is lost. Slot 1 would be lost on its own disk too, had it been one persist.
  propose(cell, one, "given up");
  propose(cell, one, "old");
  cell.persist(one);
  cell.network = [];
  electAmong(cell, two, three);
  propose(cell, two, "new");
  cell.stabilize([two, three]);
  expect(deliveredTexts(cell.seat(two))).toEqual(["new"]);
  cell.network = [];
  electAmong(cell, one, three);
  propose(cell, one, "last");
  cell.stabilize();
  return deliveredTexts(cell.seat(one));
}

describe("order rule", () => {
  test("what was given up in a higher slot does not come back above what was chosen since", () => {
    expect(schedule()).toEqual(["new", "last"]);
  });

  test("without the rule it would: the schedule is one that breaks", () => {
    expect(() => expect(schedule("stale-higher-slots-kept")).toEqual(["new", "last"])).toThrow(/OrderRule|old/);
  });

  test("an acceptor that goes over to a leader drops what stands above where that one was free", () => {
    const acceptor = new Lone({ entries: [slot(1, [1, 1], "a"), slot(6, [1, 1], "old")] });
    acceptor.receive(3, heartbeat([2, 2], { freeFrom: 5 }));
    // Not before it has what the leader recovered: until then it may be asked for what it has.
    expect(acceptor.slots).toEqual(["a", "-", "-", "-", "-", "old"]);
    acceptor.receive(3, accept([2, 2], 1, ["a", "b", "c", "d"], { freeFrom: 5 }));
    expect(acceptor.slots).toEqual(["a", "b", "c", "d"]);
    expect(acceptor.disk.hardState.accepted).toEqual({ ballot: ballot([2, 2]), freeFrom: 5 });
    acceptor.restart();
    expect(acceptor.slots).toEqual(["a", "b", "c", "d"]);
  });

  test("where the leader recovered nothing, to hear it is to go over", () => {
    const acceptor = new Lone({ entries: [slot(2, [1, 1], "old")] });
    acceptor.receive(3, heartbeat([2, 2], { freeFrom: 1 }));
    expect(acceptor.slots).toEqual([]);
    expect(acceptor.disk.hardState.accepted).toEqual({ ballot: ballot([2, 2]), freeFrom: 1 });
  });

  test("what a leader recovered comes in any order, and is accepted in one write", () => {
    const acceptor = new Lone({ entries: [slot(1, [1, 1], "a"), slot(2, [1, 1], "b")] });
    const parts = [3, 1, 2].map((index) => accept([2, 2], index, [`v${index}`], { freeFrom: 4 }));
    const answers = parts.flatMap((part) => acceptor.receive(3, part));
    expect(sentOf(answers, "accepted")).toMatchObject([{ match: 3 }]);
    expect(sentOf(answers, "paxosHeartbeatReply").map(({ match, received }) => [match, received])).toEqual([
      [0, 0],
      [0, 1],
    ]);
    expect(acceptor.slots).toEqual(["v1", "v2", "v3"]);
  });

  test("a candidate takes the highest accepted ballot of those it heard, and nothing below it from there on", () => {
    const candidate = new Lone({ promised: [5, 2], entries: [slot(6, [1, 0], "old")] });
    candidate.campaign();
    const entries = [slot(1, [2, 1], "a")];
    candidate.receive(2, candidate.promised({ entries, accepted: { ballot: [2, 1], freeFrom: 1 } }));
    expect(candidate.slots).toEqual(["a"]);
    expect(candidate.disk.hardState.accepted).toMatchObject({ freeFrom: 2 });
  });

  test("below where that leader was free, an older value may be a chosen one, and is kept", () => {
    const candidate = new Lone({ promised: [5, 2], entries: [slot(1, [1, 0], "a"), slot(2, [1, 0], "b")] });
    candidate.campaign();
    const accepted = { ballot: [2, 1], freeFrom: 3 } as const;
    candidate.receive(2, candidate.promised({ entries: [slot(3, [2, 1], "c")], accepted }));
    expect(candidate.slots).toEqual(["a", "b", "c"]);
  });

  test("an acceptor tells in which ballot it accepts, and what it holds but has not accepted is no report", () => {
    const acceptor = new Lone({
      entries: [slot(1, [1, 1], "a"), slot(2, [1, 1], "b")],
      accepted: { ballot: [1, 1], freeFrom: 1 },
    });
    acceptor.receive(3, accept([2, 2], 2, ["v2"], { freeFrom: 3 }));
    const promised = acceptor.ask(2, prepare([3, 1])) as Extract<PaxosMessage, { type: "promised" }>;
    expect(promised.accepted).toEqual({ ballot: ballot([1, 1]), freeFrom: 1 as LogIndex });
    expect(promised.entries).toEqual([slot(1, [1, 1], "a"), slot(2, [1, 1], "b")]);
  });
});
