/**
 * Mistakes that implementations of Multi-Paxos have made, and lessons of "Paxos Made Live" (Chandra, Griesemer, Redstone
 * 2007), each with its case.
 */
import { logIndex, memberId, type MultiPaxosMutation, term } from "@quipu/consensus";
import { describe, expect, test } from "vitest";
import { quorumsOf } from "../../src/multi-paxos/quorums.ts";
import { defaultMultiPaxosSettings } from "../../src/multi-paxos/settings.ts";
import { foundingState } from "../cell.ts";
import { deliveredTexts, elect, leaderOf, newCell, type PaxosCell, propose, run } from "./cell.ts";
import { PaxosInvariants } from "./invariants.ts";
import { accept, ballot, heartbeat, heartbeatReply, Lone, prepare, sentOf, slot } from "./lone.ts";

const members = [1, 2, 3].map(memberId);

/** A cell of three with these records chosen and delivered everywhere, led by 1. */
function cellWith(count: number, mutation?: MultiPaxosMutation): PaxosCell {
  const invariants = new PaxosInvariants();
  const cell = newCell({ size: 3, mutation, watch: (event) => invariants.watch(event) });
  elect(cell, 1);
  for (let record = 1; record <= count; record++) propose(cell, memberId(1), `r${record}`);
  cell.stabilize();
  return cell;
}

function reasonOf(one: Lone): string | undefined {
  return one.effectsOf("reply").at(-1)?.reason;
}

describe("phase 1", () => {
  test("an acceptor that has trimmed what is asked for says so: never an empty suffix", () => {
    const one = new Lone({ start: { index: 5, ballot: [1, 1] }, entries: [slot(6, [1, 1], "f")] });
    expect(one.ask(2, prepare([2, 1], 3))).toMatchObject({ type: "promised", start: 5, through: 2, entries: [] });
    expect(one.ask(2, prepare([2, 1], 6))).toMatchObject({ start: 5, through: 6, last: 6, entries: [{ index: 6 }] });
  });

  test("a candidate that lacks what others have trimmed asks for a snapshot, and does not lead before it has it", () => {
    const one = new Lone({ promised: [4, 2] });
    one.campaign();
    const sent = one.receive(2, one.promised({ start: 5, last: 7, through: 0 }));
    expect(one.view.role).toBe("candidate");
    expect(one.effectsOf("needSnapshot")).toMatchObject([{ from: 2, atLeast: 5 }]);
    // Whoever has trimmed has the state: it is the better leader.
    expect(sentOf(sent, "takeOver", 2)).toHaveLength(1);
    const { configuration } = one.view;
    const asked = one.step({ type: "installed", start: { index: logIndex(5), term: ballot([3, 1]), configuration } });
    expect(sentOf(asked, "prepare", 2)).toMatchObject([{ from: 6 }]);
    one.receive(2, one.promised({ start: 5, entries: [slot(6, [3, 1], "f")] }));
    expect(one.view).toMatchObject({ role: "leader", committed: 5, last: 6 });
  });

  test("what others know to be chosen is learned, not proposed again", () => {
    const one = new Lone({ promised: [4, 2] });
    one.campaign();
    const entries = [slot(1, [1, 1], "a"), slot(2, [3, 1], "b"), slot(3, [3, 1], "c")];
    one.receive(2, one.promised({ entries, chosen: 2 }));
    expect(one.view).toMatchObject({ role: "leader", committed: 2, delivered: 2 });
    const terms = [1, 2, 3].map((index) => one.core.entry(logIndex(index))?.term);
    expect(terms).toEqual([ballot([1, 1]), ballot([3, 1]), one.view.term]);
  });

  test("answers come in chunks within the limit of a message, lost and repeated ones are asked for again", () => {
    const entries = Array.from({ length: 10 }, (_, place) => slot(place + 1, [1, 1], `e${place}`));
    const acceptor = new Lone({ member: 2, entries, settings: { messageEntriesMax: 4 } });
    const one = new Lone({ promised: [4, 2] });
    let asked = sentOf(one.campaign(), "prepare", 2);
    for (let round = 0; round < 10 && one.view.role === "candidate"; round++) {
      const answer = acceptor.ask(1, asked[0] as never);
      one.receive(2, answer);
      const again = one.receive(2, answer);
      expect(sentOf(again, "prepare", 2).length).toBeLessThanOrEqual(1);
      // The question is lost: time asks again.
      if (one.view.role === "candidate") asked = sentOf(one.tick(2), "prepare", 2);
    }
    expect(one.slots).toEqual(entries.map((_, place) => `e${place}`));
  });

  test("a seal that is found is kept, and nothing is proposed behind it", () => {
    const one = new Lone({ promised: [4, 2] });
    one.campaign();
    one.receive(2, one.promised({ entries: [slot(1, [1, 1], "a"), slot(2, [1, 1], "<seal>")] }));
    expect(one.slots).toEqual(["a", "<seal>"]);
    one.propose("late");
    expect(reasonOf(one)).toBe("dropped");
    one.accept(2, 1, 2);
    expect(one.view).toMatchObject({ committed: 2, sealedAt: 2 });
    one.propose("late");
    expect(reasonOf(one)).toBe("sealed");
  });

  test("a value behind the seal is void: it is never delivered", () => {
    const one = new Lone({ promised: [4, 2] });
    one.campaign();
    const entries = [slot(1, [1, 1], "<seal>"), slot(2, [1, 1], "void")];
    one.receive(2, one.promised({ entries }));
    one.accept(2, 1, 2);
    expect(one.view).toMatchObject({ committed: 1, delivered: 1, sealedAt: 1 });
  });
});

