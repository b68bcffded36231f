/**
 * Mistakes that other implementations made, one test each, named by the case (research list P3–P11, as far as they
 * concern a core without I/O; the others are of the disk, the state machine or its clients).
 */
import { describe, expect, test } from "vitest";
import { enterChange, foundingConfiguration, type LogStart, logIndex, memberId, term } from "@quipu/consensus";
import type { RaftInput } from "./cell.ts";
import {
  append,
  configurationEntry,
  heartbeat,
  heartbeatReply,
  Lone,
  record,
  requestVote,
  sentOf,
  voteReply,
} from "./lone.ts";

const ids = (...members: readonly number[]) => members.map(memberId);
const proposal = (one: Lone): RaftInput => ({ type: "propose", request: one.request(), records: [new Uint8Array(1)] });
const read = (one: Lone) => one.step({ type: "readBarrier", request: one.request() });
const startOf = (index: number, termNumber: number, voters = [1, 2, 3]): LogStart => {
  return { index: logIndex(index), term: term(termNumber), configuration: foundingConfiguration(ids(...voters)) };
};

describe("P3 etcd 14370: a single member acknowledged before its own fsync", () => {
  test("nothing is committed before the disk has it", () => {
    const one = new Lone({ voters: [1] });
    one.win();
    one.persist();
    one.effects();
    one.input(proposal(one));
    expect(one.effectsOf("commit")).toEqual([]);
    expect(one.view.committed).toBe(1);
    one.persist();
    expect(one.effectsOf("commit")).toEqual([{ type: "commit", upTo: 2 }]);
  });

  test("nor is it elected before its vote is on disk", () => {
    const one = new Lone({ voters: [1] });
    for (let tick = 0; tick < 10; tick++) one.input({ type: "tick" });
    expect(one.view.role).toBe("candidate");
    one.persist();
    expect(one.view.role).toBe("leader");
  });
});

describe("P4 stale reads", () => {
  test("P4a etcd 7331: a new leader answers only after it committed in its own term", () => {
    const one = new Lone({ log: [1, 1, 1] });
    one.win();
    read(one);
    for (const from of [2, 3]) one.receive(from, heartbeatReply(2, 0));
    expect(one.effectsOf("barrierReady")).toEqual([]);
    one.accept(2);
    one.receive(2, heartbeatReply(2, 1));
    expect(one.effectsOf("barrierReady")).toMatchObject([{ index: 4 }]);
  });

  test("P4b etcd 20418: a reply to an old heartbeat does not confirm a request with the same id", () => {
    const one = new Lone();
    one.lead();
    const request = one.request();
    one.step({ type: "readBarrier", request });
    one.receive(2, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toHaveLength(1);
    one.step({ type: "readBarrier", request });
    one.receive(3, heartbeatReply(1, 1)); // Late, to the first.
    expect(one.effectsOf("barrierReady")).toEqual([]);
    one.receive(3, heartbeatReply(1, 2));
    expect(one.effectsOf("barrierReady")).toHaveLength(1);
  });

  test("P4b also over terms: barriers of an earlier reign confirm nothing in a later one", () => {
    const one = new Lone();
    one.lead();
    for (let count = 0; count < 3; count++) {
      read(one);
      one.receive(2, heartbeatReply(1, count + 1));
    }
    one.receive(3, heartbeat(2));
    one.win();
    for (const from of [2, 3]) one.accept(from);
    one.effects();
    read(one);
    for (const from of [2, 3]) one.receive(from, heartbeatReply(1, 3));
    for (const from of [2, 3]) one.receive(from, heartbeatReply(3, 3));
    expect(one.effectsOf("barrierReady")).toEqual([]);
  });

  test("P4c etcd 21375: whoever stops leading drops its reads before it says so, and answers none afterwards", () => {
    const one = new Lone();
    one.lead();
    read(one);
    one.receive(2, heartbeat(2, 0, 0));
    const kinds = one.effects().map(({ type }) => type);
    expect(kinds.indexOf("reply")).toBeGreaterThanOrEqual(0);
    expect(kinds.indexOf("reply")).toBeLessThan(kinds.indexOf("role"));
    one.receive(2, heartbeatReply(1, 1));
    one.receive(3, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toEqual([]);
  });

  test("P4d etcd-io/raft 99: while leadership is transferred reads need a quorum like ever; there is no lease to keep", () => {
    const one = new Lone();
    one.lead();
    one.step({ type: "transferLeadership", to: memberId(2) });
    read(one);
    expect(one.effectsOf("barrierReady")).toEqual([]);
    // The target was elected by 3, which answers with the later term.
    one.receive(3, heartbeatReply(2, 0));
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "dropped" }]);
  });
});

