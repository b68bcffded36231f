/** Words of a commit position that wait for the end of the turn's work: which leave, when, and which never need to. */
import {
  type Entry,
  type Envelope,
  logIndex,
  memberOf,
  type PaxosMessage,
  type RaftMessage,
  type Term,
} from "@quipu/consensus";
import { beforeEach, describe, expect, test } from "vitest";
import { CommitNotices } from "../src/engines/group/commit-notices.ts";
import { multiPaxosAdapter } from "../src/engines/group/multi-paxos-adapter.ts";
import { raftAdapter } from "../src/engines/group/raft-adapter.ts";

const two = memberOf(2, 0);
const three = memberOf(3, 0);

let sent: string[];
let timers: (() => void)[];
let notices: CommitNotices<RaftMessage>;

beforeEach(() => {
  sent = [];
  timers = [];
  const clock = {
    setTimer: (_delayMs: number, callback: () => void): (() => void) => {
      timers.push(callback);
      return () => void timers.splice(timers.indexOf(callback), 1);
    },
  };
  notices = new CommitNotices(raftAdapter, clock, ({ to, message }) => {
    sent.push(`${to}:${describeMessage(message)}`);
  });
});

function describeMessage(message: RaftMessage): string {
  return message.type === "appendEntries" ? `${message.entries.length}@${message.commit}` : message.type;
}

function append(to: typeof two, commit: number, count = 0): Envelope<RaftMessage> {
  const term = 1 as Term;
  const entries: Entry[] = Array.from({ length: count }, (_, at) => ({ index: logIndex(10 + at), term, kind: "noop" }));
  const previousIndex = logIndex(9);
  return {
    to,
    message: {
      type: "appendEntries",
      term,
      previousIndex,
      previousTerm: term,
      entries,
      commit: logIndex(commit),
      barrier: 0,
    },
  };
}

test("of Multi-Paxos: Chosen waits, and is left out where an Accept says the same", () => {
  const taken: string[] = [];
  const words = new CommitNotices<PaxosMessage>(
    multiPaxosAdapter,
    { setTimer: () => () => undefined },
    ({ message }) => {
      taken.push(message.type);
    },
  );
  const rest = { ballot: 5 as Term, freeFrom: logIndex(1) };
  const noop: Entry = { index: logIndex(9), term: 5 as Term, kind: "noop" };
  const chosen = (upTo: number): PaxosMessage => ({ type: "chosen", ...rest, chosen: logIndex(upTo) });
  words.awaits(two, logIndex(8));
  words.send({ to: two, message: chosen(7) });
  expect(taken).toEqual([]);
  words.send({ to: two, message: { type: "accept", ...rest, entries: [noop], chosen: logIndex(7), barrier: 0 } });
  words.endOfWork();
  expect(taken).toEqual(["accept"]);
  words.send({ to: two, message: chosen(8) });
  words.send({ to: three, message: { type: "takeOver", ballot: 5 as Term } });
  expect(taken).toEqual(["accept", "takeOver"]);
  words.endOfWork();
  expect(taken).toEqual(["accept", "takeOver", "chosen"]);
});

function fire(): void {
  for (const timer of timers.splice(0)) timer();
}

describe("a word of the commit position", () => {
  test("is left out where entries that say the same follow within the turn", () => {
    notices.awaits(two, logIndex(5));
    notices.send(append(two, 5));
    notices.send(append(two, 5, 1));
    notices.endOfWork();
    fire();
    expect(sent).toEqual(["2:1@5"]);
  });

  test("goes at the end of the turn to a member that waits for it, a little later to others", () => {
    notices.awaits(two, logIndex(5));
    notices.send(append(two, 5));
    notices.send(append(three, 5));
    expect(sent).toEqual([]);
    notices.endOfWork();
    expect(sent).toEqual(["2:0@5"]);
    fire();
    expect(sent).toEqual(["2:0@5", "3:0@5"]);
  });

  test("is not kept from a member for ever by a timer that has fired", () => {
    for (const commit of [5, 6]) {
      notices.send(append(three, commit));
      notices.endOfWork();
      fire();
    }
    expect(sent).toEqual(["3:0@5", "3:0@6"]);
  });

  test("only the newest of several is sent", () => {
    notices.send(append(three, 5));
    notices.endOfWork();
    notices.send(append(three, 6));
    notices.endOfWork();
    fire();
    expect(sent).toEqual(["3:0@6"]);
  });

  test("entries for one member do not take another's place", () => {
    notices.send(append(three, 5));
    notices.send(append(two, 5, 1));
    notices.endOfWork();
    fire();
    expect(sent).toEqual(["2:1@5", "3:0@5"]);
  });
});

test("an empty message without news asks something and leaves at once", () => {
  notices.send(append(two, 5, 1));
  notices.send(append(two, 5));
  expect(sent).toEqual(["2:1@5", "2:0@5"]);
});

test("other messages are not held back", () => {
  notices.send({ to: two, message: { type: "timeoutNow", term: 1 as Term } });
  expect(sent).toEqual(["2:timeoutNow"]);
});

test("nothing leaves once it is closed", () => {
  notices.send(append(three, 5));
  notices.endOfWork();
  notices.close();
  fire();
  expect(sent).toEqual([]);
});