describe("phase 2", () => {
  test("a leader that is refused stops: it neither counts nor proposes in that ballot again", () => {
    const one = new Lone();
    one.lead();
    one.propose("a");
    one.receive(2, { type: "rejected", ballot: one.view.term, promised: ballot([9, 2]) });
    expect(one.view).toMatchObject({ role: "follower", leader: undefined });
    one.accept(3, 1, 1);
    expect(one.view.committed).toBe(0);
    one.propose("b");
    expect(reasonOf(one)).toBe("dropped");
  });

  test("what was lost is sent again at the pace of heartbeats, and only that", () => {
    const one = new Lone();
    one.lead();
    one.receive(2, heartbeatReply(one.view.term, 1, 0));
    one.propose("a");
    one.propose("b");
    one.propose("c");
    one.accept(2, 3, 3, 0);
    const beat = sentOf(one.tick(), "paxosHeartbeat", 2)[0];
    const again = one.receive(2, heartbeatReply(one.view.term, beat?.number ?? 0, 0));
    expect(sentOf(again, "accept", 2).flatMap(({ entries }) => entries.map(({ index }) => index))).toContain(1);
    // The same answer once more, or an old one, is no news.
    expect(sentOf(one.receive(2, heartbeatReply(one.view.term, beat?.number ?? 0, 0)), "accept")).toEqual([]);
  });

  test("a slow disk is not a loss: what was received is not sent again", () => {
    const one = new Lone();
    one.lead();
    one.receive(2, heartbeatReply(one.view.term, 1, 0));
    one.propose("a");
    const beat = sentOf(one.tick(), "paxosHeartbeat", 2)[0];
    expect(sentOf(one.receive(2, heartbeatReply(one.view.term, beat?.number ?? 0, 0, 1)), "accept")).toEqual([]);
  });

  test("a gap is filled although nothing new is proposed: by time alone", () => {
    const cell = cellWith(1);
    propose(cell, memberId(1), "lost");
    cell.network = [];
    run(cell, 5);
    for (const seat of cell.seats) expect(deliveredTexts(seat)).toEqual(["r1", "lost"]);
  });

  test("a member that lacks chosen slots learns their values from the leader, not only their positions", () => {
    const cell = cellWith(2);
    cell.crash(memberId(3));
    for (let record = 3; record <= 30; record++) propose(cell, memberId(1), `r${record}`);
    run(cell, 5);
    // Another leader: the slots were chosen in a ballot that it does not propose them in.
    cell.step(memberId(1), { type: "transferLeadership", to: memberId(2) });
    run(cell, 5);
    cell.restart(memberId(3));
    run(cell, 20);
    expect(deliveredTexts(cell.seat(memberId(3)))).toHaveLength(30);
  });

  test("a position alone proves nothing about what was accepted in another ballot", () => {
    const one = new Lone({ entries: [slot(1, [1, 1], "old")], accepted: { ballot: [1, 1], freeFrom: 1 } });
    one.receive(3, heartbeat([2, 2], { freeFrom: 2, chosen: 1 }));
    expect(one.view.committed).toBe(0);
    one.receive(3, accept([2, 2], 1, ["new"], { freeFrom: 2, chosen: 1 }));
    expect(one.view.committed).toBe(1);
    expect(one.slots).toEqual(["new"]);
  });

  test("P2b what stands in as high a ballot as the chosen one is it: no need to write it again", () => {
    const one = new Lone({ entries: [slot(1, [2, 1], "a")], accepted: { ballot: [2, 1], freeFrom: 1 } });
    const chosen = { ...accept([3, 2], 1, [], { freeFrom: 2, chosen: 1 }), entries: [slot(1, [1, 1], "a")] };
    one.receive(3, chosen);
    expect(one.view.committed).toBe(1);
    expect(one.effectsOf("persist").flatMap(({ append }) => append)).toEqual([]);
  });

  test("limits: slots and bytes of the window, one proposal alone is always taken", () => {
    const one = new Lone({ settings: { windowSlotsMax: 2 } });
    one.lead();
    one.propose("a", "b", "c");
    expect(one.effectsOf("proposed")).toMatchObject([{ first: 1, last: 3 }]);
    one.propose("d");
    expect(reasonOf(one)).toBe("overloaded");
    one.accept(2, 1, 3);
    one.propose("d");
    expect(one.effectsOf("proposed")).toMatchObject([{ first: 4, last: 4 }]);
    const two = new Lone({ settings: { windowBytesMax: 50 } });
    two.lead();
    two.propose("a");
    two.propose("b");
    expect(reasonOf(two)).toBe("overloaded");
  });

  test("the commit position goes at once to members with slots outstanding, in a message of its own", () => {
    const one = new Lone();
    one.lead();
    for (const other of [2, 3]) one.receive(other, heartbeatReply(one.view.term, 1, 0));
    one.propose("a");
    const sent = one.accept(2, 1, 1);
    expect(sentOf(sent, "chosen").map(({ chosen }) => chosen)).toEqual([1, 1]);
    // With something to send it rides along.
    const next = one.propose("b");
    expect(sentOf(next, "accept")).toMatchObject([{ chosen: 1 }, { chosen: 1 }]);
  });

  test("a member of no group, and one without its disk's promise, is the danger: an empty log under the same id", () => {
    // 1 and 2 choose "a"; 1 loses its disk and comes back under its old id, as nobody may: 3 then learns of nothing.
    const cell = newCell({ size: 3 });
    elect(cell, 1);
    cell.crash(memberId(3));
    propose(cell, memberId(1), "a");
    cell.stabilize();
    expect(deliveredTexts(cell.seat(memberId(1)))).toEqual(["a"]);
    cell.crash(memberId(1));
    cell.crash(memberId(2));
    const wiped = cell.seat(memberId(1));
    wiped.disk = foundingState(members);
    cell.restart(memberId(1));
    cell.restart(memberId(3));
    run(cell, 60);
    const leader = leaderOf(cell);
    if (leader !== undefined) propose(cell, leader, "b");
    cell.stabilize();
    // That is the loss; a shell must give a member without its disk another id (decision 0011).
    expect(deliveredTexts(cell.seat(memberId(3)))).toEqual(["b"]);
  });
});