describe("P5 openraft io_ordering: entries on disk before the term they came in", () => {
  test("term and entries are in one persist, or the term in an earlier one", () => {
    const one = new Lone();
    one.input({ type: "receive", from: memberId(2), message: append({ term: 5, terms: [5] }) });
    const persists = one.effectsOf("persist");
    expect(persists[0]).toMatchObject({ hardState: { term: 5 } });
    const tokens = persists.map(({ token }) => token);
    expect(tokens).toEqual([...tokens].sort((a, b) => a - b));
  });

  test("nothing that was promised for a term leaves before the term is durable", () => {
    const one = new Lone();
    const first = one.input({ type: "receive", from: memberId(2), message: append({ term: 5, terms: [5] }) });
    const again = one.input({ type: "receive", from: memberId(2), message: append({ term: 5, terms: [5] }) });
    const beat = one.input({ type: "receive", from: memberId(2), message: heartbeat(5, 0, 4) });
    expect([...first, ...again, ...beat]).toEqual([]);
    expect(sentOf(one.persist(), "appendAccepted").map(({ match }) => match)).toContain(1);
  });
});

describe("P6 etcd-raft async_storage_writes_append_aba_race: an answer of the disk for what was overwritten", () => {
  test("entries 2, 3 of term 1, replaced by others of term 2 while under way, are not durable when the first write is", () => {
    const one = new Lone({ log: [1] });
    one.input({ type: "receive", from: memberId(2), message: append({ term: 1, previous: [1, 1], terms: [1, 1] }) });
    one.input({ type: "receive", from: memberId(3), message: append({ term: 2, previous: [1, 1], terms: [2, 2] }) });
    const first = one.persist(1);
    expect(one.view.persisted).toBe(1);
    // To its old leader it may say what was true in that leader's term.
    expect(first.map(({ to, message }) => [to, message.type, message.term])).toEqual([[2, "appendAccepted", 1]]);
    expect(one.view.delivered).toBe(0);
    one.persist();
    expect(one.view.persisted).toBe(3);
  });

  test("back again: A, B, A at one index", () => {
    const one = new Lone({ log: [1] });
    const receive = (from: number, termNumber: number): void => {
      const entries = [record(2, termNumber)];
      one.input({
        type: "receive",
        from: memberId(from),
        message: append({ term: termNumber, previous: [1, 1], entries }),
      });
    };
    receive(2, 2);
    receive(3, 3);
    receive(2, 4);
    for (const persisted of [1, 1, 2]) {
      one.persist(1);
      expect(one.view.persisted).toBe(persisted);
    }
    expect(one.disk.entries.map((entry) => entry.term)).toEqual([1, 4]);
  });

  test("answers of the disk that come twice, or late, take nothing back", () => {
    const one = new Lone();
    for (const termNumber of [5, 6]) {
      one.input({ type: "receive", from: memberId(2), message: append({ term: termNumber, terms: [5] }) });
    }
    one.persist();
    one.input({ type: "persisted", token: 1 });
    expect(one.view.persisted).toBe(1);
    // What term 6 waits for is done: its answers leave at once.
    expect(one.input({ type: "receive", from: memberId(2), message: heartbeat(6) })).toHaveLength(1);
  });

  test("a leader that lost and won again counts only what of its own is durable", () => {
    const one = new Lone();
    one.lead();
    one.input(proposal(one)); // 2/1, under way.
    one.input({ type: "receive", from: memberId(2), message: append({ term: 2, previous: [1, 1], terms: [2] }) });
    one.persist(1);
    expect(one.view.persisted).toBe(1);
  });
});

