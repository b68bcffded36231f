/**
 * Reads, the no-op, log compaction and the end of a log, sentence by sentence: extended Raft paper §7, §8; thesis §6.4;
 * and what DESIGN §4.1, §4.2 add: state snapshots above the log, seals. Named by section and the rule in our words.
 */
import { describe, expect, test } from "vitest";
import { foundingConfiguration, type LogStart, logIndex, memberId, type RaftMessage, term } from "@quipu/consensus";
import {
  append,
  configurationEntry,
  heartbeat,
  heartbeatReply,
  Lone,
  logOf,
  record,
  rejected,
  sentOf,
} from "./lone.ts";

const ids = (...members: readonly number[]) => members.map(memberId);

function read(one: Lone) {
  return one.step({ type: "readBarrier", request: one.request() });
}

function startOf(index: number, termNumber: number, configuration = foundingConfiguration(ids(1, 2, 3))): LogStart {
  return { index: logIndex(index), term: term(termNumber), configuration };
}

function snapshotNeeded(given: { term: number; atLeast: number; commit?: number; barrier?: number }): RaftMessage {
  return {
    type: "snapshotNeeded",
    term: term(given.term),
    atLeast: logIndex(given.atLeast),
    commit: logIndex(given.commit ?? 0),
    barrier: given.barrier ?? 0,
  };
}

