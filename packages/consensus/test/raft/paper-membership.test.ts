/**
 * Changes of members and transfers of leadership, sentence by sentence: extended Raft paper §6; thesis §3.10, §4.2.2,
 * §4.2.3, §4.3. Named by section and the rule in our words.
 */
import { describe, expect, test } from "vitest";
import { type Configuration, enterChange, foundingConfiguration, leaveJoint, memberId, term } from "@quipu/consensus";
import {
  append,
  configurationEntry,
  heartbeat,
  heartbeatReply,
  Lone,
  record,
  rejected,
  requestVote,
  sentOf,
  voteReply,
} from "./lone.ts";

const ids = (...members: readonly number[]) => members.map(memberId);

function joint(from: readonly number[], to: readonly number[], learners: readonly number[] = []): Configuration {
  return enterChange(foundingConfiguration(ids(...from)), ids(...to), ids(...learners)) as Configuration;
}

function change(one: Lone, voters: readonly number[], learners: readonly number[] = []) {
  const request = one.request();
  return one.step({ type: "changeMembers", request, voters: ids(...voters), learners: ids(...learners) });
}

/** A leader of 1 2 3 with learners 4 5 that have everything. */
function leaderWithLearners(): Lone {
  const one = new Lone({ learners: [4, 5] });
  one.lead();
  return one;
}

describe("§6 configurations in the log", () => {
  test("§6 a member uses the latest configuration in its log, committed or not", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, entries: [configurationEntry(1, 1, joint([1, 2, 3], [1, 4, 5]))] }));
    expect(one.view).toMatchObject({ committed: 0, configurationIndex: 1, configuration: { voters: [1, 4, 5] } });
  });

  test("§6 also after a restart: what counts is the log on disk", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, entries: [configurationEntry(1, 1, joint([1, 2, 3], [1, 4, 5]))] }));
    one.restart();
    expect(one.view.configuration).toEqual(joint([1, 2, 3], [1, 4, 5]));
    one.tick(10);
    expect(one.view.role).toBe("preCandidate");
    // Majorities of both: 4 and 5 alone bring the new one, not the old.
    one.receive(4, voteReply(2, true, true));
    one.receive(5, voteReply(2, true, true));
    expect(one.view.role).toBe("preCandidate");
    one.receive(2, voteReply(2, true, true));
    expect(one.view.role).toBe("candidate");
  });

  test("§6 a configuration whose entry is cut off is in force no more", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, entries: [record(1, 1), configurationEntry(2, 1, joint([1, 2, 3], [1, 4, 5]))] }));
    one.effects();
    one.receive(3, append({ term: 2, previous: [1, 1], terms: [2] }));
    expect(one.view).toMatchObject({ configurationIndex: 0, configuration: foundingConfiguration(ids(1, 2, 3)) });
    expect(one.effectsOf("configuration")).toMatchObject([{ index: 0 }]);
  });

  test("§6 a configuration whose entry is trimmed stays in force", () => {
    const one = new Lone();
    const entries = [configurationEntry(1, 1, foundingConfiguration(ids(1, 2, 3), ids(4))), record(2, 1)];
    one.receive(2, append({ term: 1, entries, commit: 2 }));
    one.step({ type: "trim", upTo: one.view.committed });
    expect(one.view.configuration.learners).toEqual([4]);
    one.restart();
    expect(one.view.configuration.learners).toEqual([4]);
  });
});

