/** One frame of each type with its bytes: the format cannot change unnoticed. Old nodes read what new ones write. */
import type { Configuration, LogIndex, MemberId, PaxosMessage, RaftMessage, Term } from "@quipu/consensus";
import type { PeerFrame, PeerMessage } from "@quipu/protocol";

const id = (value: number): MemberId => value as MemberId;
const at = (value: number): LogIndex => value as LogIndex;
const reign = (value: number): Term => value as Term;
const raft = (message: RaftMessage): PeerMessage => ({ type: "raft", group: 7, message });
const paxos = (message: PaxosMessage): PeerMessage => ({ type: "paxos", group: 7, message });
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Of four voters, two leave: one for good, one to become a learner; 4 is new, 1025 listens. */
export const jointConfiguration: Configuration = {
  voters: [id(1), id(2), id(4)],
  outgoing: [id(1), id(2), id(3), id(1027)],
  learners: [id(1025)],
  learnersNext: [id(3)],
};

const sampleMessages: readonly (readonly [name: string, message: PeerMessage, hex: string])[] = [
  [
    "appendEntries",
    raft({
      type: "appendEntries",
      term: reign(5),
      previousIndex: at(300),
      previousTerm: reign(4),
      entries: [
        { index: at(301), term: reign(4), kind: "record", data: text("abc") },
        { index: at(302), term: reign(5), kind: "noop" },
        { index: at(303), term: reign(5), kind: "configuration", configuration: jointConfiguration },
        { index: at(304), term: reign(5), kind: "seal" },
      ],
      commit: at(299),
      barrier: 2 ** 40,
    }),
    "51504601 1235df28 60000000 ffeeddccbbaa 01000000 03040000 01 0700000005ac0204ab028080808080200401040361626302050305030100000002000000040000000401000000020000000300000003040000010104000001030000000405",
  ],
  [
    "appendAccepted",
    raft({ type: "appendAccepted", term: reign(5), match: at(300), barrier: 9 }),
    "51504601 80e89f55 23000000 ffeeddccbbaa 01000000 03040000 02 0700000005ac0209",
  ],
  [
    "appendRejected",
    raft({
      type: "appendRejected",
      term: reign(5),
      rejected: at(300),
      hintIndex: at(200),
      hintTerm: reign(3),
      barrier: 9,
    }),
    "51504601 821ee723 26000000 ffeeddccbbaa 01000000 03040000 03 0700000005ac02c8010309",
  ],
  [
    "heartbeat",
    raft({ type: "heartbeat", term: reign(5), commit: at(300), barrier: 9 }),
    "51504601 0a918526 23000000 ffeeddccbbaa 01000000 03040000 04 0700000005ac0209",
  ],
  [
    "heartbeatReply",
    raft({ type: "heartbeatReply", term: reign(5), barrier: 9 }),
    "51504601 582582e7 21000000 ffeeddccbbaa 01000000 03040000 05 070000000509",
  ],
  [
    "requestVote",
    raft({
      type: "requestVote",
      term: reign(6),
      preVote: true,
      lastIndex: at(300),
      lastTerm: reign(5),
      transfer: false,
    }),
    "51504601 614a8627 25000000 ffeeddccbbaa 01000000 03040000 06 070000000601ac020500",
  ],
  [
    "voteReply",
    raft({ type: "voteReply", term: reign(6), preVote: false, granted: true }),
    "51504601 6d6ba4a3 22000000 ffeeddccbbaa 01000000 03040000 07 07000000060001",
  ],
  [
    "timeoutNow",
    raft({ type: "timeoutNow", term: reign(6) }),
    "51504601 6208d091 20000000 ffeeddccbbaa 01000000 03040000 08 0700000006",
  ],
  [
    "snapshotNeeded",
    raft({ type: "snapshotNeeded", term: reign(6), atLeast: at(250), commit: at(300), barrier: 9 }),
    "51504601 3a40e0d1 25000000 ffeeddccbbaa 01000000 03040000 09 0700000006fa01ac0209",
  ],
  [
    "prepare",
    paxos({ type: "prepare", ballot: reign(513), from: at(300) }),
    "51504601 2ce7afc5 23000000 ffeeddccbbaa 01000000 03040000 10 070000008104ac02",
  ],
  [
    "promised",
    paxos({
      type: "promised",
      ballot: reign(513),
      from: at(300),
      through: at(310),
      last: at(310),
      start: at(250),
      chosen: at(299),
      accepted: { ballot: reign(257), freeFrom: at(298) },
      entries: [
        { index: at(300), term: reign(257), kind: "record", data: text("abc") },
        { index: at(304), term: reign(256), kind: "noop" },
        { index: at(305), term: reign(257), kind: "seal" },
      ],
    }),
    "51504601 84105ed0 40000000 ffeeddccbbaa 01000000 03040000 11 070000008104ac02b602b602fa01ab028102aa020300018102036162630302800200048102",
  ],
  [
    "accept",
    paxos({
      type: "accept",
      ballot: reign(513),
      freeFrom: at(311),
      entries: [
        { index: at(311), term: reign(513), kind: "record", data: text("abc") },
        { index: at(312), term: reign(513), kind: "noop" },
      ],
      chosen: at(310),
      barrier: 9,
    }),
    "51504601 aa8a2df9 33000000 ffeeddccbbaa 01000000 03040000 12 070000008104b702b7020201810403616263028104b60209",
  ],
  [
    "accepted",
    paxos({ type: "accepted", ballot: reign(513), first: at(311), last: at(312), match: at(309), barrier: 9 }),
    "51504601 48c960dc 28000000 ffeeddccbbaa 01000000 03040000 13 070000008104b702b802b50209",
  ],
  [
    "rejected",
    paxos({ type: "rejected", ballot: reign(257), promised: reign(513) }),
    "51504601 48358755 23000000 ffeeddccbbaa 01000000 03040000 14 0700000081028104",
  ],
  [
    "chosen",
    paxos({ type: "chosen", ballot: reign(513), freeFrom: at(311), chosen: at(312) }),
    "51504601 fc22bae3 25000000 ffeeddccbbaa 01000000 03040000 15 070000008104b702b802",
  ],
  [
    "paxosHeartbeat",
    paxos({ type: "paxosHeartbeat", ballot: reign(513), freeFrom: at(311), chosen: at(312), number: 4, barrier: 9 }),
    "51504601 dcde0591 27000000 ffeeddccbbaa 01000000 03040000 16 070000008104b702b8020409",
  ],
  [
    "paxosHeartbeatReply",
    paxos({
      type: "paxosHeartbeatReply",
      ballot: reign(513),
      number: 4,
      barrier: 9,
      match: at(312),
      received: at(313),
    }),
    "51504601 ee5ea461 27000000 ffeeddccbbaa 01000000 03040000 17 0700000081040409b802b902",
  ],
  [
    "paxosSnapshotNeeded",
    paxos({
      type: "paxosSnapshotNeeded",
      ballot: reign(513),
      freeFrom: at(311),
      chosen: at(312),
      atLeast: at(250),
      number: 4,
      barrier: 9,
    }),
    "51504601 30409c4f 29000000 ffeeddccbbaa 01000000 03040000 18 070000008104b702b802fa010409",
  ],
  [
    "takeOver",
    paxos({ type: "takeOver", ballot: reign(513) }),
    "51504601 10f2a266 21000000 ffeeddccbbaa 01000000 03040000 19 070000008104",
  ],
  [
    "electionRequest",
    paxos({ type: "electionRequest", round: 3 }),
    "51504601 7d5fa4af 20000000 ffeeddccbbaa 01000000 03040000 1a 0700000003",
  ],
  [
    "electionReply",
    paxos({ type: "electionReply", round: 3, ballot: reign(512), leader: reign(513), happy: true }),
    "51504601 d85e1f9b 25000000 ffeeddccbbaa 01000000 03040000 1b 07000000038004810401",
  ],
  [
    "forward, append",
    {
      type: "forward",
      group: 7,
      term: reign(5),
      stream: 0x1234_5678_9abc,
      sequence: 130,
      operation: { kind: "append", records: [text("abc"), text("")] },
    },
    "51504601 6a424d90 2f000000 ffeeddccbbaa 01000000 03040000 20 0700000005bc9a78563412820100020361626300",
  ],
  [
    "forward, seal",
    { type: "forward", group: 7, term: reign(5), stream: 3, sequence: 1, operation: { kind: "seal" } },
    "51504601 0c4c6cfe 28000000 ffeeddccbbaa 01000000 03040000 20 07000000050300000000000101",
  ],
  [
    "forwardReply, proposed",
    {
      type: "forwardReply",
      group: 7,
      stream: 3,
      sequence: 1,
      outcome: { kind: "proposed", term: reign(5), first: at(300), last: at(302) },
    },
    "51504601 a1f13de1 2b000000 ffeeddccbbaa 01000000 03040000 21 07000000030000000000010005ac0202",
  ],
  [
    "forwardReply, refused",
    {
      type: "forwardReply",
      group: 7,
      stream: 3,
      sequence: 1,
      outcome: { kind: "refused", reason: "overloaded", leader: id(2) },
    },
    "51504601 04b5f8ca 2c000000 ffeeddccbbaa 01000000 03040000 21 0700000003000000000001010202000000",
  ],
  [
    "forwardReply, outOfOrder",
    { type: "forwardReply", group: 7, stream: 3, sequence: 4, outcome: { kind: "outOfOrder", expected: 2 } },
    "51504601 b679db2b 28000000 ffeeddccbbaa 01000000 03040000 21 07000000030000000000040202",
  ],
  [
    "barrier",
    { type: "barrier", group: 7, request: 1000, stream: 3 },
    "51504601 d035e095 27000000 ffeeddccbbaa 01000000 03040000 22 07000000e807030000000000",
  ],
  [
    "barrierReply",
    { type: "barrierReply", group: 7, request: 1000, stream: 3, index: at(300), leader: id(2) },
    "51504601 94e1bc87 2e000000 ffeeddccbbaa 01000000 03040000 23 07000000e80703000000000001ac0202000000",
  ],
  [
    "barrierReply, not the leader",
    { type: "barrierReply", group: 7, request: 1000, stream: 3, index: undefined, leader: undefined },
    "51504601 1952e4d6 2c000000 ffeeddccbbaa 01000000 03040000 23 07000000e8070300000000000000000000",
  ],
  [
    "checkpointed",
    { type: "checkpointed", group: 7, upTo: at(300) },
    "51504601 58c95f66 21000000 ffeeddccbbaa 01000000 03040000 24 07000000ac02",
  ],
  ["join", { type: "join", group: 7 }, "51504601 873fc8f7 1f000000 ffeeddccbbaa 01000000 03040000 25 07000000"],
  [
    "groupMade",
    { type: "groupMade", group: 7, engine: "multi-paxos", members: [id(1), id(1027)] },
    "51504601 eccae855 29000000 ffeeddccbbaa 01000000 03040000 2a 0700000001020100000003040000",
  ],
  [
    "groupMadeReply",
    { type: "groupMadeReply", group: 7, ready: true },
    "51504601 59ea8c8e 20000000 ffeeddccbbaa 01000000 03040000 2b 0700000001",
  ],
  [
    "groupDropped",
    { type: "groupDropped", group: 7 },
    "51504601 f65dd8fa 1f000000 ffeeddccbbaa 01000000 03040000 2c 07000000",
  ],
  [
    "serviceAppend",
    { type: "serviceAppend", log: 7, request: 5, records: [Uint8Array.of(1, 2)] },
    "51504601 8f36ad38 29000000 ffeeddccbbaa 01000000 03040000 3d 0700000005000000000001020102",
  ],
  [
    "serviceAppendReply",
    { type: "serviceAppendReply", request: 5, outcome: { kind: "appended", first: 3, last: 4 } },
    "51504601 169b8456 24000000 ffeeddccbbaa 01000000 03040000 3e 050000000000000304",
  ],
  [
    "stored",
    { type: "stored", shard: 7, upTo: 5 },
    "51504601 631c3297 20000000 ffeeddccbbaa 01000000 03040000 3c 0700000005",
  ],
  [
    "snapshotRequest",
    {
      type: "snapshotRequest",
      shard: 7,
      transfer: 5,
      atLeast: 250,
      position: 300,
      totalBytes: 4096,
      checksum: 0xdead_beef,
      offset: 1024,
    },
    "51504601 c6b68839 31000000 ffeeddccbbaa 01000000 03040000 26 07000000050000000000fa01ac028020efbeadde8008",
  ],
  [
    "snapshotChunk",
    {
      type: "snapshotChunk",
      shard: 7,
      transfer: 5,
      position: 300,
      totalBytes: 4096,
      checksum: 0xdead_beef,
      logStart: text("start"),
      offset: 1024,
      data: text("chunk"),
    },
    "51504601 863e6710 3b000000 ffeeddccbbaa 01000000 03040000 27 07000000050000000000ac028020efbeadde0573746172748008056368756e6b",
  ],
  [
    "snapshotRefused",
    { type: "snapshotRefused", shard: 7, transfer: 5, reason: "unavailable" },
    "51504601 ae9497c9 26000000 ffeeddccbbaa 01000000 03040000 28 0700000005000000000001",
  ],
  [
    "stateHash",
    {
      type: "stateHash",
      shard: 7,
      incarnation: 12,
      featureLevelMax: 1,
      hashes: [
        { position: 299, hash: "0123456789abcdef" },
        { position: 300, hash: "00000000ffffffff" },
      ],
    },
    "51504601 f9418708 39000000 ffeeddccbbaa 01000000 03040000 29 070000000c0000000102ab0267452301efcdab89ac0200000000ffffffff",
  ],
];

export interface SampleFrame {
  readonly name: string;
  readonly frame: PeerFrame;
  readonly hex: string;
}

export const sampleFrames: readonly SampleFrame[] = sampleMessages.map(([name, message, hex]) => ({
  name,
  frame: { cell: 0xaabb_ccdd_eeff, from: id(1), to: id(1027), message },
  hex,
}));
