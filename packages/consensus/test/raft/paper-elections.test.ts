/**
 * Elections, sentence by sentence: extended Raft paper figure 2, §5.1, §5.2, §5.4.1; thesis §9.6 (pre-vote). Named by
 * section and the rule in our words.
 */
import { describe, expect, test } from "vitest";
import { type MemberId, memberId } from "@quipu/consensus";
import { append, heartbeat, heartbeatReply, Lone, rejected, requestVote, sentOf, voteReply } from "./lone.ts";

describe("figure 2, state", () => {
  test("§5.1 the term starts at 0 and only grows", () => {
    const one = new Lone();
    expect(one.view.term).toBe(0);
    one.receive(2, heartbeat(3));
    one.receive(3, heartbeat(2));
    expect(one.view.term).toBe(3);
  });

  test("figure 2: term and vote are on disk before the vote is given", () => {
    const one = new Lone();
    const before = one.input({
      type: "receive",
      from: one.view.configuration.voters[1] as MemberId,
      message: requestVote({ term: 2 }),
    });
    expect(sentOf(before, "voteReply")).toEqual([]);
    expect(sentOf(one.persist(), "voteReply", 2)).toEqual([voteReply(2, true)]);
    expect(one.disk.hardState).toEqual({ term: 2, vote: 2 });
  });

  test("figure 2: a member comes back with its term, its vote and its log", () => {
    const one = new Lone();
    one.receive(2, append({ term: 2, terms: [1, 2] }));
    one.receive(3, requestVote({ term: 3, last: [2, 2] }));
    const vote = one.view.vote;
    one.restart();
    expect(one.view).toMatchObject({ term: one.disk.hardState.term, vote, last: 2, lastTerm: 2, role: "follower" });
  });

  test("figure 2: committed starts at 0 (or where the log begins) and is learnt again after a restart", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, terms: [1, 1], commit: 2 }));
    expect(one.view.committed).toBe(2);
    one.restart();
    expect(one.view.committed).toBe(0);
    one.receive(2, append({ term: 1, previous: [2, 1], commit: 2 }));
    expect(one.view.committed).toBe(2);
  });
});

describe("§5.1 terms", () => {
  test("§5.1 a message of a later term moves a follower to that term", () => {
    const one = new Lone({ term: 1 });
    one.receive(2, append({ term: 5 }));
    expect(one.view).toMatchObject({ term: 5, role: "follower", leader: 2 });
    expect(one.disk.hardState.term).toBe(5);
  });

  test("§5.1 a candidate that sees a later term becomes a follower", () => {
    const one = new Lone();
    one.canvass();
    expect(one.view.role).toBe("candidate");
    one.receive(2, voteReply(9, false));
    expect(one.view).toMatchObject({ term: 9, role: "follower", leader: undefined });
  });

  test("§5.1 a leader that sees a later term becomes a follower", () => {
    const one = new Lone();
    one.lead();
    one.receive(2, heartbeatReply(9));
    expect(one.view).toMatchObject({ term: 9, role: "follower", leader: undefined });
  });

  test("§5.1 a later term clears the vote: it belonged to the old one", () => {
    const one = new Lone({ term: 3, vote: 3 });
    one.receive(2, append({ term: 4 }));
    expect(one.view.vote).toBeUndefined();
    expect(one.disk.hardState).toEqual({ term: 4, vote: undefined });
  });

  test("§5.1 a request of an earlier term is refused with the present term", () => {
    const one = new Lone({ term: 5, log: [1] });
    expect(one.ask(2, requestVote({ term: 4, last: [9, 4] }))).toMatchObject({ granted: false, term: 5 });
    const answers = one.receive(2, append({ term: 4, previous: [1, 1], terms: [4] }));
    expect(answers.every(({ message }) => message.term === 5)).toBe(true);
    expect(one.log).toEqual([1]);
    expect(one.view).toMatchObject({ term: 5, leader: undefined });
  });

  test("§5.1 an answer of an earlier term is ignored", () => {
    const one = new Lone({ term: 4 });
    one.canvass();
    expect(one.view).toMatchObject({ role: "candidate", term: 5 });
    one.receive(2, voteReply(4, true));
    one.receive(3, voteReply(4, true));
    expect(one.view.role).toBe("candidate");
  });
});

