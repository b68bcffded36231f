/** Remote input never throws: whatever arrives, from whomever, in whatever order, is taken or dropped. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Entry, foundingConfiguration, logIndex, memberId, type PaxosMessage, term } from "@quipu/consensus";
import { accept, ballot, heartbeat, Lone, prepare, slot } from "./lone.ts";

const small = fc.oneof(fc.nat({ max: 6 }), fc.constantFrom(0, 1, 50, 2 ** 32, Number.MAX_SAFE_INTEGER - 1));
const someBallot = fc.oneof(
  fc.tuple(fc.nat({ max: 6 }), fc.nat({ max: 3 })).map(([round, ordinal]) => ballot([round, ordinal])),
  small.map(term),
);
const someIndex = small.map(logIndex);
const someContent = fc.constantFrom(
  { kind: "noop" } as const,
  { kind: "seal" } as const,
  { kind: "record", data: new Uint8Array(3) } as const,
  { kind: "configuration", configuration: foundingConfiguration([memberId(1), memberId(4)]) } as const,
);
const someEntry: fc.Arbitrary<Entry> = fc
  .tuple(someIndex, someBallot, someContent)
  .map(([index, at, content]) => ({ index, term: at, ...content }));
/** Mostly as they could be: from some slot on, in one ballot. */
const someEntries: fc.Arbitrary<Entry[]> = fc.oneof(
  fc.array(someEntry, { maxLength: 3 }),
  fc
    .tuple(fc.integer({ min: 1, max: 5 }), someBallot, fc.array(someContent, { maxLength: 3 }))
    .map(([first, at, contents]) =>
      contents.map((content, place) => ({ index: logIndex(first + place), term: at, ...content })),
    ),
);
const accepted = fc.record({ ballot: someBallot, freeFrom: someIndex });
const leaders = { ballot: someBallot, freeFrom: someIndex, chosen: someIndex };
const someMessage: fc.Arbitrary<PaxosMessage> = fc.oneof(
  fc.record({ type: fc.constant("prepare" as const), ballot: someBallot, from: someIndex }),
  fc.record({
    type: fc.constant("promised" as const),
    ballot: someBallot,
    from: someIndex,
    through: someIndex,
    last: someIndex,
    start: someIndex,
    chosen: someIndex,
    accepted,
    entries: someEntries,
  }),
  fc
    .tuple(someEntries, fc.boolean(), fc.record({ ...leaders, barrier: small }))
    .map(([entries, fits, rest]): PaxosMessage => {
      const own = fits && entries[0] !== undefined ? entries[0].term : rest.ballot;
      return { type: "accept", ...rest, ballot: own, entries };
    }),
  fc.record({
    type: fc.constant("accepted" as const),
    ballot: someBallot,
    first: someIndex,
    last: someIndex,
    match: someIndex,
    barrier: small,
  }),
  fc.record({ type: fc.constant("rejected" as const), ballot: someBallot, promised: someBallot }),
  fc.record({ type: fc.constant("chosen" as const), ...leaders }),
  fc.record({ type: fc.constant("paxosHeartbeat" as const), ...leaders, number: small, barrier: small }),
  fc.record({
    type: fc.constant("paxosHeartbeatReply" as const),
    ballot: someBallot,
    number: small,
    barrier: small,
    match: someIndex,
    received: someIndex,
  }),
  fc.record({
    type: fc.constant("paxosSnapshotNeeded" as const),
    ...leaders,
    atLeast: someIndex,
    number: small,
    barrier: small,
  }),
  fc.record({ type: fc.constant("takeOver" as const), ballot: someBallot }),
  fc.record({ type: fc.constant("electionRequest" as const), round: small }),
  fc.record({
    type: fc.constant("electionReply" as const),
    round: small,
    ballot: someBallot,
    leader: someBallot,
    happy: fc.boolean(),
  }),
);

function survives(one: Lone, messages: readonly (readonly [from: number, message: PaxosMessage])[]): void {
  for (const [from, message] of messages) {
    // As if it answered what the core is about: then more comes through.
    const isAnswer = ["promised", "accepted", "rejected", "paxosHeartbeatReply", "takeOver"].includes(message.type);
    const fitting = isAnswer && from % 2 === 0 ? ({ ...message, ballot: one.view.term } as PaxosMessage) : message;
    one.receive(from, fitting);
    one.tick();
    const { start, delivered, committed, last } = one.view;
    expect(start.index <= delivered && delivered <= committed && committed <= last).toBe(true);
  }
}

describe("remote input", () => {
  const someTraffic = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), someMessage), { maxLength: 30 });
  const entries = [slot(1, [1, 1], "a"), slot(2, [1, 1], "b"), slot(4, [1, 1], "d")];
  const states: readonly (readonly [string, () => Lone])[] = [
    ["a follower", () => new Lone({ entries, accepted: { ballot: [1, 1], freeFrom: 1 }, chosen: 1 })],
    [
      "a follower with a trimmed log",
      () => new Lone({ start: { index: 3, ballot: [1, 1] }, entries: [slot(4, [1, 1], "d")], promised: [2, 2] }),
    ],
    [
      "a candidate",
      () => {
        const one = new Lone({ entries });
        one.campaign();
        return one;
      },
    ],
    [
      "a leader",
      () => {
        const one = new Lone();
        one.lead();
        one.propose("a", "b");
        one.step({ type: "readBarrier", request: one.request() });
        return one;
      },
    ],
    [
      "a leader that hands over",
      () => {
        const one = new Lone();
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

  test("what cannot be right is dropped and counted: another's ballot, holes, configurations, a leap of ballots", () => {
    const one = new Lone();
    const wrong: PaxosMessage[] = [
      prepare([1, 2]),
      heartbeat([1, 0]),
      accept([1, 1], 0, ["a"]),
      { ...accept([1, 1], 1, ["a", "b"]), entries: [slot(1, [1, 1], "a"), slot(3, [1, 1], "c")] },
      { ...accept([1, 1], 1, ["a"]), entries: [slot(1, [0, 1], "older, not chosen")] },
      prepare([2 ** 33, 1]),
    ];
    for (const message of wrong) one.receive(2, message);
    expect(one.view).toMatchObject({ term: 0, leader: undefined, last: 0, droppedMessages: wrong.length });
  });

  test("a message from itself, or from a stranger that claims progress, changes nothing", () => {
    const one = new Lone();
    one.lead();
    one.propose("a");
    for (const from of [1, 9]) one.accept(from, 1, 1);
    expect(one.view).toMatchObject({ role: "leader", committed: 0 });
  });

  test("slots far beyond what is chosen are not taken: a damaged index must not fill the memory", () => {
    const one = new Lone({ settings: { windowSlotsMax: 10, messageEntriesMax: 10 } });
    one.receive(2, accept([1, 1], 1000, ["far"]));
    expect(one.view).toMatchObject({ last: 0, droppedMessages: 1 });
  });
});