describe("P7 openraft 9540c904: a late message cut off what matched", () => {
  test("an old message with fewer entries takes nothing away", () => {
    const one = new Lone();
    const early = append({ term: 1, terms: [1] });
    one.receive(2, early);
    one.receive(2, append({ term: 1, previous: [1, 1], terms: [1, 1], commit: 3 }));
    one.effects();
    expect(one.ask(2, early)).toMatchObject({ type: "appendAccepted" });
    expect(one.ask(2, append({ term: 1, previous: [0, 0] }))).toMatchObject({ type: "appendAccepted" });
    expect(one.log).toEqual([1, 1, 1]);
    expect(one.effectsOf("persist")).toEqual([]);
  });

  test("nor does one of a later leader that agrees so far", () => {
    const one = new Lone({ log: [1, 1, 1] });
    one.receive(3, append({ term: 2, previous: [0, 0], terms: [1] }));
    expect(one.log).toEqual([1, 1, 1]);
  });
});

describe("P8 openraft a48a3282: logs compared part by part", () => {
  test("a later last term wins over any length", () => {
    const one = new Lone({ log: [1, 1, 1, 1], term: 3 });
    expect(one.ask(2, requestVote({ term: 4, last: [1, 2] }))).toEqual(voteReply(4, true));
    const other = new Lone({ log: [2], term: 3 });
    expect(other.ask(2, requestVote({ term: 4, last: [9, 1] }))).toEqual(voteReply(4, false));
  });
});

describe("P9 membership", () => {
  const joint = enterChange(foundingConfiguration(ids(1, 2, 3)), ids(1, 4, 5), []);

  test("Ongaro 2015: no change before an entry of the own term is committed", () => {
    const one = new Lone({ log: [1] });
    one.win();
    one.step({ type: "changeMembers", request: one.request(), voters: ids(1, 2), learners: [] });
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "refused" }]);
  });

  test("etcd-io/raft 80: in force and checked where it is appended, not where it is applied", () => {
    const one = new Lone({ learners: [4] });
    one.lead();
    one.step({ type: "changeMembers", request: one.request(), voters: ids(1, 2), learners: [] });
    expect(one.view).toMatchObject({ committed: 1, configurationIndex: 2, configuration: { voters: [1, 2] } });
    one.effects();
    one.step({ type: "changeMembers", request: one.request(), voters: ids(1, 2, 3), learners: [] });
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "refused" }]);
  });

  test("openraft 6c0ccaf3: a joint configuration counts at start-up", () => {
    if (joint === undefined) return expect.unreachable();
    const one = new Lone({ entries: [configurationEntry(1, 1, joint)] });
    one.canvass();
    for (const voter of [4, 5]) one.receive(voter, voteReply(2, true));
    expect(one.view.role).toBe("candidate");
    one.receive(2, voteReply(2, true));
    expect(one.view.role).toBe("leader");
  });

  test("openraft 6c0ccaf3: and when entries commit", () => {
    if (joint === undefined) return expect.unreachable();
    const one = new Lone({ entries: [configurationEntry(1, 1, joint)] });
    one.win();
    for (const member of [4, 5]) one.accept(member);
    expect(one.view.committed).toBe(0);
    one.accept(3);
    expect(one.view.committed).toBe(2);
  });

  test("openraft d60f1e85: half of an even number is no majority", () => {
    const one = new Lone({ voters: [1, 2, 3, 4] });
    one.canvass();
    one.receive(2, voteReply(1, true));
    expect(one.view.role).toBe("candidate");
    one.receive(3, voteReply(1, true));
    expect(one.view.role).toBe("leader");
    one.accept(2);
    expect(one.view.committed).toBe(0);
    one.accept(3);
    expect(one.view.committed).toBe(1);
  });

  test("openraft d882e743: learners do not count, for votes, commits or reads", () => {
    const one = new Lone({ learners: [4, 5, 6] });
    one.canvass();
    for (const learner of [4, 5, 6]) one.receive(learner, voteReply(1, true));
    expect(one.view.role).toBe("candidate");
    one.receive(2, voteReply(1, true));
    for (const learner of [4, 5, 6]) one.accept(learner);
    expect(one.view.committed).toBe(0);
    one.accept(2);
    one.effects();
    read(one);
    for (const learner of [4, 5, 6]) one.receive(learner, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toEqual([]);
  });
});