describe("§6 joint consensus", () => {
  test("§6 a change of voters begins with a joint configuration, which its leader uses at once", () => {
    const one = leaderWithLearners();
    const sent = change(one, [1, 4, 5]);
    expect(one.view).toMatchObject({ configuration: joint([1, 2, 3], [1, 4, 5]), configurationIndex: 2 });
    for (const member of [2, 3, 4, 5]) expect(sentOf(sent, "appendEntries", member)).toHaveLength(1);
  });

  test("§6 while joint, entries need majorities of both, whoever they are", () => {
    const one = leaderWithLearners();
    change(one, [1, 4, 5]);
    one.accept(4);
    one.accept(5);
    expect(one.view.committed).toBe(1);
    one.accept(2);
    expect(one.view.committed).toBe(2);
  });

  test("§6 a majority of the old alone is not enough either", () => {
    const one = leaderWithLearners();
    change(one, [1, 4, 5]);
    one.accept(2);
    one.accept(3);
    expect(one.view.committed).toBe(1);
  });

  test("§6 one server of either configuration may lead, and elections need both majorities", () => {
    const one = new Lone({ entries: [configurationEntry(1, 1, joint([1, 2, 3], [4, 5, 6]))] });
    one.canvass([2, 3, 4, 5]);
    expect(one.view.role).toBe("candidate");
    one.receive(2, voteReply(2, true));
    one.receive(3, voteReply(2, true));
    expect(one.view.role).toBe("candidate");
    one.receive(4, voteReply(2, true));
    expect(one.view.role).toBe("candidate");
    one.receive(5, voteReply(2, true));
    expect(one.view.role).toBe("leader");
  });

  test("§6 once the joint configuration is committed, its leader goes on to the new one by itself", () => {
    const one = leaderWithLearners();
    change(one, [1, 4, 5]);
    one.accept(4);
    const sent = one.accept(2);
    expect(one.view).toMatchObject({ configuration: foundingConfiguration(ids(1, 4, 5)), configurationIndex: 3 });
    expect(sentOf(sent, "appendEntries", 5).flatMap(({ entries }) => entries.map(({ kind }) => kind))).toContain(
      "configuration",
    );
  });

  test("§6 then the new majority alone decides", () => {
    const one = leaderWithLearners();
    change(one, [1, 4, 5]);
    for (const member of [4, 2]) one.accept(member);
    expect(one.view).toMatchObject({ committed: 2, last: 3 });
    one.receive(2, { type: "appendAccepted", term: term(1), match: one.view.last, barrier: 0 });
    expect(one.view.committed).toBe(2);
    one.accept(5);
    expect(one.view.committed).toBe(3);
  });

  test("§6 a later leader that finds a joint configuration leaves it, after its own no-op is committed", () => {
    const one = new Lone({ entries: [configurationEntry(1, 1, joint([1, 2, 3], [1, 2, 4]))] });
    one.win();
    expect(one.view).toMatchObject({ role: "leader", last: 2 });
    one.accept(2, 1);
    one.accept(4, 1);
    expect(one.view).toMatchObject({ last: 2, committed: 0 });
    one.accept(2, 2);
    expect(one.view).toMatchObject({ committed: 2, last: 3 });
    expect(one.view.configuration).toEqual(leaveJoint(joint([1, 2, 3], [1, 2, 4])));
  });

  test("§6 a leader outside the new configuration does not count itself, and steps down when that is committed", () => {
    const one = new Lone();
    one.lead();
    change(one, [2, 3]);
    one.accept(2);
    // Joint: two of 2 3, and two of 1 2 3.
    expect(one.view.committed).toBe(1);
    one.accept(3);
    expect(one.view).toMatchObject({ committed: 2, last: 3, role: "leader" });
    one.accept(2);
    expect(one.view).toMatchObject({ committed: 2, role: "leader" });
    one.accept(3);
    expect(one.view).toMatchObject({ committed: 3, role: "follower", leader: undefined });
  });

  test("§4.2.2 it hands over, so that nobody has to wait for an election timeout", () => {
    const one = new Lone();
    one.lead();
    change(one, [2, 3]);
    const sent = [2, 3, 2, 3].flatMap((member) => one.accept(member));
    expect(sentOf(sent, "timeoutNow")).toHaveLength(1);
  });

  test("§4.2.2 who is no voter, in a committed configuration, does not campaign", () => {
    for (const configuration of [foundingConfiguration(ids(2, 3)), foundingConfiguration(ids(2, 3), ids(1))]) {
      const one = new Lone();
      one.receive(2, append({ term: 1, entries: [configurationEntry(1, 1, configuration)], commit: 1 }));
      expect(one.tick(100)).toEqual([]);
      expect(one.view).toMatchObject({ role: "follower", term: 1 });
    }
  });

  test("§4.2.2 while it is not committed it does: its log may be the only one that can win; its vote does not count", () => {
    const one = new Lone({ entries: [configurationEntry(1, 1, foundingConfiguration(ids(2, 3)))] });
    one.canvass();
    expect(one.view).toMatchObject({ role: "candidate", term: 2 });
    one.receive(2, voteReply(2, true));
    expect(one.view.role).toBe("candidate");
    one.receive(3, voteReply(2, true));
    expect(one.view.role).toBe("leader");
  });

  test("§4.2.2 but it votes: it may be needed by those who do not know the change yet", () => {
    const one = new Lone({ entries: [configurationEntry(1, 1, foundingConfiguration(ids(2, 3)))] });
    expect(one.ask(2, requestVote({ term: 2, last: [1, 1] }))).toEqual(voteReply(2, true));
  });

  test("a member that knows no cell waits to be contacted, and takes the log of who does", () => {
    const one = new Lone({ member: 9, newcomer: true });
    expect(one.tick(100)).toEqual([]);
    const entries = [record(1, 1), configurationEntry(2, 1, foundingConfiguration(ids(1, 2), ids(9)))];
    expect(one.ask(1, append({ term: 1, entries, commit: 2 }))).toMatchObject({ type: "appendAccepted", match: 2 });
    expect(one.view).toMatchObject({ committed: 2, configuration: { voters: [1, 2], learners: [9] } });
  });
});

