/** The parts of the core by themselves: log, durability, progress, queue of reads; against brute force where it pays. */
import type { Entry, LogIndex, MemberId, Term } from "@quipu/consensus";
import { foundingConfiguration, memberId } from "@quipu/consensus";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Durability } from "../../src/raft/durability.ts";
import { entryBytes } from "../../src/entries.ts";
import { RaftLog } from "../../src/raft/log.ts";
import { Progress } from "../../src/raft/progress.ts";
import { ReadQueue } from "../../src/read-queue.ts";

const at = (index: number): LogIndex => index as LogIndex;
const inTerm = (term: number): Term => term as Term;
const members = (...ids: number[]): MemberId[] => ids.map(memberId);
const founding = foundingConfiguration(members(1, 2, 3));

function record(index: number, term: number, bytes = 4): Entry {
  return { index: at(index), term: inTerm(term), kind: "record", data: new Uint8Array(bytes) };
}

function configured(index: number, term: number, ...voters: number[]): Entry {
  const configuration = foundingConfiguration(members(...voters));
  return { index: at(index), term: inTerm(term), kind: "configuration", configuration };
}

/** A log that begins after `start` with entries of these terms. */
function logOf(terms: readonly number[], start = 0, startTerm = 0): RaftLog {
  const hardState = { term: inTerm(99), vote: undefined };
  const entries = terms.map((term, place) => record(start + 1 + place, term));
  const begins = { index: at(start), term: inTerm(startTerm), configuration: founding };
  return new RaftLog({ hardState, start: begins, entries }, undefined);
}

describe("the log", () => {
  test("finds the last entry up to an index with at most a term, as a walk backwards does", () => {
    const property = fc.property(
      fc.array(fc.nat(6), { maxLength: 30 }),
      fc.nat(5),
      fc.nat(40),
      fc.nat(8),
      (steps, start, index, term) => {
        const terms = steps.map((step) => step + 1).sort((a, b) => a - b);
        const log = logOf(terms, start, start === 0 ? 0 : 1);
        let expected: number | undefined = Math.min(index, log.last);
        while (expected >= start && (log.termAt(at(expected)) ?? 0) > term) expected -= 1;
        if (expected < start) expected = undefined;
        expect(log.lastOfTermAtMost(at(index), inTerm(term))).toBe(expected);
      },
    );
    fc.assert(property);
  });

  test("accounts for bytes through append, commit, truncation and trim", () => {
    const log = logOf([1, 1, 1, 1]);
    const each = entryBytes(record(1, 1));
    expect([log.retainedBytes, log.uncommittedBytes]).toEqual([4 * each, 4 * each]);
    log.commitTo(at(2));
    expect([log.retainedBytes, log.uncommittedBytes]).toEqual([4 * each, 2 * each]);
    log.truncateFrom(at(4));
    expect([log.retainedBytes, log.uncommittedBytes]).toEqual([3 * each, each]);
    log.trim(at(2));
    expect([log.retainedBytes, log.uncommittedBytes]).toEqual([each, each]);
  });

  test("a slice has at least one entry, however large, and then keeps to its limits", () => {
    const log = logOf([1, 1, 1, 1]);
    const each = entryBytes(record(1, 1));
    expect(log.slice(at(1), 4, 1).entries).toHaveLength(1);
    expect(log.slice(at(2), 4, 2 * each).entries.map(({ index }) => index)).toEqual([2, 3]);
    expect(log.slice(at(2), 1, 1000).bytes).toBe(each);
    expect(log.slice(at(5), 4, 1000).entries).toEqual([]);
  });

  test("the newest configuration is in force, and an older one again after truncation", () => {
    const log = logOf([1]);
    log.append([configured(2, 1, 1, 2), record(3, 1), configured(4, 1, 1)]);
    expect(log.configuration.voters).toEqual([1]);
    log.truncateFrom(at(4));
    expect([log.configuration.voters, log.configurationIndex]).toEqual([[1, 2], 2]);
    log.truncateFrom(at(2));
    expect([log.configuration.voters, log.configurationIndex]).toEqual([[1, 2, 3], 0]);
  });

  test("knows the configuration as of every retained index, also after a trim", () => {
    const log = logOf([1]);
    log.append([configured(2, 1, 1, 2), record(3, 1), configured(4, 1, 1)]);
    log.commitTo(at(4));
    expect([1, 2, 3, 4].map((index) => log.startAt(at(index))?.configuration.voters)).toEqual([
      [1, 2, 3],
      [1, 2],
      [1, 2],
      [1],
    ]);
    log.trim(at(3));
    expect(log.start.configuration.voters).toEqual([1, 2]);
    expect(log.startAt(at(2))).toBeUndefined();
    expect(log.startAt(at(4))?.configuration.voters).toEqual([1]);
  });

  test("never truncates what is committed, never trims what is not", () => {
    const log = logOf([1, 1, 1]);
    log.commitTo(at(2));
    expect(() => log.truncateFrom(at(2))).toThrow("truncates from 2, but 2 is committed");
    expect(() => log.trim(at(3))).toThrow("trims up to 3, but only 2 is committed");
    expect(() => log.commitTo(at(1))).toThrow("commit went back: 2 -> 1");
    expect(() => log.commitTo(at(4))).toThrow("commits 4, but the log ends at 3");
  });

  test("a truncated seal leaves the log open", () => {
    const log = logOf([1]);
    log.append([{ index: at(2), term: inTerm(1), kind: "seal" }]);
    expect([log.sealIndex, log.sealedAt]).toEqual([2, undefined]);
    log.truncateFrom(at(2));
    expect(log.sealIndex).toBeUndefined();
  });
});

