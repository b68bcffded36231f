/**
 * Replication, sentence by sentence: extended Raft paper figure 2 (AppendEntries, leaders, all servers), §5.3, §5.4.2,
 * §5.5, §5.6; thesis §10.2.1. Named by section and the rule in our words.
 */
import { describe, expect, test } from "vitest";
import { type Entry, logIndex, memberId, type RaftMessage } from "@quipu/consensus";
import { append, heartbeat, heartbeatReply, Lone, logOf, record, rejected, requestVote, sentOf } from "./lone.ts";

/** The terms of the leader's entries in what was sent to a member, by index. */
function sentIndexes(sent: Parameters<typeof sentOf>[0], to: number): number[] {
  return sentOf(sent, "appendEntries", to).flatMap(({ entries }) => entries.map(({ index }) => index));
}

describe("figure 2, receiver of AppendEntries", () => {
  test("§5.1 an earlier term: refused, nothing written", () => {
    const one = new Lone({ term: 3, log: [1] });
    const [answer] = one.receive(2, append({ term: 2, previous: [1, 1], terms: [2] }));
    expect(answer?.message.type).not.toBe("appendAccepted");
    expect(answer?.message.term).toBe(3);
    expect(one.log).toEqual([1]);
    expect(one.effectsOf("persist")).toEqual([]);
  });

  test.each([
    ["missing", [3, 2]],
    ["of an earlier term", [2, 1]],
    ["of a later term", [2, 3]],
  ] as const)("§5.3 the entry before is %s: refused, the log stays", (_, previous) => {
    const one = new Lone({ log: [1, 2], term: 3 });
    const answer = one.ask(2, append({ term: 3, previous, terms: [3] }));
    expect(answer).toMatchObject({ type: "appendRejected", term: 3, rejected: previous[0] });
    expect(one.log).toEqual([1, 2]);
  });

  test("§5.3 the entry before matches: the entries are appended, and acknowledged once durable", () => {
    const one = new Lone({ log: [1, 2] });
    const message = append({ term: 3, previous: [2, 2], terms: [2, 3] });
    const early = one.input({ type: "receive", from: memberId(2), message });
    expect(sentOf(early, "appendAccepted")).toEqual([]);
    expect(one.log).toEqual([1, 2, 2, 3]);
    expect(sentOf(one.persist(), "appendAccepted")).toMatchObject([{ term: 3, match: 4 }]);
    expect(one.disk.entries.map(({ term }) => term)).toEqual([1, 2, 2, 3]);
  });

  test("§5.3 at the very beginning the entry before is index 0, term 0", () => {
    const one = new Lone();
    expect(one.ask(2, append({ term: 1, terms: [1] }))).toMatchObject({ type: "appendAccepted", match: 1 });
  });

  test("§5.3 an entry that conflicts is deleted, and all that follow it", () => {
    const one = new Lone({ log: [1, 2, 2, 2] });
    one.receive(3, append({ term: 3, previous: [1, 1], terms: [3] }));
    expect(one.log).toEqual([1, 3]);
    expect(one.disk.entries.map(({ term }) => term)).toEqual([1, 3]);
  });

  test("§5.3 conflict in the middle of a message: what matches before it stays as it is", () => {
    const one = new Lone({ log: [1, 2, 2, 2] });
    one.receive(3, append({ term: 3, previous: [0, 0], terms: [1, 2, 3, 3] }));
    expect(one.log).toEqual([1, 2, 3, 3]);
    expect(one.effectsOf("persist").at(-1)).toMatchObject({ truncateFrom: 3 });
  });

  test("§5.3 entries that are there already are neither deleted nor written again", () => {
    const one = new Lone({ log: [1, 1, 1] });
    expect(one.ask(2, append({ term: 1, terms: [1, 1] }))).toMatchObject({ type: "appendAccepted", match: 2 });
    expect(one.log).toEqual([1, 1, 1]);
    expect(one.effectsOf("persist").filter(({ truncateFrom }) => truncateFrom !== undefined)).toEqual([]);
  });

  test("§5.3 a message that overlaps the end adds only what is new", () => {
    const one = new Lone({ log: [1, 1, 1] });
    one.receive(2, append({ term: 1, previous: [1, 1], terms: [1, 1, 1, 1] }));
    expect(one.log).toEqual([1, 1, 1, 1, 1]);
    expect(
      one
        .effectsOf("persist")
        .at(-1)
        ?.append.map(({ index }) => index),
    ).toEqual([4, 5]);
  });

  test("§5.3 committed up to the leader's commit, but not beyond the last entry that is known to match", () => {
    const one = new Lone({ log: [1, 1, 1, 1], term: 2 });
    one.receive(2, append({ term: 2, previous: [1, 1], terms: [1], commit: 9 }));
    expect(one.view.committed).toBe(2);
    one.receive(2, append({ term: 2, previous: [4, 1], commit: 3 }));
    expect(one.view.committed).toBe(3);
  });

  test("§5.3 commit never goes back", () => {
    const one = new Lone({ log: [1, 1, 1] });
    one.receive(2, append({ term: 1, previous: [3, 1], commit: 3 }));
    one.receive(2, append({ term: 1, previous: [3, 1], commit: 1 }));
    one.receive(2, heartbeat(1, 2));
    expect(one.view.committed).toBe(3);
  });

  test("§5.3 two entries with the same index and term are one: the content that is there stays", () => {
    const one = new Lone({ entries: [record(1, 1, "mine")] });
    one.receive(2, append({ term: 1, entries: [record(1, 1, "mine"), record(2, 1)] }));
    expect(one.entries).toHaveLength(2);
  });

  test("§5.6 what came twice, or late, is answered as if it were new", () => {
    const one = new Lone();
    const first = append({ term: 1, terms: [1, 1] });
    const answers = [
      one.ask(2, first),
      one.ask(2, append({ term: 1, previous: [2, 1], terms: [1] })),
      one.ask(2, first),
    ];
    expect(answers.every(({ type }) => type === "appendAccepted")).toBe(true);
    expect(one.log).toEqual([1, 1, 1]);
  });

  test("nothing that cannot be right is taken: holes, terms that fall, terms of the future", () => {
    const wrong: Entry[][] = [
      [record(2, 1)],
      [record(1, 1), record(3, 1)],
      [record(1, 2), record(2, 1)],
      [record(1, 9)],
    ];
    for (const entries of wrong) {
      const one = new Lone();
      one.receive(2, append({ term: 2, entries }));
      expect(one.log).toEqual([]);
      expect(one.view.droppedMessages).toBe(1);
    }
  });
});