describe("§6, §4.2.1 learners", () => {
  test("§4.2.1 a learner gets the log and counts for nothing", () => {
    const one = leaderWithLearners();
    const sent = one.propose("a");
    expect(sentOf(sent, "appendEntries", 4)).toHaveLength(1);
    one.accept(4);
    one.accept(5);
    expect(one.view.committed).toBe(1);
    one.accept(2);
    expect(one.view.committed).toBe(2);
  });

  test("§4.2.1 nobody asks it for a vote, nor counts one", () => {
    const one = new Lone({ learners: [4, 5] });
    const asked = one.canvass([2]);
    expect(asked.filter(({ to }) => to > 3)).toEqual([]);
    for (const learner of [4, 5]) one.receive(learner, voteReply(1, true));
    expect(one.view.role).toBe("candidate");
  });

  test("§4.2.1 its answers do not keep a leader without a quorum in office", () => {
    const one = leaderWithLearners();
    for (let tick = 0; tick < 20 && one.view.role === "leader"; tick++) {
      one.tick();
      for (const learner of [4, 5]) if (one.view.role === "leader") one.receive(learner, heartbeatReply(1));
    }
    expect(one.view.role).toBe("follower");
  });

  test("§4.2.1 one that is far behind, or was not heard from, does not become a voter", () => {
    const one = new Lone({ learners: [4], settings: { promotionLagEntriesMax: 2 } });
    one.win();
    for (const member of [2, 3]) one.accept(member);
    change(one, [1, 2, 3, 4]);
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "refused" }]);
    one.accept(4);
    for (let count = 0; count < 3; count++) one.propose("a");
    for (const member of [2, 3]) one.accept(member);
    change(one, [1, 2, 3, 4]);
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "refused" }]);
    one.accept(4, 2);
    change(one, [1, 2, 3, 4]);
    expect(one.effectsOf("reply")).toEqual([]);
    expect(one.view.configuration).toEqual(joint([1, 2, 3], [1, 2, 3, 4]));
  });

  test("learners change in one step, without a joint configuration", () => {
    const one = new Lone();
    one.lead();
    change(one, [1, 2, 3], [4]);
    expect(one.view.configuration).toEqual(foundingConfiguration(ids(1, 2, 3), ids(4)));
    one.accept(2);
    expect(one.view).toMatchObject({ committed: 2, last: 2 });
  });
});

describe("§4.1 one change at a time", () => {
  test("§4.1 refused while another is not committed, and while joint", () => {
    const one = leaderWithLearners();
    change(one, [1, 2, 3], [4]);
    one.effects();
    change(one, [1, 2, 3], [4, 5]);
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "refused" }]);
    one.accept(2);
    change(one, [1, 2, 4]);
    one.effects();
    change(one, [1, 2, 3]);
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "refused" }]);
  });

  test("§4.1 refused until an entry of the leader's own term is committed", () => {
    const one = new Lone();
    one.win();
    change(one, [1, 2]);
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "refused" }]);
    one.accept(2);
    change(one, [1, 2]);
    expect(one.effectsOf("proposed")).toHaveLength(1);
  });

  test("refused if nothing changes, if nobody would vote, if somebody would be both", () => {
    for (const [voters, learners] of [
      [[1, 2, 3], []],
      [[], [1]],
      [[1, 2, 3], [3]],
    ] as const) {
      const one = new Lone();
      one.lead();
      change(one, voters, learners);
      expect(one.effectsOf("reply")).toMatchObject([{ reason: "refused" }]);
      expect(one.view.last).toBe(1);
    }
  });

  test("a follower drops it", () => {
    const one = new Lone();
    one.receive(2, heartbeat(1));
    one.effects();
    change(one, [1, 2]);
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "dropped", leader: 2 }]);
  });
});