describe("durability", () => {
  test("one answer stands for all before it", () => {
    const durability = new Durability(at(0), undefined);
    durability.issued(1, at(3));
    durability.issued(2, at(5));
    durability.completed(2, at(5));
    expect([durability.persisted, durability.completedToken]).toEqual([5, 2]);
  });

  test("P6: an answer for entries that were replaced says nothing about those in their place", () => {
    const durability = new Durability(at(0), undefined);
    durability.issued(1, at(10)); // 1..10
    durability.truncatedFrom(at(5));
    durability.issued(2, at(10)); // 5..10 again, others
    durability.completed(1, at(10));
    expect(durability.persisted).toBe(4);
    durability.completed(2, at(10));
    expect(durability.persisted).toBe(10);
  });

  test("truncation takes back what was durable", () => {
    const durability = new Durability(at(7), undefined);
    durability.truncatedFrom(at(3));
    expect(durability.persisted).toBe(2);
  });

  test("a log that begins anew is durable up to its start, whatever is still under way for the old one", () => {
    const durability = new Durability(at(0), undefined);
    durability.issued(1, at(10));
    durability.restartedAt(at(20));
    durability.issued(2, at(20));
    durability.issued(3, at(25));
    durability.completed(1, at(25));
    expect(durability.persisted).toBe(20);
    durability.completed(3, at(25));
    expect(durability.persisted).toBe(25);
  });
});

describe("progress", () => {
  test("probes with one message, replicates within a window, stops at both of its ends", () => {
    const progress = new Progress(at(5), true);
    expect(progress.mayAppend(2, 100)).toBe(true);
    progress.sent(3, 30);
    expect([progress.next, progress.mayAppend(2, 100)]).toEqual([5, false]);
    progress.accepted(at(7));
    expect([progress.state, progress.next]).toEqual(["replicate", 8]);
    progress.sent(1, 10);
    progress.sent(1, 10);
    expect(progress.mayAppend(2, 100)).toBe(false); // messages
    progress.accepted(at(8));
    expect(progress.mayAppend(2, 100)).toBe(true);
    progress.sent(1, 95);
    expect(progress.mayAppend(9, 100)).toBe(false); // bytes
  });

  test("a refusal that is older than what is known changes nothing", () => {
    const progress = new Progress(at(5), true);
    progress.accepted(at(6));
    progress.sent(4, 40); // 7..10
    expect(progress.concerns(at(6))).toBe(false);
    expect(progress.concerns(at(11))).toBe(false);
    expect(progress.concerns(at(8))).toBe(true);
    progress.probeFrom(at(3));
    expect([progress.state, progress.next]).toEqual(["probe", 7]); // never at or below its match
    expect([progress.concerns(at(6)), progress.concerns(at(8))]).toEqual([false, false]); // 6 it has acknowledged
  });
});

describe("the queue of reads", () => {
  test("gathers while a batch asks, and confirms each by its own number or a later one", () => {
    const queue = new ReadQueue();
    queue.add(1);
    queue.add(2);
    queue.ask(at(10), false);
    queue.add(3);
    expect([queue.asks, queue.gathers, queue.waiting]).toEqual([true, true, 3]);
    expect(queue.takeConfirmed(0)).toBeUndefined();
    queue.ask(at(12), false);
    expect(queue.takeConfirmed(2)).toMatchObject({ requests: [1, 2], index: 10 });
    expect(queue.takeConfirmed(1)).toBeUndefined();
    expect(queue.takeConfirmed(2)).toMatchObject({ requests: [3], index: 12 });
    expect([queue.waiting, queue.takeAll()]).toEqual([0, []]);
  });
});