describe("§5.3 finding where logs meet", () => {
  test("§5.3 a refusal names a term and an index to go on from, not the entry before", () => {
    const one = new Lone({ log: [1, 1, 2, 2, 2, 2], term: 5 });
    expect(one.ask(2, append({ term: 5, previous: [6, 4] }))).toMatchObject({ hintIndex: 6, hintTerm: 2 });
    expect(one.ask(2, append({ term: 5, previous: [9, 5] }))).toMatchObject({ rejected: 9, hintIndex: 6, hintTerm: 2 });
    expect(one.ask(2, append({ term: 5, previous: [5, 1] }))).toMatchObject({ hintIndex: 2, hintTerm: 1 });
  });

  test("§5.3 the leader goes back over a whole term of its own at a time", () => {
    const one = new Lone({ log: [1, 1, 3, 3, 3, 3], term: 5 });
    one.win();
    const sent = one.receive(2, rejected(6, 6, [5, 2]));
    // Its own entries of term 3 cannot be in a log that ends in term 2.
    expect(sentOf(sent, "appendEntries", 2)[0]).toMatchObject({ previousIndex: 2, previousTerm: 1 });
  });

  test("§5.3 a refusal that arrives late is recognised", () => {
    const one = new Lone({ log: [1, 1, 1], term: 1 });
    one.win();
    one.accept(2);
    const next = one.view.progress.find(({ member }) => member === 2)?.next;
    one.receive(2, rejected(2, 3, [1, 1]));
    expect(one.view.progress.find(({ member }) => member === 2)).toMatchObject({ match: 4, next });
  });

  test("§5.3 next begins behind the leader's last entry, match at 0", () => {
    const one = new Lone({ log: [1, 1, 1] });
    one.win();
    expect(one.view.progress).toMatchObject([
      { member: 2, match: 0, next: 4 },
      { member: 3, match: 0, next: 4 },
    ]);
  });
});

