/** Arbitrary messages between nodes: every variant, small numbers and the largest ones. */
import {
  type Configuration,
  type Entry,
  type LogIndex,
  type LogStart,
  type MemberId,
  type PaxosMessage,
  type RaftMessage,
  type Term,
  membersMax,
} from "@quipu/consensus";
import {
  type PeerFrame,
  type PeerMessage,
  randomIdEnd,
  stateHashesMax,
  type GroupState,
  type JournalRecord,
} from "@quipu/protocol";
import fc from "fast-check";

const member: fc.Arbitrary<MemberId> = fc.oneof(
  fc.integer({ min: 1, max: 5 }),
  fc.integer({ min: 1, max: 0xffff_ffff }),
) as fc.Arbitrary<MemberId>;
const maybeMember = fc.option(member, { nil: undefined });
const natural = fc.oneof(fc.nat(300), fc.maxSafeNat());
const positive = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const term = natural as fc.Arbitrary<Term>;
const index = natural as fc.Arbitrary<LogIndex>;
const u32 = fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 0xffff_ffff }));
const randomId = fc.oneof(fc.nat(3), fc.integer({ min: 0, max: randomIdEnd - 1 }));
const data = fc.uint8Array({ maxLength: 40 });

/** Draws for each member of a set where it stands, so that lists are ascending and disjoint where they must be. */
export const configurations: fc.Arbitrary<Configuration> = fc
  .uniqueArray(fc.tuple(member, fc.integer({ min: 1, max: 4 }), fc.boolean()), {
    maxLength: membersMax,
    selector: ([id]) => id,
  })
  .map((drawn) => {
    const sorted = drawn.toSorted(([left], [right]) => left - right);
    const pick = (wanted: (place: number, next: boolean) => boolean): MemberId[] =>
      sorted.filter(([, place, next]) => wanted(place, next)).map(([id]) => id);
    return {
      voters: pick((place) => (place & 1) === 1),
      outgoing: pick((place) => (place & 2) === 2),
      learners: pick((place) => place === 4),
      learnersNext: pick((place, next) => place === 2 && next),
    };
  });

export const logStarts: fc.Arbitrary<LogStart> = fc
  .tuple(index, positive as fc.Arbitrary<Term>, configurations)
  .map(([at, itsTerm, configuration]) => ({ index: at, term: at === 0 ? (0 as Term) : itsTerm, configuration }));

const acceptedHardStates = fc
  .tuple(positive, positive, positive as fc.Arbitrary<LogIndex>, index)
  .map(([one, other, freeFrom, chosen]) => ({
    term: Math.max(one, other) as Term,
    vote: undefined,
    accepted: { ballot: Math.min(one, other) as Term, freeFrom },
    ...(chosen !== 0 && { chosen }),
  }));

export const groupStates: fc.Arbitrary<GroupState> = fc.oneof(
  fc.record({
    engine: fc.constant("raft" as const),
    hardState: fc.record({ term, vote: maybeMember }),
    start: logStarts,
  }),
  fc.record({
    engine: fc.constant("multi-paxos" as const),
    hardState: fc.oneof(fc.record({ term, vote: fc.constant(undefined) }), acceptedHardStates),
    start: logStarts,
  }),
);

type Unplaced = Entry extends infer Each ? (Each extends Entry ? Omit<Each, "index"> : never) : never;

const unplacedEntry: fc.Arbitrary<Unplaced> = fc.oneof(
  fc.record({ kind: fc.constant("record"), term: positive as fc.Arbitrary<Term>, data }),
  fc.record({ kind: fc.constantFrom("noop", "seal"), term: positive as fc.Arbitrary<Term> }),
  fc.record({
    kind: fc.constant("configuration"),
    term: positive as fc.Arbitrary<Term>,
    configuration: configurations,
  }),
) as fc.Arbitrary<Unplaced>;

const placed = (at: number, entry: Unplaced): Entry => ({ ...entry, index: at as LogIndex }) as Entry;

export const entries: fc.Arbitrary<Entry> = fc.tuple(positive, unplacedEntry).map(([at, entry]) => placed(at, entry));

export const journalRecords: fc.Arbitrary<JournalRecord> = fc.oneof(
  fc.record({ kind: fc.constant("entry" as const), entry: entries }),
  fc.record({ kind: fc.constant("cut" as const), from: positive as fc.Arbitrary<LogIndex> }),
);