describe("§5.2 followers", () => {
  test("§5.2 a member starts as a follower", () => {
    expect(new Lone({ term: 7, vote: 1, log: [6, 7] }).view).toMatchObject({ role: "follower", leader: undefined });
  });

  test("§5.2 a follower stays one as long as it hears from a leader", () => {
    const one = new Lone();
    for (let beat = 0; beat < 20; beat++) {
      one.tick(9);
      one.receive(2, beat % 2 === 0 ? heartbeat(1) : append({ term: 1 }));
    }
    expect(one.view).toMatchObject({ role: "follower", term: 1 });
  });

  test("§5.2 a follower that hears nothing for an election timeout campaigns", () => {
    const one = new Lone();
    one.tick(9);
    expect(one.view.role).toBe("follower");
    one.tick(1);
    expect(one.view.role).toBe("preCandidate");
  });

  test("§5.2 giving a vote starts the wait anew", () => {
    const one = new Lone();
    one.tick(9);
    one.receive(2, requestVote({ term: 1 }));
    one.tick(9);
    expect(one.view.role).toBe("follower");
  });

  test("§5.2 refusing a vote does not", () => {
    const one = new Lone({ log: [1] });
    one.tick(9);
    expect(one.ask(2, requestVote({ term: 1 }))).toMatchObject({ granted: false });
    one.tick(1);
    expect(one.view.role).not.toBe("follower");
  });

  test("§5.2 the timeout is drawn from [n, 2n), anew each time", () => {
    const waits = [0, 4, 9].map((draw) => {
      const one = new Lone();
      one.random.value = draw;
      one.receive(2, heartbeat(1)); // The wait from here on is drawn with the new chance.
      let ticks = 0;
      for (; one.view.role === "follower" && ticks < 100; ticks++) one.tick();
      return ticks;
    });
    expect(waits).toEqual([10, 14, 19]);
  });
});

describe("figure 2, candidates", () => {
  test("§5.2 a candidate moves to the next term, votes for itself, and asks all others", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5], term: 6, log: [5, 6] });
    const sent = one.canvass();
    expect(one.view).toMatchObject({ role: "candidate", term: 7, vote: 1 });
    for (const other of [2, 3, 4, 5]) {
      expect(sentOf(sent, "requestVote", other).at(-1)).toEqual(requestVote({ term: 7, last: [2, 6] }));
    }
  });

  test("§5.2 a candidate with votes of a majority leads", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5] });
    one.canvass();
    one.receive(2, voteReply(1, true));
    expect(one.view.role).toBe("candidate");
    one.receive(3, voteReply(1, true));
    expect(one.view).toMatchObject({ role: "leader", leader: 1, term: 1 });
  });

  test("§5.2 one member's vote counts once, however often it arrives", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5] });
    one.canvass();
    for (let times = 0; times < 3; times++) one.receive(2, voteReply(1, true));
    expect(one.view.role).toBe("candidate");
  });

  test("§5.2 a member's first answer counts: a later one cannot take a vote back", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5] });
    one.canvass();
    one.receive(2, voteReply(1, true));
    one.receive(2, voteReply(1, false));
    one.receive(3, voteReply(1, true));
    expect(one.view.role).toBe("leader");
  });

  test("§5.2 a candidate's own vote counts only once it is on disk", () => {
    const one = new Lone();
    one.campaign();
    const grant = voteReply(1, true, true);
    one.input({ type: "receive", from: one.view.configuration.voters[1] as MemberId, message: grant });
    expect(one.view.role).toBe("candidate");
    one.input({ type: "receive", from: one.view.configuration.voters[1] as MemberId, message: voteReply(1, true) });
    expect(one.view.role).toBe("candidate");
    one.persist();
    expect(one.view.role).toBe("leader");
  });

  test("§5.2 an earlier write that is done is not its vote", () => {
    const one = new Lone();
    one.input({ type: "receive", from: memberId(2), message: append({ term: 1, terms: [1] }) });
    for (let tick = 0; tick < 10; tick++) one.input({ type: "tick" });
    one.input({ type: "receive", from: memberId(2), message: voteReply(2, true, true) });
    one.input({ type: "receive", from: memberId(2), message: voteReply(2, true) });
    expect([one.view.role, one.persistsPending]).toEqual(["candidate", 2]);
    one.persist(1);
    expect(one.view.role).toBe("candidate");
    one.persist(1);
    expect(one.view.role).toBe("leader");
  });

  test("§5.2 the only voter leads once its vote is on disk, asking nobody", () => {
    const one = new Lone({ voters: [1] });
    const sent = one.campaign();
    expect(one.view).toMatchObject({ role: "leader", term: 1 });
    expect(sent).toEqual([]);
  });

  test("§5.2 a candidate that hears from a leader of its term follows it", () => {
    for (const message of [append({ term: 1 }), heartbeat(1)]) {
      const one = new Lone();
      one.canvass();
      one.receive(3, message);
      expect(one.view).toMatchObject({ role: "follower", term: 1, leader: 3 });
    }
  });

  test("§5.2 a candidate that hears from a leader of an earlier term goes on", () => {
    const one = new Lone({ term: 4 });
    one.canvass();
    one.receive(3, append({ term: 4 }));
    expect(one.view).toMatchObject({ role: "candidate", term: 5 });
  });

  test("§5.2 a candidate that neither wins nor loses tries again after a timeout, in a later term", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5] });
    one.canvass();
    one.tick(10);
    expect(one.view.role === "preCandidate" || one.view.term === 2).toBe(true);
    one.receive(2, voteReply(2, true, true));
    one.receive(3, voteReply(2, true, true));
    expect(one.view).toMatchObject({ role: "candidate", term: 2, vote: 1 });
  });

  test("§5.2 votes of an earlier campaign do not count in a later one", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5] });
    one.canvass();
    one.receive(2, voteReply(1, true));
    one.tick(10);
    one.receive(2, voteReply(2, true, true));
    one.receive(3, voteReply(2, true, true));
    one.receive(4, voteReply(2, true));
    expect(one.view).toMatchObject({ role: "candidate", term: 2 });
  });

  test("§5.2 a candidate that a majority refuses gives up before its timeout", () => {
    const one = new Lone();
    one.canvass();
    one.receive(2, voteReply(1, false));
    one.receive(3, voteReply(1, false));
    expect(one.view).toMatchObject({ role: "follower", term: 1, vote: 1 });
  });
});