describe("figure 2, leaders", () => {
  test("§5.2 a new leader tells everybody at once", () => {
    const one = new Lone();
    const sent = one.win();
    for (const other of [2, 3]) expect(sentOf(sent, "appendEntries", other).at(-1)).toMatchObject({ term: 1 });
  });

  test("§5.2 and again in every heartbeat interval", () => {
    const one = new Lone({ settings: { heartbeatTicks: 3 } });
    one.lead();
    const beats = [1, 2, 3, 4, 5, 6].map(() => sentOf(one.tick(), "heartbeat", 2).length);
    expect(beats).toEqual([0, 0, 1, 0, 0, 1]);
  });

  test("§5.3 a proposal goes into the leader's log and out to the others", () => {
    const one = new Lone();
    one.lead();
    const sent = one.propose("a", "b");
    expect(one.log).toEqual([1, 1, 1]);
    expect(sentIndexes(sent, 2)).toEqual([2, 3]);
    expect(one.effectsOf("proposed")).toEqual([{ type: "proposed", request: 1, term: 1, first: 2, last: 3 }]);
  });

  test("§5.3 nothing but a leader takes a proposal", () => {
    const one = new Lone();
    one.receive(2, heartbeat(1));
    one.propose("a");
    expect(one.effectsOf("reply")).toEqual([{ type: "reply", request: 1, reason: "dropped", leader: 2 }]);
    expect(one.log).toEqual([]);
  });

  test("§5.3 a leader never overwrites or deletes entries of its own log", () => {
    const one = new Lone();
    one.lead();
    one.propose("a");
    one.receive(2, append({ term: 1, terms: [1], previous: [0, 0], commit: 1 }));
    expect(one.log).toEqual([1, 1]);
    expect(one.view).toMatchObject({ role: "leader", droppedMessages: 1 });
  });

  test("§5.3 a member that is behind gets everything from its next entry on", () => {
    const one = new Lone({ log: [1, 1, 1] });
    one.win();
    const sent = one.receive(2, rejected(2, 3, [1, 1]));
    expect(sentIndexes(sent, 2)).toEqual([2, 3, 4]);
  });

  test("§5.3 entries are sent again until the member has them: a lost message shows in the next heartbeat's answer", () => {
    const one = new Lone();
    one.lead();
    one.propose("lost");
    one.tick();
    const probe = sentOf(one.receive(2, heartbeatReply(1)), "appendEntries", 2);
    expect(probe).toMatchObject([{ previousIndex: 2, entries: [] }]);
    expect(sentIndexes(one.receive(2, rejected(1, 2, [1, 1])), 2)).toEqual([2]);
  });

  test("§5.3 committed as soon as a majority has it, the leader one of them", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5] });
    one.lead();
    one.propose("a");
    one.accept(2);
    expect(one.view.committed).toBe(1);
    one.accept(3);
    expect(one.view.committed).toBe(2);
  });

  test("§5.3 the others learn of a commit with the next message, which leaves at once", () => {
    const one = new Lone();
    one.lead();
    one.propose("a");
    const sent = one.accept(2);
    expect(sentOf(sent, "appendEntries", 2).at(-1)).toMatchObject({ commit: 2 });
  });

  test("§5.3 a heartbeat says no more than its receiver is known to hold", () => {
    const one = new Lone();
    one.lead();
    one.propose("a");
    one.accept(2);
    const sent = one.tick();
    expect(sentOf(sent, "heartbeat", 2)).toMatchObject([{ commit: 2 }]);
    expect(sentOf(sent, "heartbeat", 3)).toMatchObject([{ commit: 1 }]);
  });

  test("§5.3 followers deliver in log order, all of it, once", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, terms: [1, 1], commit: 1 }));
    one.receive(2, append({ term: 1, previous: [2, 1], terms: [1], commit: 3 }));
    one.receive(2, append({ term: 1, previous: [2, 1], terms: [1], commit: 3 }));
    const upTo = one.effectsOf("commit").map((effect) => effect.upTo);
    expect(upTo.at(-1)).toBe(3);
    expect(upTo).toEqual([...new Set(upTo)].sort((a, b) => a - b));
  });
});