describe("reads", () => {
  test("a new leader answers none before all that it recovered is chosen", () => {
    const one = new Lone({ promised: [4, 2] });
    one.campaign();
    one.receive(2, one.promised({ entries: [slot(1, [1, 1], "a")] }));
    one.step({ type: "readBarrier", request: 1 });
    for (const other of [2, 3]) one.receive(other, heartbeatReply(one.view.term, 0, 0, 0, 1));
    expect(one.effectsOf("barrierReady")).toEqual([]);
    one.accept(2, 1, 1);
    const sent = one.tick();
    const barrier = sentOf(sent, "paxosHeartbeat", 2)[0]?.barrier ?? 0;
    one.receive(2, heartbeatReply(one.view.term, 0, 1, 1, barrier));
    expect(one.effectsOf("barrierReady")).toMatchObject([{ request: 1, index: 1 }]);
  });

  test("an echo of an earlier barrier confirms no later one, nor one of the future any", () => {
    const one = new Lone();
    one.lead();
    one.step({ type: "readBarrier", request: 1 });
    one.receive(2, heartbeatReply(one.view.term, 0, 0, 0, 1));
    expect(one.effectsOf("barrierReady")).toMatchObject([{ request: 1 }]);
    one.step({ type: "readBarrier", request: 2 });
    for (const echo of [1, 9]) one.receive(3, heartbeatReply(one.view.term, 0, 0, 0, echo));
    expect(one.effectsOf("barrierReady")).toEqual([]);
    one.receive(3, heartbeatReply(one.view.term, 0, 0, 0, 2));
    expect(one.effectsOf("barrierReady")).toMatchObject([{ request: 2 }]);
  });

  test("with flexible quorums the echo must come of a phase-2 quorum, which every phase-1 quorum meets", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5], settings: { phase1Quorum: 2, phase2Quorum: 4 } });
    one.lead();
    one.step({ type: "readBarrier", request: 1 });
    for (const other of [2, 3]) one.receive(other, heartbeatReply(one.view.term, 0, 0, 0, 1));
    expect(one.effectsOf("barrierReady")).toEqual([]);
    one.receive(4, heartbeatReply(one.view.term, 0, 0, 0, 1));
    expect(one.effectsOf("barrierReady")).toHaveLength(1);
  });

  test("who is deposed drops the reads that wait", () => {
    const one = new Lone();
    one.lead();
    one.step({ type: "readBarrier", request: 1 });
    one.receive(3, prepare([9, 2]));
    expect(one.effectsOf("reply")).toMatchObject([{ request: 1, reason: "dropped" }]);
  });
});

