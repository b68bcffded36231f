/**
 * Remote input never throws: whatever arrives, from whomever, in whatever order, is taken or dropped. One exception is
 * the rule itself: a leader who contradicts what is committed proves that the cell is broken, and ends the member.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Entry, foundingConfiguration, logIndex, memberId, type RaftMessage, term } from "@quipu/consensus";
import { append, heartbeat, heartbeatReply, Lone, rejected, requestVote } from "./lone.ts";

const small = fc.oneof(fc.nat({ max: 6 }), fc.constantFrom(0, 1, 50, 2 ** 32, Number.MAX_SAFE_INTEGER - 1));
const someTerm = small.map(term);
const someIndex = small.map(logIndex);
const someMember = fc.integer({ min: 1, max: 7 }).map(memberId);
const someContent = fc.constantFrom(
  { kind: "noop" } as const,
  { kind: "seal" } as const,
  { kind: "record", data: new Uint8Array(3) } as const,
  { kind: "configuration", configuration: foundingConfiguration([memberId(1), memberId(4)], [memberId(2)]) } as const,
);
const someEntry: fc.Arbitrary<Entry> = fc
  .tuple(someIndex, someTerm, someContent)
  .map(([index, entryTerm, content]) => ({ index, term: entryTerm, ...content }));
/** Mostly as they could be: from some index on, in one term. */
const someEntries: fc.Arbitrary<Entry[]> = fc.oneof(
  fc.array(someEntry, { maxLength: 3 }),
  fc
    .tuple(fc.nat({ max: 5 }), fc.integer({ min: 1, max: 4 }), fc.array(someContent, { maxLength: 3 }))
    .map(([previous, entryTerm, contents]) =>
      contents.map((content, at) => ({ index: logIndex(previous + 1 + at), term: term(entryTerm), ...content })),
    ),
);
const barrier = small;
const someMessage: fc.Arbitrary<RaftMessage> = fc.oneof(
  fc
    .tuple(someTerm, someTerm, someEntries, someIndex, barrier, fc.boolean(), someIndex)
    .map(([messageTerm, previousTerm, entries, commit, echo, fits, index]): RaftMessage => {
      const previousIndex = fits && entries[0] !== undefined ? logIndex(Math.max(0, entries[0].index - 1)) : index;
      return { type: "appendEntries", term: messageTerm, previousIndex, previousTerm, entries, commit, barrier: echo };
    }),
  fc.record({ type: fc.constant("appendAccepted" as const), term: someTerm, match: someIndex, barrier }),
  fc.record({
    type: fc.constant("appendRejected" as const),
    term: someTerm,
    rejected: someIndex,
    hintIndex: someIndex,
    hintTerm: someTerm,
    barrier,
  }),
  fc.record({ type: fc.constant("heartbeat" as const), term: someTerm, commit: someIndex, barrier }),
  fc.record({ type: fc.constant("heartbeatReply" as const), term: someTerm, barrier }),
  fc.record({
    type: fc.constant("requestVote" as const),
    term: someTerm,
    preVote: fc.boolean(),
    lastIndex: someIndex,
    lastTerm: someTerm,
    transfer: fc.boolean(),
  }),
  fc.record({ type: fc.constant("voteReply" as const), term: someTerm, preVote: fc.boolean(), granted: fc.boolean() }),
  fc.record({ type: fc.constant("timeoutNow" as const), term: someTerm }),
  fc.record({
    type: fc.constant("snapshotNeeded" as const),
    term: someTerm,
    atLeast: someIndex,
    commit: someIndex,
    barrier,
  }),
);

/** The only reason for which a message may end a member. */
const contradiction = /contradicts a leader/;

function survives(one: Lone, messages: readonly (readonly [from: number, message: RaftMessage])[]): void {
  for (const [from, message] of messages) {
    try {
      one.receive(from, message);
      one.tick();
    } catch (error) {
      if (error instanceof Error && contradiction.test(error.message)) return;
      throw error;
    }
    const view = one.view;
    expect(view.start.index <= view.delivered && view.delivered <= view.committed && view.committed <= view.last).toBe(
      true,
    );
  }
}

describe("remote input", () => {
  const someTraffic = fc.array(fc.tuple(someMember, someMessage), { maxLength: 30 });
  const states: readonly (readonly [string, () => Lone])[] = [
    ["a follower", () => new Lone({ log: [1, 1, 2], term: 2 })],
    ["a follower with a trimmed log", () => new Lone({ start: { index: 3, term: 1 }, log: [1, 2], term: 3 })],
    ["a newcomer", () => new Lone({ newcomer: true })],
    [
      "a candidate",
      () => {
        const one = new Lone({ log: [1, 1] });
        one.canvass();
        return one;
      },
    ],
    [
      "a leader",
      () => {
        const one = new Lone({ log: [1, 1], learners: [4] });
        one.lead();
        one.propose("a");
        one.step({ type: "readBarrier", request: one.request() });
        return one;
      },
    ],
    [
      "a leader with a trimmed log that transfers its leadership",
      () => {
        const one = new Lone({ start: { index: 4, term: 1 } });
        one.lead();
        one.propose("a");
        one.step({ type: "transferLeadership", to: memberId(2) });
        return one;
      },
    ],
  ];

  test.each(states)("property: nothing that arrives makes %s throw, or breaks its order", (_, make) => {
    fc.assert(
      fc.property(someTraffic, (messages) => survives(make(), messages)),
      { numRuns: 400 },
    );
  });

  test("what cannot be right is counted", () => {
    const one = new Lone({ log: [1] });
    one.lead();
    const wrong: RaftMessage[] = [
      append({ term: 2, terms: [1], previous: [0, 0] }),
      heartbeat(2, 0),
      { type: "appendAccepted", term: term(2), match: logIndex(99), barrier: 0 },
    ];
    for (const message of wrong) one.receive(2, message);
    expect(one.view).toMatchObject({ role: "leader", droppedMessages: 3 });
  });

  test("nobody follows itself, or votes for itself when asked", () => {
    const one = new Lone();
    const sent = [heartbeat(1), append({ term: 1, terms: [1] }), requestVote({ term: 2 })].flatMap((message) =>
      one.receive(1, message),
    );
    expect(sent).toEqual([]);
    expect(one.view).toMatchObject({ term: 0, vote: undefined, leader: undefined, last: 0, droppedMessages: 3 });
  });

  test("a message from itself, or from a stranger that claims progress, changes nothing", () => {
    const one = new Lone();
    one.lead();
    one.propose("a");
    for (const from of [1, 9]) {
      one.receive(from, { type: "appendAccepted", term: term(1), match: logIndex(2), barrier: 0 });
      one.receive(from, heartbeatReply(1, 5));
      one.receive(from, rejected(1, 1, [0, 0]));
    }
    expect(one.view).toMatchObject({ role: "leader", committed: 1 });
  });
});