describe("figure 2, receiver of RequestVote", () => {
  test("§5.2 grants at most one vote per term, first come first served", () => {
    const one = new Lone();
    expect(one.ask(2, requestVote({ term: 1 }))).toEqual(voteReply(1, true));
    expect(one.ask(3, requestVote({ term: 1 }))).toEqual(voteReply(1, false));
  });

  test("§5.2 grants again to the same candidate: the first answer may be lost", () => {
    const one = new Lone();
    one.ask(2, requestVote({ term: 1 }));
    expect(one.ask(2, requestVote({ term: 1 }))).toEqual(voteReply(1, true));
  });

  test("§5.2 gives no vote in a term that has a leader already", () => {
    const one = new Lone();
    one.receive(2, heartbeat(1));
    expect(one.view.vote).toBeUndefined();
    expect(one.ask(3, requestVote({ term: 1, last: [9, 1] }))).toEqual(voteReply(1, false));
  });

  test("§5.2 keeps its vote over a crash", () => {
    const one = new Lone();
    one.ask(2, requestVote({ term: 1 }));
    one.restart();
    expect(one.ask(3, requestVote({ term: 1 }))).toEqual(voteReply(1, false));
    expect(one.ask(2, requestVote({ term: 1 }))).toEqual(voteReply(1, true));
  });

  test("§5.2 a candidate and a leader voted for themselves", () => {
    const candidate = new Lone();
    candidate.canvass();
    expect(candidate.ask(2, requestVote({ term: 1, last: [9, 1] }))).toEqual(voteReply(1, false));
    const leader = new Lone();
    leader.lead();
    expect(sentOf(leader.receive(2, requestVote({ term: 1, last: [9, 1] })), "voteReply")).not.toContainEqual(
      voteReply(1, true),
    );
  });

  // §5.4.1: the log with the later last term is more up-to-date; of equal ones, the longer.
  test.each([
    ["the same log", [2, 2], true],
    ["longer, same last term", [3, 2], true],
    ["shorter, same last term", [1, 2], false],
    ["shorter, later last term", [1, 3], true],
    ["longer, earlier last term", [9, 1], false],
    ["empty", [0, 0], false],
  ] as const)("§5.4.1 with a log that ends at 2/2, candidate's log %s", (_, last, granted) => {
    const one = new Lone({ log: [1, 2], term: 4 });
    expect(one.ask(2, requestVote({ term: 5, last }))).toEqual(voteReply(5, granted));
    const asked = new Lone({ log: [1, 2], term: 4 });
    expect(asked.ask(2, requestVote({ term: 5, last, preVote: true }))).toMatchObject({ preVote: true, granted });
  });

  test("§5.4.1 refuses a candidate with an older log, and still moves to its term", () => {
    const one = new Lone({ log: [1, 2], term: 4 });
    one.ask(2, requestVote({ term: 6, last: [1, 1] }));
    expect(one.view).toMatchObject({ term: 6, vote: undefined });
  });

  test("§5.4.1 what counts is the last entry of the log, committed or not, on disk or not", () => {
    const one = new Lone();
    one.input({
      type: "receive",
      from: one.view.configuration.voters[1] as MemberId,
      message: append({ term: 2, terms: [2] }),
    });
    one.tick(10);
    expect(one.view.last).toBe(1);
    const other = new Lone({ log: [2] });
    expect(other.ask(3, requestVote({ term: 3, last: [0, 0] }))).toMatchObject({ granted: false });
  });

  test("§5.4.1 a log trimmed to nothing still ends where it was trimmed", () => {
    const one = new Lone({ start: { index: 7, term: 3 } });
    expect(one.ask(2, requestVote({ term: 4, last: [6, 3] }))).toMatchObject({ granted: false });
    expect(one.ask(3, requestVote({ term: 4, last: [7, 3] }))).toMatchObject({ granted: true });
  });
});