describe("thesis §3.10, transfer of leadership", () => {
  const transfer = (one: Lone, to: number) => one.step({ type: "transferLeadership", to: memberId(to) });

  test("§3.10 the leader takes no new requests meanwhile", () => {
    const one = new Lone();
    one.lead();
    transfer(one, 2);
    one.propose("a");
    change(one, [1, 2]);
    one.step({ type: "seal", request: one.request() });
    expect(one.effectsOf("reply").map(({ reason }) => reason)).toEqual(["dropped", "dropped", "dropped"]);
  });

  test("§3.10 the target first gets everything, then the word", () => {
    const one = new Lone();
    one.lead();
    one.propose("a");
    expect(sentOf(transfer(one, 2), "timeoutNow")).toEqual([]);
    expect(sentOf(one.accept(2), "timeoutNow", 2)).toEqual([{ type: "timeoutNow", term: 1 }]);
  });

  test("§3.10 the target campaigns at once, in the next term, without a pre-vote", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, terms: [1] }));
    const sent = one.receive(2, { type: "timeoutNow", term: term(1) });
    expect(one.view).toMatchObject({ role: "candidate", term: 2, vote: 1 });
    expect(sentOf(sent, "requestVote", 3)).toEqual([requestVote({ term: 2, last: [1, 1], transfer: true })]);
  });

  test("§3.10 the old leader votes for it and follows it", () => {
    const one = new Lone();
    one.lead();
    transfer(one, 2);
    expect(one.ask(2, requestVote({ term: 2, last: [1, 1], transfer: true }))).toEqual(voteReply(2, true));
    one.receive(2, append({ term: 2, previous: [1, 1], terms: [2] }));
    expect(one.view).toMatchObject({ role: "follower", leader: 2, term: 2 });
  });

  test("§3.10 after an election timeout the leader gives up and goes on", () => {
    const one = new Lone();
    one.lead();
    transfer(one, 2);
    for (let tick = 0; tick < 10; tick++) {
      one.tick();
      one.receive(3, heartbeatReply(1));
    }
    one.effects();
    one.propose("a");
    expect(one.effectsOf("proposed")).toHaveLength(1);
  });

  test("§3.10 a late word is ignored: of an earlier term, from somebody who does not lead, to one that has no vote", () => {
    const late = new Lone({ term: 3 });
    late.receive(2, { type: "timeoutNow", term: term(2) });
    expect(late.view).toMatchObject({ role: "follower", term: 3 });
    const following = new Lone();
    following.receive(3, heartbeat(1));
    following.receive(2, { type: "timeoutNow", term: term(1) });
    expect(following.view).toMatchObject({ role: "follower", term: 1, leader: 3 });
    const learner = new Lone({ member: 4, learners: [4] });
    learner.receive(2, { type: "timeoutNow", term: term(1) });
    expect(learner.view.role).toBe("follower");
  });

  test("§3.10 not to itself, a learner or a stranger", () => {
    const one = leaderWithLearners();
    for (const to of [1, 4, 9]) {
      transfer(one, to);
      one.propose("a");
      expect(one.effectsOf("proposed")).toHaveLength(1);
    }
  });

  test("§3.10 a target that refuses what it lacks is served like any other", () => {
    const one = new Lone({ log: [1, 1, 1] });
    one.win();
    transfer(one, 2);
    const sent = one.receive(2, rejected(2, 3, [1, 1]));
    expect(sentOf(sent, "appendEntries", 2).flatMap(({ entries }) => entries)).toHaveLength(3);
    expect(sentOf(one.accept(2), "timeoutNow", 2)).toHaveLength(1);
  });
});