describe("§8 the no-op and reads", () => {
  test("§8 a leader opens its term with an entry that does nothing", () => {
    const one = new Lone({ log: [1, 1] });
    one.win();
    expect(one.entries.at(-1)).toMatchObject({ kind: "noop", index: 3, term: 2 });
  });

  test("§8 a read waits until an entry of the leader's term is committed, and then still asks", () => {
    const one = new Lone({ log: [1, 1] });
    one.win();
    expect(sentOf(read(one), "heartbeat")).toEqual([]);
    const sent = one.accept(2);
    expect(one.effectsOf("barrierReady")).toEqual([]);
    expect(sentOf(sent, "heartbeat", 3)).toMatchObject([{ barrier: 1 }]);
    one.receive(3, heartbeatReply(2, 1));
    expect(one.effectsOf("barrierReady")).toEqual([{ type: "barrierReady", request: 1, index: 3 }]);
  });

  test("§6.4 the index is the commit index when the request came", () => {
    const one = new Lone();
    one.lead();
    one.propose("a");
    read(one);
    one.accept(2);
    one.effects();
    one.receive(3, heartbeatReply(1, 1));
    const [ready] = one.effectsOf("barrierReady");
    expect(ready?.index).toBeGreaterThanOrEqual(1);
  });

  test("§6.4 the leader asks at once, not with the next tick", () => {
    const one = new Lone();
    one.lead();
    expect(sentOf(read(one), "heartbeat")).toHaveLength(2);
  });

  test("§6.4 a majority must answer, the leader one of it", () => {
    const one = new Lone({ voters: [1, 2, 3, 4, 5] });
    one.lead();
    read(one);
    one.receive(2, heartbeatReply(1, 1));
    one.receive(2, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toEqual([]);
    one.receive(3, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toHaveLength(1);
  });

  test("§6.4 any answer that echoes the barrier will do: to entries, or a refusal", () => {
    for (const answer of [
      { type: "appendAccepted", term: term(1), match: logIndex(1), barrier: 1 },
      { ...rejected(1, 1, [0, 0]), barrier: 1 },
    ] as RaftMessage[]) {
      const one = new Lone();
      one.lead();
      read(one);
      one.receive(2, answer);
      expect(one.effectsOf("barrierReady")).toHaveLength(1);
    }
  });

  test("§6.4 an answer to what was asked before the request does not count", () => {
    const one = new Lone();
    one.lead();
    read(one);
    read(one);
    one.receive(2, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady").map(({ request }) => request)).toEqual([1]);
    one.receive(3, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toEqual([]);
    one.receive(3, heartbeatReply(1, 2));
    expect(one.effectsOf("barrierReady").map(({ request }) => request)).toEqual([2]);
  });

  test("§6.4 an echo of a barrier that was never asked for is no answer", () => {
    const one = new Lone();
    one.lead();
    one.receive(2, heartbeatReply(1, 7));
    read(one);
    expect(one.effectsOf("barrierReady")).toEqual([]);
  });

  test("§6.4 learners and strangers do not count", () => {
    const one = new Lone({ learners: [4] });
    one.lead();
    read(one);
    for (const from of [4, 9]) one.receive(from, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toEqual([]);
  });

  test("§6.4 a joint configuration needs both majorities", () => {
    const one = new Lone({ learners: [4, 5] });
    one.lead();
    one.step({ type: "changeMembers", request: one.request(), voters: ids(1, 4, 5), learners: [] });
    read(one);
    for (const from of [4, 5]) one.receive(from, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toEqual([]);
    one.receive(2, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toHaveLength(1);
  });

  test("§6.4 the only voter answers at once", () => {
    const one = new Lone({ voters: [1] });
    one.win();
    one.persist();
    one.effects();
    read(one);
    expect(one.effectsOf("barrierReady")).toMatchObject([{ index: 1 }]);
  });

  test("§8 who no longer leads drops what waits", () => {
    const one = new Lone();
    one.lead();
    read(one);
    read(one);
    one.receive(2, heartbeat(2));
    expect(one.effectsOf("reply").map(({ request, reason }) => [request, reason])).toEqual([
      [1, "dropped"],
      [2, "dropped"],
    ]);
  });

  test("§8 a follower says who leads", () => {
    const one = new Lone();
    one.receive(3, heartbeat(1));
    one.effects();
    read(one);
    expect(one.effectsOf("reply")).toEqual([{ type: "reply", request: 1, reason: "dropped", leader: 3 }]);
  });

  test("§6.4 a lost round is asked again with every heartbeat", () => {
    const one = new Lone();
    one.lead();
    read(one);
    expect(sentOf(one.tick(), "heartbeat", 2)).toMatchObject([{ barrier: 1 }]);
  });

  test("§6.4 those who wait are bounded", () => {
    const one = new Lone({ settings: { barriersWaitingMax: 2 } });
    one.lead();
    for (let count = 0; count < 3; count++) read(one);
    expect(one.effectsOf("reply")).toMatchObject([{ request: 3, reason: "overloaded" }]);
  });
});

describe("§7 log compaction", () => {
  test("§7 a log keeps index, term and configuration of the last entry it gave up", () => {
    const one = new Lone();
    const entries = [record(1, 1), configurationEntry(2, 1, foundingConfiguration(ids(1, 2, 3), ids(4))), record(3, 1)];
    one.receive(2, append({ term: 1, entries, commit: 3 }));
    one.step({ type: "trim", upTo: logIndex(2) });
    expect(one.view).toMatchObject({ start: { index: 2, term: 1 }, last: 3 });
    expect(one.disk.start).toEqual(startOf(2, 1, foundingConfiguration(ids(1, 2, 3), ids(4))));
    expect(one.log).toEqual([1]);
    one.restart();
    expect(one.view).toMatchObject({ start: { index: 2, term: 1 }, last: 3, committed: 2, delivered: 2 });
  });

  test("§7 nothing that is not committed and delivered is given up; nothing comes back", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, terms: [1, 1, 1], commit: 2 }));
    one.step({ type: "trim", upTo: logIndex(9) });
    expect(one.view.start.index).toBe(2);
    one.effects();
    one.step({ type: "trim", upTo: logIndex(1) });
    expect(one.view.start.index).toBe(2);
    expect(one.effectsOf("persist")).toEqual([]);
  });

  test("§7 the check of the entry before works at the start of the log", () => {
    const one = new Lone({ start: { index: 5, term: 2 } });
    expect(one.ask(2, append({ term: 3, previous: [5, 2], terms: [3] }))).toMatchObject({
      type: "appendAccepted",
      match: 6,
    });
  });

  test("§7 entries below the start are committed: what overlaps it is taken from there on", () => {
    const one = new Lone({ start: { index: 5, term: 2 } });
    const answer = one.ask(2, append({ term: 3, previous: [3, 1], entries: [...logOf([2, 2], 3), record(6, 3)] }));
    expect(answer).toMatchObject({ type: "appendAccepted", match: 6 });
    expect(one.log).toEqual([3]);
    expect(one.ask(2, append({ term: 3, previous: [1, 1], terms: [1] }))).toMatchObject({ type: "appendAccepted" });
  });

  test("§7 a leader that gave up what a member needs says so instead, with every heartbeat", () => {
    const one = new Lone({ start: { index: 5, term: 2 }, log: [2] });
    one.win();
    const sent = one.receive(2, rejected(3, 6, [3, 1]));
    expect(sentOf(sent, "snapshotNeeded", 2)).toMatchObject([{ atLeast: 5 }]);
    expect(sentOf(sent, "appendEntries", 2)).toEqual([]);
    expect(sentOf(one.tick(), "snapshotNeeded", 2)).toMatchObject([{ atLeast: 5 }]);
    expect(one.view.progress.find(({ member }) => member === 2)).toMatchObject({ state: "snapshot" });
  });

  test("§7 and goes on as soon as the member's log reaches its own again", () => {
    const one = new Lone({ start: { index: 5, term: 2 }, log: [2] });
    one.win();
    one.receive(2, rejected(3, 6, [3, 1]));
    const sent = one.receive(2, rejected(3, 5, [5, 2]));
    expect(sentOf(sent, "appendEntries", 2)).toMatchObject([{ previousIndex: 5, previousTerm: 2 }]);
  });

  test("§7 a follower that is told so asks for a snapshot, and answers where its log ends", () => {
    const one = new Lone({ log: [1, 1] });
    const answer = one.ask(2, snapshotNeeded({ term: 2, atLeast: 7, barrier: 3 }));
    expect(answer).toMatchObject({ type: "appendRejected", hintIndex: 2, hintTerm: 1, barrier: 3 });
    expect(one.effectsOf("needSnapshot")).toEqual([{ type: "needSnapshot", from: 2, atLeast: 7 }]);
  });

  test("§7 it counts as a heartbeat", () => {
    const one = new Lone();
    for (let beat = 0; beat < 5; beat++) {
      one.tick(9);
      one.receive(2, snapshotNeeded({ term: 1, atLeast: 7 }));
    }
    expect(one.view).toMatchObject({ role: "follower", leader: 2, term: 1 });
  });

  test("§7 an installed snapshot replaces a log that is shorter, or has another entry there", () => {
    for (const log of [[1], [1, 1, 1, 1, 1]]) {
      const one = new Lone({ log, term: 3 });
      one.step({ type: "installed", start: startOf(4, 2) });
      expect(one.view).toMatchObject({
        start: { index: 4, term: 2 },
        last: 4,
        lastTerm: 2,
        committed: 4,
        delivered: 4,
      });
      expect(one.disk).toMatchObject({ start: { index: 4, term: 2 }, entries: [] });
    }
  });

  test("§7 of a log that has the snapshot's last entry, what follows stays", () => {
    const one = new Lone({ log: [1, 1, 2, 2, 2] });
    one.step({ type: "installed", start: startOf(4, 2) });
    expect(one.view).toMatchObject({ last: 5, committed: 4, start: { index: 0 } });
    expect(one.effectsOf("commit").at(-1)).toMatchObject({ upTo: 4 });
  });

  test("§7 an old snapshot changes nothing", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, terms: [1, 1, 1], commit: 3 }));
    one.effects();
    one.step({ type: "installed", start: startOf(2, 1) });
    expect(one.view).toMatchObject({ start: { index: 0 }, last: 3, committed: 3 });
    expect(one.effectsOf("persist")).toEqual([]);
  });

  test("§7 configuration comes from the snapshot, not from the log that it replaces", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, entries: [configurationEntry(1, 1, foundingConfiguration(ids(1, 2), ids(3)))] }));
    const configuration = foundingConfiguration(ids(1, 4, 5));
    one.effects();
    one.step({ type: "installed", start: startOf(8, 3, configuration) });
    expect(one.view).toMatchObject({ configuration, configurationIndex: 8 });
    expect(one.effectsOf("configuration")).toMatchObject([{ configuration, index: 8 }]);
  });

  test("§7 a member offers snapshots of what it delivered and still knows", () => {
    const one = new Lone();
    one.receive(2, append({ term: 1, terms: [1, 1, 1, 1], commit: 3 }));
    one.step({ type: "trim", upTo: logIndex(1) });
    expect([0, 1, 2, 3, 4].map((index) => one.core.startAt(logIndex(index))?.index)).toEqual([
      undefined,
      1,
      2,
      3,
      undefined,
    ]);
  });
});