describe("thesis §9.6, pre-vote", () => {
  test("§9.6 asks about the next term without moving to it, and writes nothing", () => {
    const one = new Lone({ term: 3, log: [3] });
    const sent = one.campaign();
    expect(sentOf(sent, "requestVote", 2)).toEqual([requestVote({ term: 4, last: [1, 3], preVote: true })]);
    expect(one.view).toMatchObject({ role: "preCandidate", term: 3 });
    expect(one.disk.hardState.term).toBe(3);
  });

  test("§9.6 whoever grants a pre-vote neither moves to the term nor gives its vote away", () => {
    const one = new Lone({ term: 3 });
    expect(one.ask(2, requestVote({ term: 4, preVote: true }))).toEqual(voteReply(4, true, true));
    expect(one.ask(3, requestVote({ term: 4, preVote: true }))).toEqual(voteReply(4, true, true));
    expect(one.view).toMatchObject({ term: 3, vote: undefined });
    expect(one.effectsOf("persist").every(({ hardState }) => hardState === undefined)).toBe(true);
  });

  test("§9.6 a majority of pre-votes begins the real election", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5] });
    one.campaign();
    one.receive(2, voteReply(1, true, true));
    expect(one.view).toMatchObject({ role: "preCandidate", term: 0 });
    one.receive(3, voteReply(1, true, true));
    expect(one.view).toMatchObject({ role: "candidate", term: 1 });
  });

  test("§9.6 a pre-vote is no vote, and a vote no pre-vote", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5] });
    one.canvass();
    for (const voter of [2, 3, 4, 5]) one.receive(voter, voteReply(1, true, true));
    expect(one.view.role).toBe("candidate");
  });

  test("§9.6 no pre-vote while a leader is heard from", () => {
    const one = new Lone();
    one.receive(3, heartbeat(1));
    one.tick(9);
    const answers = sentOf(one.receive(2, requestVote({ term: 2, preVote: true })), "voteReply");
    expect(answers.filter(({ granted }) => granted)).toEqual([]);
    one.tick(1);
    expect(sentOf(one.receive(2, requestVote({ term: 2, preVote: true })), "voteReply")).toEqual([
      voteReply(2, true, true),
    ]);
  });

  test("§9.6 a leader that hears from its quorum gives no pre-vote", () => {
    const one = new Lone();
    one.lead();
    const answers = sentOf(one.receive(2, requestVote({ term: 2, last: [9, 1], preVote: true })), "voteReply");
    expect(answers.filter(({ granted }) => granted)).toEqual([]);
    expect(one.view).toMatchObject({ role: "leader", term: 1 });
  });

  test("§9.6 a refused pre-vote of a later term tells the pre-candidate the term", () => {
    const one = new Lone({ term: 3 });
    one.campaign();
    one.receive(2, voteReply(8, false, true));
    expect(one.view).toMatchObject({ role: "follower", term: 8 });
  });
});

describe("thesis §4.2.3 and §6.2: leader stickiness, check of the quorum", () => {
  test("§4.2.3 a request for votes is ignored, its term too, while a leader is heard from", () => {
    const one = new Lone();
    one.receive(3, heartbeat(1));
    one.tick(9);
    one.receive(2, requestVote({ term: 7, last: [9, 1] }));
    expect(one.view).toMatchObject({ term: 1, leader: 3, vote: undefined });
  });

  test("§4.2.3 unless leadership was transferred to the sender", () => {
    const one = new Lone();
    one.receive(3, heartbeat(1));
    expect(one.ask(2, requestVote({ term: 2, last: [9, 1], transfer: true }))).toEqual(voteReply(2, true));
  });

  test("§4.2.3 a leader ignores it too, as long as it hears from its quorum", () => {
    const one = new Lone();
    one.lead();
    one.receive(3, requestVote({ term: 7, last: [9, 1] }));
    expect(one.view).toMatchObject({ role: "leader", term: 1 });
  });

  test("§6.2 a leader without a quorum for an election timeout steps down", () => {
    const one = new Lone();
    one.lead();
    one.tick(20);
    expect(one.view).toMatchObject({ role: "follower", leader: undefined, term: 1 });
  });

  test("§6.2 any answer shows that a member is there: also a refusal, also a heartbeat's", () => {
    const one = new Lone();
    one.lead();
    for (let round = 0; round < 10; round++) {
      one.tick(5);
      one.receive(2, round % 2 === 0 ? heartbeatReply(1) : rejected(1, 0, [0, 0]));
    }
    expect(one.view.role).toBe("leader");
  });
});