describe("P11 snapshots", () => {
  test("openraft eed681d5: installed while entries are being committed and delivered", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, terms: [1, 1, 1] }));
    // Two more are under way to the disk, all five are committed, when a snapshot of 4 is there.
    one.input({
      type: "receive",
      from: memberId(2),
      message: append({ term: 1, previous: [3, 1], terms: [1, 1], commit: 5 }),
    });
    one.input({ type: "installed", start: startOf(4, 1) });
    one.persist();
    expect(one.view).toMatchObject({ committed: 5, delivered: 5, last: 5 });
    const upTo = one.effectsOf("commit").map((effect) => effect.upTo);
    expect(upTo).toEqual([...upTo].sort((a, b) => a - b));
  });

  test("openraft eed681d5: the other way round, entries that come while the restart is under way", () => {
    const one = new Lone({ log: [1] });
    one.receive(2, heartbeat(2));
    one.input({ type: "installed", start: startOf(6, 2) });
    one.input({
      type: "receive",
      from: memberId(2),
      message: append({ term: 2, previous: [6, 2], terms: [2], commit: 7 }),
    });
    expect(one.view).toMatchObject({ committed: 7, delivered: 6 });
    one.persist(1);
    expect(one.view.delivered).toBe(6);
    one.persist();
    expect(one.view).toMatchObject({ delivered: 7, persisted: 7 });
    expect(one.disk).toMatchObject({ start: { index: 6 }, entries: [{ index: 7 }] });
  });

  test("etcd 18055: two snapshots in quick succession, and an older one after a newer", () => {
    const one = new Lone();
    for (const index of [4, 9, 7]) one.input({ type: "installed", start: startOf(index, 2) });
    expect(one.view).toMatchObject({ start: { index: 9 }, last: 9, delivered: 9 });
    one.persist();
    expect(one.disk.start.index).toBe(9);
    one.restart();
    expect(one.view).toMatchObject({ start: { index: 9 }, committed: 9 });
  });

  test("a leader that lacks what a snapshot has is one of the past, and leads no more", () => {
    const one = new Lone({ log: [1, 1], term: 3 });
    one.win();
    // Committed by a later leader, though of an earlier term than its own.
    one.step({ type: "installed", start: startOf(8, 3) });
    expect(one.view).toMatchObject({ role: "follower", term: 4, last: 8, committed: 8 });
  });

  test("a deposed leader that contradicts what a snapshot has shown to be committed is not believed", () => {
    const one = new Lone({ log: [1, 1, 3], term: 4 });
    one.receive(2, heartbeat(4));
    // 3/3 was committed by a leader of term 5, of whom neither this member nor the leader of term 4 has heard.
    one.step({ type: "installed", start: startOf(3, 3) });
    expect(one.view).toMatchObject({ term: 4, committed: 3, start: { index: 0 } });
    one.receive(2, append({ term: 4, previous: [2, 1], terms: [4] }));
    one.receive(2, append({ term: 4, previous: [3, 4], terms: [4] }));
    expect(one.log).toEqual([1, 1, 3]);
    expect(one.view.droppedMessages).toBe(2);
  });

  test("openraft 447dc11c: members come from the snapshot, never from the log under it", () => {
    const one = new Lone();
    const old = configurationEntry(2, 1, foundingConfiguration(ids(1, 2)));
    one.receive(2, append({ term: 1, entries: [record(1, 1), old] }));
    one.step({ type: "installed", start: startOf(5, 3, [1, 4, 5]) });
    expect(one.view.configuration.voters).toEqual([1, 4, 5]);
    one.restart();
    expect(one.view.configuration.voters).toEqual([1, 4, 5]);
  });

  test("openraft 447dc11c: nor does an entry that was in the log come back when later ones are cut off", () => {
    const one = new Lone();
    one.step({ type: "installed", start: startOf(5, 3, [1, 4, 5]) });
    one.receive(
      4,
      append({ term: 4, previous: [5, 3], entries: [configurationEntry(6, 4, foundingConfiguration(ids(1, 4)))] }),
    );
    one.receive(5, append({ term: 5, previous: [5, 3], terms: [5] }));
    expect(one.view).toMatchObject({ configuration: { voters: [1, 4, 5] }, configurationIndex: 5 });
  });
});