describe("quorums", () => {
  const of = (voters: number, phase1Quorum: number, phase2Quorum: number): unknown =>
    quorumsOf(
      Array.from({ length: voters }, (_, place) => memberId(place + 1)),
      {
        ...defaultMultiPaxosSettings,
        phase1Quorum,
        phase2Quorum,
      },
    );

  test("must meet: together more than there are voters", () => {
    expect(of(7, 5, 3)).toEqual({ phase1: 5, phase2: 3 });
    expect(of(4, 0, 0)).toEqual({ phase1: 3, phase2: 3 });
    expect(() => of(7, 4, 3)).toThrow(/need not meet/);
    expect(() => of(3, 4, 1)).toThrow(/need not meet/);
  });

  test("a phase-2 quorum smaller than a majority chooses, a phase-1 quorum larger than one elects", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5], settings: { phase1Quorum: 4, phase2Quorum: 2 } });
    one.campaign();
    for (const other of [2, 3]) one.receive(other, one.promised({}));
    expect(one.view.role).toBe("candidate");
    one.receive(4, one.promised({}));
    expect(one.view.role).toBe("leader");
    one.propose("a");
    one.accept(5, 1, 1);
    expect(one.view.committed).toBe(1);
  });
});

describe("logs", () => {
  test("a restart begins where the chosen prefix was noted, and delivers it without a leader", () => {
    const entries = [1, 2, 3].map((index) => slot(index, [1, 1], `e${index}`));
    const one = new Lone({ entries, chosen: 2, accepted: { ballot: [1, 1], freeFrom: 1 } });
    one.tick();
    expect(one.effectsOf("commit")).toMatchObject([{ upTo: 2 }]);
    expect(one.view).toMatchObject({ committed: 2, delivered: 2, last: 3 });
  });

  test("a promise below what was accepted is refused at the start: it would allow what must not be", () => {
    const entries = [slot(1, [2, 1], "a"), slot(3, [3, 0], "c")];
    expect(() => new Lone({ promised: [2, 2], entries })).toThrow("restored promise");
    const accepted = { ballot: [3, 1], freeFrom: 1 } as const;
    expect(() => new Lone({ promised: [3, 0], accepted, entries })).toThrow("restored promise");
    expect(new Lone({ promised: [3, 1], accepted, entries }).view.last).toBe(3);
  });

  test("the prefix is noted with a persist that is made anyway", () => {
    const one = new Lone({ settings: { chosenNotedSlots: 2 } });
    for (let index = 1; index <= 4; index++) one.receive(2, accept([1, 1], index, ["x"], { chosen: index }));
    const noted = one.effectsOf("persist").flatMap(({ hardState }) => hardState?.chosen ?? []);
    expect(noted).toEqual([2]);
    expect(one.disk.hardState.chosen).toBe(2);
  });

  test("trimmed, the log keeps its seal, and nobody learns how it would begin behind that", () => {
    const one = new Lone();
    one.receive(2, accept([1, 1], 1, ["a", "b", "<seal>"], { chosen: 3 }));
    expect(one.view).toMatchObject({ sealedAt: 3, delivered: 3 });
    one.step({ type: "trim", upTo: logIndex(3) });
    expect(one.view.start.index).toBe(2);
    expect(one.core.startAt(logIndex(3))).toBeUndefined();
    one.restart();
    expect(one.core.entry(logIndex(3))?.kind).toBe("seal");
  });

  test("a snapshot does not make an acceptor forget what it has accepted above it", () => {
    const entries = [slot(1, [1, 1], "a"), slot(5, [1, 1], "e")];
    const one = new Lone({ entries, accepted: { ballot: [1, 1], freeFrom: 1 } });
    const { configuration } = one.view;
    one.step({ type: "installed", start: { index: logIndex(3), term: ballot([1, 1]), configuration } });
    expect([one.view.start.index, one.slots]).toEqual([3, ["-", "e"]]);
    one.restart();
    expect([one.view.start.index, one.slots]).toEqual([3, ["-", "e"]]);
  });

  test("a member whose slots are trimmed fetches a snapshot and goes on from there", () => {
    const cell = cellWith(2);
    cell.crash(memberId(3));
    for (let record = 3; record <= 20; record++) propose(cell, memberId(1), `r${record}`);
    cell.stabilize();
    for (const member of [1, 2]) cell.step(memberId(member), { type: "trim", upTo: logIndex(15) });
    cell.restart(memberId(3));
    run(cell, 12);
    const progress = cell
      .core(memberId(1))
      .inspect()
      .progress.find(({ member }) => member === 3);
    expect(progress?.state).toBe("snapshot");
    const start = cell.core(memberId(1)).startAt(logIndex(18));
    if (start !== undefined) cell.step(memberId(3), { type: "installed", start });
    run(cell, 5);
    expect(deliveredTexts(cell.seat(memberId(3)))).toEqual(["r19", "r20"]);
  });

  test("changes of members are refused, whoever is asked", () => {
    const one = new Lone();
    one.step({ type: "changeMembers", request: 1, voters: members, learners: [] });
    expect(reasonOf(one)).toBe("refused");
  });
});