describe("§5.4 safety", () => {
  test("§5.4.2 an entry of an earlier term on every disk is not committed by counting", () => {
    const one = new Lone({ log: [1, 2], term: 3, voters: [1, 2, 3] });
    one.win();
    one.accept(2, 2);
    one.accept(3, 2);
    expect(one.view).toMatchObject({ last: 3, committed: 0 });
  });

  test("§5.4.2 it is, together with an entry of the present term behind it", () => {
    const one = new Lone({ log: [1, 2], term: 3 });
    one.win();
    one.accept(2, 3);
    expect(one.view.committed).toBe(3);
  });

  test("§5.4.2 entries keep their term when a later leader sends them", () => {
    const one = new Lone({ log: [1, 2], term: 3 });
    one.win();
    const sent = sentOf(one.receive(2, rejected(4, 2, [0, 0])), "appendEntries", 2);
    expect(sent.flatMap(({ entries }) => entries.map(({ term }) => term))).toEqual([1, 2, 4]);
  });

  test("§5.4.3 what is committed can contradict no leader: that is a bug, and stops the member", () => {
    const one = new Lone({ log: [1, 1] });
    one.receive(2, append({ term: 1, previous: [2, 1], commit: 2 }));
    expect(() => one.receive(3, append({ term: 2, previous: [1, 1], terms: [2] }))).toThrow(/committed/);
  });
});

describe("§5.5, §5.6 crashes and timing", () => {
  test("§5.5 entries acknowledged before a crash are there after it", () => {
    const one = new Lone();
    expect(one.ask(2, append({ term: 1, terms: [1, 1] }))).toMatchObject({ type: "appendAccepted", match: 2 });
    one.restart();
    expect(one.log).toEqual([1, 1]);
  });

  test("§5.5 those not yet durable are gone, and nobody was told otherwise", () => {
    const one = new Lone();
    one.input({ type: "receive", from: memberId(2), message: append({ term: 1, terms: [1, 1] }) });
    one.restart();
    expect(one.log).toEqual([]);
  });

  test("§5.5 a leader comes back as a follower", () => {
    const one = new Lone();
    one.lead();
    one.restart();
    expect(one.view).toMatchObject({ role: "follower", term: 1, vote: 1 });
  });

  test("§5.6 between two ticks nothing happens by itself", () => {
    const one = new Lone();
    one.lead();
    expect(one.persist()).toEqual([]);
    expect(one.effects()).toEqual([]);
  });
});