describe("the end of a log (DESIGN §4.2)", () => {
  const seal = (one: Lone) => one.step({ type: "seal", request: one.request() });

  test("a seal is an entry, and final once it is committed", () => {
    const one = new Lone();
    one.lead();
    seal(one);
    expect(one.effectsOf("proposed")).toMatchObject([{ first: 2, last: 2 }]);
    expect(one.view.sealedAt).toBeUndefined();
    one.accept(2);
    expect(one.view.sealedAt).toBe(2);
  });

  test("behind a seal no record is taken, committed or not", () => {
    const one = new Lone();
    one.lead();
    seal(one);
    one.propose("a");
    expect(one.effectsOf("reply")).toMatchObject([{ reason: "dropped" }]);
    one.accept(2);
    one.propose("a");
    seal(one);
    expect(one.effectsOf("reply").map(({ reason }) => reason)).toEqual(["sealed", "sealed"]);
    expect(one.view.last).toBe(2);
  });

  test("a seal that another leader cuts off never was", () => {
    const one = new Lone();
    one.lead();
    seal(one);
    one.receive(2, append({ term: 2, previous: [1, 1], terms: [2], commit: 2 }));
    expect(one.view).toMatchObject({ sealedAt: undefined, committed: 2 });
  });

  test("whoever knows the seal says so, leader or not", () => {
    const one = new Lone();
    const sealed = { index: logIndex(1), term: term(1), kind: "seal" } as const;
    one.receive(2, append({ term: 1, entries: [sealed], commit: 1 }));
    one.effects();
    one.propose("a");
    seal(one);
    expect(one.effectsOf("reply")).toMatchObject([
      { reason: "sealed", leader: 2 },
      { reason: "sealed", leader: 2 },
    ]);
  });

  test("reads go on", () => {
    const one = new Lone();
    one.lead();
    seal(one);
    one.accept(2);
    read(one);
    one.receive(2, heartbeatReply(1, 1));
    expect(one.effectsOf("barrierReady")).toMatchObject([{ index: 2 }]);
  });

  test("a log is never trimmed up to its seal, nor offered as beginning behind it", () => {
    const one = new Lone();
    one.lead();
    one.propose("a");
    seal(one);
    one.accept(2);
    one.step({ type: "trim", upTo: logIndex(3) });
    expect(one.view).toMatchObject({ start: { index: 2 }, sealedAt: 3 });
    expect(one.core.startAt(logIndex(3))).toBeUndefined();
    one.restart();
    expect(one.entries.at(-1)?.kind).toBe("seal");
  });
});