describe("elections", () => {
  test("a single voter leads from the first tick on", () => {
    const one = new Lone({ voters: [1] });
    one.tick();
    expect(one.view.role).toBe("leader");
    one.propose("a");
    expect(one.view.delivered).toBe(1);
  });

  test("a member that is back does not depose the leader that others hear", () => {
    const cell = cellWith(1);
    const { term: before } = cell.core(memberId(1)).inspect();
    cell.crash(memberId(3));
    run(cell, 40);
    cell.restart(memberId(3));
    run(cell, 40);
    expect(cell.core(memberId(1)).inspect()).toMatchObject({ role: "leader", term: before });
  });

  test("of two that could lead, the one with the higher priority has the higher ballot in a round", () => {
    const ballots = [0, 3].map((priority, place) => {
      const one = new Lone({ member: 2 - place, settings: { priority } });
      one.campaign();
      return one.view.term;
    });
    expect(ballots[1]).toBeGreaterThan(ballots[0] as number);
  });

  test("a dead leader is replaced within one and a half election timeouts, more or less", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const cell = newCell({ size: 3, seed });
      elect(cell, 1);
      run(cell, seed % 7);
      cell.crash(memberId(1));
      let ticks = 0;
      for (; leaderOf(cell) === undefined; ticks++) run(cell, 1);
      expect(ticks).toBeLessThanOrEqual(20);
    }
  });

  test("leadership is handed over without a gap in time, and proposals are refused meanwhile", () => {
    const cell = cellWith(3);
    cell.step(memberId(1), { type: "transferLeadership", to: memberId(2) });
    expect(propose(cell, memberId(1), "meanwhile")).toBe(false);
    cell.stabilize();
    expect(leaderOf(cell)).toBe(2);
  });

  test("a reply of an earlier round, or of a life before, says nothing about this one", () => {
    const one = new Lone();
    const rounds: number[] = [];
    for (let ticks = 0; ticks < 60; ticks++) {
      for (const { to, message } of one.tick()) {
        if (message.type !== "electionRequest") continue;
        rounds.push(message.round);
        const none = { ballot: term(0), leader: term(0), happy: false };
        one.receive(to, { type: "electionReply", round: message.round - 1, ...none });
      }
    }
    expect(new Set(rounds).size).toBeGreaterThan(5);
    expect(one.view.role).toBe("follower");
  });

  test("an in-doubt value is proposed again by the next leader, and stands under its ballot", () => {
    const cell = cellWith(1);
    const first = cell.core(memberId(1)).inspect().term;
    propose(cell, memberId(1), "in doubt");
    cell.persist(memberId(1));
    for (const flight of [...cell.network]) if (flight.to === 2) cell.deliver(flight);
    cell.persist(memberId(2));
    cell.crash(memberId(1));
    cell.network = [];
    elect(cell, 2);
    expect(deliveredTexts(cell.seat(memberId(3)))).toEqual(["r1", "in doubt"]);
    expect(cell.core(memberId(3)).entry(logIndex(2))?.term).toBeGreaterThan(first);
  });
});