describe("thesis §10.2.1, writing to the leader's disk in parallel; pipelining", () => {
  test("§10.2.1 entries leave before they are on the leader's own disk", () => {
    const one = new Lone();
    one.lead();
    const sent = one.input({ type: "propose", request: one.request(), records: [new Uint8Array(1)] });
    expect(sentIndexes(sent, 2)).toEqual([2]);
    expect(one.persistsPending).toBe(1);
  });

  test("§10.2.1 the leader counts itself only once its own disk is done", () => {
    const one = new Lone();
    one.lead();
    one.input({ type: "propose", request: one.request(), records: [new Uint8Array(1)] });
    const accepted: RaftMessage = { type: "appendAccepted", term: one.view.term, match: logIndex(2), barrier: 0 };
    one.input({ type: "receive", from: memberId(2), message: accepted });
    expect(one.view.committed).toBe(1);
    one.persist();
    expect(one.view.committed).toBe(2);
  });

  test("§10.2.1 a majority of others commits without it; it delivers only what it has", () => {
    const one = new Lone();
    one.lead();
    one.input({ type: "propose", request: one.request(), records: [new Uint8Array(1)] });
    for (const from of [2, 3]) {
      const accepted: RaftMessage = { type: "appendAccepted", term: one.view.term, match: logIndex(2), barrier: 0 };
      one.input({ type: "receive", from: memberId(from), message: accepted });
    }
    expect(one.view).toMatchObject({ committed: 2, delivered: 1, persisted: 1 });
    one.persist();
    expect(one.view.delivered).toBe(2);
  });

  test("§10.2.1 the next entries are sent before the last are answered, within the window", () => {
    const one = new Lone({ settings: { inflightMessagesMax: 2 } });
    one.lead();
    const sent = ["a", "b", "c"].map((text) => sentIndexes(one.propose(text), 2));
    expect(sent).toEqual([[2], [3], []]);
    expect(sentIndexes(one.accept(2, 2), 2)).toEqual([4]);
  });

  test("the window also counts bytes", () => {
    const one = new Lone({ settings: { inflightBytesMax: 100 } });
    one.lead();
    const sent = ["x".repeat(90), "b"].map((text) => sentIndexes(one.propose(text), 2));
    expect(sent).toEqual([[2], []]);
  });

  test("after a word that something was lost, one message at a time until it is answered", () => {
    const one = new Lone();
    one.lead();
    for (const text of ["a", "b"]) one.propose(text);
    one.step({ type: "peerUnreachable", member: memberId(2) });
    expect(one.view.progress[0]).toMatchObject({ member: 2, state: "probe", match: 1, next: 2 });
    const sent = ["c", "d"].map((text) => sentIndexes(one.propose(text), 2));
    expect(sent).toEqual([[2, 3, 4], []]);
    expect(sentIndexes(one.accept(2, 4), 2)).toEqual([5]);
    expect(one.view.progress[0]).toMatchObject({ state: "replicate", match: 4 });
  });

  test("a message holds no more than its limits, but at least one entry", () => {
    const one = new Lone({ settings: { messageEntriesMax: 2, messageBytesMax: 150 } });
    one.lead();
    const sent = one.propose("x".repeat(1000), "a", "b", "c");
    const sizes = sentOf(sent, "appendEntries", 2).map(({ entries }) => entries.length);
    expect(sizes).toEqual([1, 2, 1]);
  });

  test("an answer for later entries stands for all before it", () => {
    const one = new Lone({ settings: { inflightMessagesMax: 2 } });
    one.lead();
    for (const text of ["a", "b", "c", "d"]) one.propose(text);
    expect(sentIndexes(one.accept(2, 3), 2)).toEqual([4, 5]);
    one.accept(2, 2);
    expect(one.view.progress.find(({ member }) => member === 2)).toMatchObject({ match: 3, next: 6 });
  });

  test("beyond the bytes that may wait for commit, or be retained, proposals are refused as overloaded", () => {
    for (const settings of [{ uncommittedBytesMax: 100 }, { retainedBytesMax: 200 }]) {
      const one = new Lone({ settings });
      one.lead();
      one.propose("x".repeat(90));
      one.effects();
      one.propose("x".repeat(90));
      expect(one.effectsOf("reply")).toMatchObject([{ reason: "overloaded" }]);
      expect(one.view.last).toBe(2);
    }
  });

  test("a follower's answer to a refused leader carries the later term, and ends its reign", () => {
    const one = new Lone();
    one.lead();
    one.receive(2, heartbeatReply(4));
    expect(one.view).toMatchObject({ role: "follower", term: 4 });
    expect(one.ask(3, requestVote({ term: 4, last: [1, 1] }))).toMatchObject({ granted: true });
  });

  test("hard state stands in the same persist as the first entries of its term, or an earlier one", () => {
    const one = new Lone();
    one.receive(2, append({ term: 7, terms: [7] }));
    const persists = one.effectsOf("persist");
    const withTerm = persists.findIndex(({ hardState }) => hardState?.term === 7);
    const withEntry = persists.findIndex((effect) => effect.append.length > 0);
    expect(withTerm).toBeGreaterThanOrEqual(0);
    expect(withTerm).toBeLessThanOrEqual(withEntry);
    expect(logOf([7])).toEqual(one.entries);
  });
});
