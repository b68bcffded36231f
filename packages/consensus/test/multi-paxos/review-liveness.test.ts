/**
 * A group that could go on goes on: cases in which it stood still although a quorum was connected, found by reviews and
 * by chaos.
 */
import { logIndex, memberId, type MultiPaxosSettings, term } from "@quipu/consensus";
import { describe, expect, test } from "vitest";
import { elect, leaderOf, newCell, type PaxosCell, propose, run } from "./cell.ts";
import { PaxosInvariants } from "./invariants.ts";
import { Lone, sentOf } from "./lone.ts";

const electionTicks = 10;

/** The last of `size` missed what all others have chosen and trimmed, and is back; 1, who led, is gone. */
function cellWithLaggard(size: number, settings: Partial<MultiPaxosSettings> = {}): PaxosCell {
  const invariants = new PaxosInvariants();
  const cell = newCell({ size, settings: { electionTicks, ...settings }, watch: (event) => invariants.watch(event) });
  const last = memberId(size);
  elect(cell, 1);
  for (const { member } of cell.seats) {
    if (member !== last) [cell.cut(member, last), cell.cut(last, member)];
  }
  for (const text of ["a", "b", "c", "d"]) propose(cell, memberId(1), text);
  run(cell, 1);
  for (const { member } of cell.seats) if (member !== last) cell.step(member, { type: "trim", upTo: logIndex(3) });
  cell.stabilize();
  cell.crash(memberId(1));
  cell.heal();
  return cell;
}

/** All hear nobody for a while, then this one loses patience first. */
function stand(cell: PaxosCell, member: number): void {
  for (let tick = 0; tick < 2 * electionTicks; tick++) {
    for (const seat of cell.seats) if (seat.core !== undefined) cell.step(seat.member, { type: "tick" });
    cell.network = [];
  }
  for (let tick = 0; tick < electionTicks && cell.core(memberId(member)).inspect().role !== "candidate"; tick++) {
    cell.step(memberId(member), { type: "tick" });
    cell.stabilize();
  }
  expect(cell.core(memberId(member)).inspect().role).toBe("candidate");
}

describe("a candidate that lacks what all others have trimmed", () => {
  test("offers its place again, round after round, as long as it stands", () => {
    const one = new Lone({ promised: [4, 2], settings: { electionTicks, heartbeatTicks: 1 } });
    one.campaign();
    let offers = 0;
    for (let tick = 0; tick < 2 * electionTicks && one.view.role === "candidate"; tick++) {
      const asked = one.tick();
      const sent = sentOf(asked, "prepare", 2).flatMap(() =>
        one.receive(2, one.promised({ start: 5, last: 7, through: 0 })),
      );
      offers += sentOf(sent, "takeOver", 2).length;
      for (const { round } of sentOf(asked, "electionRequest", 2)) {
        one.receive(2, { type: "electionReply", round, ballot: term(0), leader: one.view.term, happy: true });
      }
    }
    expect(offers).toBe(2);
    expect(one.effectsOf("needSnapshot").length).toBeGreaterThan(0);
    expect(one.view.role).toBe("follower");
  });

  test("does not keep others from leading, though every offer is lost and no snapshot comes", () => {
    const cell = cellWithLaggard(3);
    cell.loses = "takeOver";
    stand(cell, 3);
    run(cell, 4 * electionTicks);
    expect(leaderOf(cell)).toBe(2);
  });

  test("leads all the same, once it can, if nobody else does", () => {
    // Who has trimmed does not hear that it could lead: it reaches a quorum only by the candidate's word.
    const cell = cellWithLaggard(5);
    cell.loses = "takeOver";
    for (const one of [2, 3, 4]) {
      for (const other of [2, 3, 4]) cell.cut(memberId(one), memberId(other));
    }
    stand(cell, 5);
    run(cell, 8 * electionTicks);
    expect(leaderOf(cell)).toBe(undefined);
    const start = cell.core(memberId(2)).startAt(logIndex(4));
    cell.step(memberId(5), { type: "installed", start: start as NonNullable<typeof start> });
    run(cell, 2 * electionTicks);
    expect(leaderOf(cell)).toBe(5);
  });
});