const appendEntries = fc
  .record({
    type: fc.constant("appendEntries" as const),
    term,
    previousIndex: fc.oneof(fc.nat(300), fc.nat(Number.MAX_SAFE_INTEGER - 100)) as fc.Arbitrary<LogIndex>,
    previousTerm: term,
    entries: fc.array(unplacedEntry, { maxLength: 12 }),
    commit: index,
    barrier: natural,
  })
  .map((message) => ({
    ...message,
    entries: message.entries.map((entry, place) => placed(message.previousIndex + 1 + place, entry)),
  }));

const raftMessages: readonly fc.Arbitrary<RaftMessage>[] = [
  appendEntries,
  fc.record({ type: fc.constant("appendAccepted"), term, match: index, barrier: natural }),
  fc.record({
    type: fc.constant("appendRejected"),
    term,
    rejected: index,
    hintIndex: index,
    hintTerm: term,
    barrier: natural,
  }),
  fc.record({ type: fc.constant("heartbeat"), term, commit: index, barrier: natural }),
  fc.record({ type: fc.constant("heartbeatReply"), term, barrier: natural }),
  fc.record({
    type: fc.constant("requestVote"),
    term,
    preVote: fc.boolean(),
    lastIndex: index,
    lastTerm: term,
    transfer: fc.boolean(),
  }),
  fc.record({ type: fc.constant("voteReply"), term, preVote: fc.boolean(), granted: fc.boolean() }),
  fc.record({ type: fc.constant("timeoutNow"), term }),
  fc.record({ type: fc.constant("snapshotNeeded"), term, atLeast: index, commit: index, barrier: natural }),
];

const acceptedBallot = fc.record({ ballot: term, freeFrom: index });
const base = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 10_000 }));

const promised = fc
  .record({
    from: base,
    places: fc.array(fc.tuple(fc.nat(200), unplacedEntry), { maxLength: 12 }),
    beyond: fc.nat(100),
    rest: fc.record({
      ballot: term,
      last: index,
      start: index,
      chosen: index,
      accepted: acceptedBallot,
    }),
  })
  .map(({ from, places, beyond, rest }) => {
    let next = from;
    const found = places.map(([gap, entry]) => {
      const entryHere = placed(next + gap, entry);
      next = entryHere.index + 1;
      return entryHere;
    });
    const through = (Math.max(from, next - 1) + beyond) as LogIndex;
    return { type: "promised" as const, ...rest, from: from as LogIndex, through, entries: found };
  });

const accept = fc
  .record({
    first: base,
    places: fc.array(unplacedEntry, { minLength: 1, maxLength: 12 }),
    rest: fc.record({ ballot: term, freeFrom: index, chosen: index, barrier: natural }),
  })
  .map(({ first, places, rest }) => ({
    type: "accept" as const,
    ...rest,
    entries: places.map((entry, i) => placed(first + i, entry)),
  }));

const paxosMessages: readonly fc.Arbitrary<PaxosMessage>[] = [
  fc.record({ type: fc.constant("prepare"), ballot: term, from: index }),
  promised,
  accept,
  fc.record({
    type: fc.constant("accepted"),
    ballot: term,
    first: index,
    last: index,
    match: index,
    barrier: natural,
  }),
  fc.record({ type: fc.constant("rejected"), ballot: term, promised: term }),
  fc.record({ type: fc.constant("chosen"), ballot: term, freeFrom: index, chosen: index }),
  fc.record({
    type: fc.constant("paxosHeartbeat"),
    ballot: term,
    freeFrom: index,
    chosen: index,
    number: natural,
    barrier: natural,
  }),
  fc.record({
    type: fc.constant("paxosHeartbeatReply"),
    ballot: term,
    number: natural,
    barrier: natural,
    match: index,
    received: index,
  }),
  fc.record({
    type: fc.constant("paxosSnapshotNeeded"),
    ballot: term,
    freeFrom: index,
    chosen: index,
    atLeast: index,
    number: natural,
    barrier: natural,
  }),
  fc.record({ type: fc.constant("takeOver"), ballot: term }),
  fc.record({ type: fc.constant("electionRequest"), round: natural }),
  fc.record({ type: fc.constant("electionReply"), round: natural, ballot: term, leader: term, happy: fc.boolean() }),
];

const outcomes = fc.oneof(
  fc
    .tuple(term, fc.integer({ min: 1, max: 2 ** 52 }), fc.oneof(fc.nat(300), fc.nat(2 ** 52)))
    .map(([itsTerm, first, more]) => ({
      kind: "proposed" as const,
      term: itsTerm,
      first: first as LogIndex,
      last: Math.min(first + more, Number.MAX_SAFE_INTEGER) as LogIndex,
    })),
  fc.record({
    kind: fc.constant("refused" as const),
    reason: fc.constantFrom("dropped", "sealed", "overloaded", "refused"),
    leader: maybeMember,
  }),
  fc.record({ kind: fc.constant("outOfOrder" as const), expected: positive }),
);

const snapshotRequest = fc
  .record({
    type: fc.constant("snapshotRequest" as const),
    shard: u32,
    transfer: randomId,
    atLeast: natural,
    position: natural,
    totalBytes: natural,
    checksum: u32,
    offset: natural,
  })
  .map((message) => ({ ...message, offset: Math.min(message.offset, message.totalBytes) }));

const snapshotChunk = fc
  .record({
    type: fc.constant("snapshotChunk" as const),
    shard: u32,
    transfer: randomId,
    position: natural,
    totalBytes: fc.nat(1000),
    checksum: u32,
    logStart: data,
    offset: fc.nat(2 ** 52),
    data,
  })
  .map((message) => ({ ...message, totalBytes: message.offset + message.data.length + message.totalBytes }));

const otherMessages: readonly fc.Arbitrary<PeerMessage>[] = [
  fc.record({
    type: fc.constant("forward"),
    group: u32,
    term,
    stream: randomId,
    sequence: positive,
    operation: fc.oneof(
      fc.record({ kind: fc.constant("append" as const), records: fc.array(data, { minLength: 1, maxLength: 12 }) }),
      fc.constant({ kind: "seal" as const }),
    ),
  }),
  fc.record({ type: fc.constant("forwardReply"), group: u32, stream: randomId, sequence: positive, outcome: outcomes }),
  fc.record({ type: fc.constant("barrier"), group: u32, request: natural, stream: randomId }),
  fc.record({
    type: fc.constant("barrierReply"),
    group: u32,
    request: natural,
    stream: randomId,
    index: fc.option(index, { nil: undefined }),
    leader: maybeMember,
  }),
  fc.record({ type: fc.constant("checkpointed"), group: u32, upTo: index }),
  fc.record({ type: fc.constant("join"), group: u32 }),
  fc.record({
    type: fc.constant("groupMade"),
    group: u32,
    engine: fc.constantFrom("raft", "multi-paxos"),
    members: fc
      .uniqueArray(member, { minLength: 1, maxLength: membersMax })
      .map((drawn) => drawn.toSorted((left, right) => left - right)),
  }),
  fc.record({ type: fc.constant("groupMadeReply"), group: u32, ready: fc.boolean() }),
  fc.record({ type: fc.constant("groupDropped"), group: u32 }),
  fc.record({ type: fc.constant("stored"), shard: u32, upTo: fc.maxSafeNat() }),
  snapshotRequest,
  snapshotChunk,
  fc.record({
    type: fc.constant("snapshotRefused"),
    shard: u32,
    transfer: randomId,
    reason: fc.constantFrom("busy", "unavailable"),
  }),
  fc.record({
    type: fc.constant("stateHash"),
    shard: u32,
    incarnation: u32,
    featureLevelMax: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 0xffff })),
    hashes: fc
      .uniqueArray(fc.tuple(natural, fc.uint8Array({ minLength: 8, maxLength: 8 })), {
        maxLength: stateHashesMax,
        selector: ([position]) => position,
      })
      .map((drawn) =>
        drawn
          .toSorted(([left], [right]) => left - right)
          .map(([position, bytes]) => ({ position, hash: Buffer.from(bytes).toString("hex") })),
      ),
  }),
];

export const peerMessages: readonly fc.Arbitrary<PeerMessage>[] = [
  ...raftMessages.map((message) => fc.record({ type: fc.constant("raft" as const), group: u32, message })),
  ...paxosMessages.map((message) => fc.record({ type: fc.constant("paxos" as const), group: u32, message })),
  ...otherMessages,
];

export const peerFrames: fc.Arbitrary<PeerFrame> = fc.record({
  cell: randomId,
  from: member,
  to: member,
  message: fc.oneof(...peerMessages),
});
