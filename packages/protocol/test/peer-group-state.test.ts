/** What lies in the write-ahead log of a group: entries, hard state with log start. One encoding each, and small. */
import {
  type Configuration,
  type Entry,
  type HardState,
  type LogIndex,
  type LogStart,
  type MemberId,
  type Term,
  membersMax,
} from "@quipu/consensus";
import { InvariantViolation } from "@quipu/core";
import {
  decodeEntry,
  decodeGroupState,
  decodeJournalRecord,
  decodeLogStart,
  encodeEntry,
  encodeGroupState,
  encodeJournalRecord,
  encodeLogStart,
  groupStateBytesMax,
  type GroupState,
} from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { entries, groupStates, journalRecords, logStarts } from "./peer-arbitraries.ts";
import { jointConfiguration } from "./peer-samples.ts";

const one = 1 as LogIndex;
const members = (first: number, count: number): MemberId[] =>
  Array.from({ length: count }, (_, place) => (first + place) as MemberId);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** `bytes` with a few of them changed, cut or extended. */
const damage = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 2, 3, 4, 5, 127, 128, 255)), { maxLength: 3 });

function damaged(bytes: Uint8Array, changes: readonly (readonly [number, number])[], length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  for (const [place, value] of changes) if (length > 0) result[place % length] = value;
  return result;
}

describe.each([
  ["entries", entries, encodeEntry, (bytes: Uint8Array) => decodeEntry(one, bytes)],
  ["group states", groupStates, encodeGroupState, decodeGroupState],
  ["log starts", logStarts, encodeLogStart, decodeLogStart],
  ["journal records", journalRecords, encodeJournalRecord, decodeJournalRecord],
] as [string, fc.Arbitrary<unknown>, (value: unknown) => Uint8Array, (bytes: Uint8Array) => unknown][])(
  "%s",
  (_name, values, encode, decode) => {
    test("come back as they went", () => {
      fc.assert(
        fc.property(values, (value) => {
          const expected = isEntry(value) ? { ...value, index: one } : value;
          expect(decode(encode(value))).toEqual(expected);
        }),
        { seed: 7381, numRuns: 500 },
      );
    });

    test("are refused when cut, and are else the one encoding of something", () => {
      fc.assert(
        fc.property(values, damage, fc.integer({ min: -3, max: 3 }), (value, changes, longer) => {
          const bytes = encode(value);
          for (let length = 0; length < bytes.length; length++) {
            expect(decode(bytes.slice(0, length)), `${length} bytes`).toBeUndefined();
          }
          const changed = damaged(bytes, changes, Math.max(0, bytes.length + longer));
          const taken = decode(changed);
          if (taken !== undefined) expect(encode(taken)).toEqual(changed);
        }),
        { seed: 7381, numRuns: 500 },
      );
    });

    test("random bytes do not throw", () => {
      fc.assert(
        fc.property(fc.array(fc.oneof(fc.nat(4), fc.nat(255)), { maxLength: 60 }), (bytes) => {
          const taken = decode(Uint8Array.from(bytes));
          if (taken !== undefined) expect(encode(taken)).toEqual(Uint8Array.from(bytes));
        }),
        { seed: 7381, numRuns: 1000 },
      );
    });
  },
);

function isEntry(value: unknown): value is Entry {
  return typeof value === "object" && value !== null && "kind" in value && "index" in value;
}

test("golden bytes of journal records", () => {
  const entry: Entry = { index: 300 as LogIndex, term: 5 as Term, kind: "record", data: Uint8Array.of(1, 2) };
  expect(hex(encodeJournalRecord({ kind: "entry", entry }))).toBe("ac020105020102");
  expect(hex(encodeJournalRecord({ kind: "cut", from: 300 as LogIndex }))).toBe("00ac02");
  expect(decodeJournalRecord(Uint8Array.of(0, 0))).toBeUndefined();
});

describe("entries", () => {
  test("golden bytes", () => {
    const term = 300 as Term;
    const data = Uint8Array.of(1, 2, 3);
    expect(hex(encodeEntry({ index: one, term, kind: "record", data }))).toBe("01ac0203010203");
    expect(hex(encodeEntry({ index: one, term, kind: "noop" }))).toBe("02ac02");
    expect(hex(encodeEntry({ index: one, term, kind: "configuration", configuration: jointConfiguration }))).toBe(
      "03ac020301000000020000000400000004010000000200000003000000030400000101040000" + "0103000000",
    );
    expect(hex(encodeEntry({ index: one, term, kind: "seal" }))).toBe("04ac02");
  });

  test("a record's data is a view of what was decoded", () => {
    const bytes = encodeEntry({ index: one, term: 1 as Term, kind: "record", data: new Uint8Array(100) });
    const entry = decodeEntry(one, bytes);
    expect(entry?.kind === "record" && entry.data.buffer === bytes.buffer).toBe(true);
  });

  test("term 0 has no entries", () => {
    expect(() => encodeEntry({ index: one, term: 0 as Term, kind: "noop" })).toThrow(InvariantViolation);
    expect(decodeEntry(one, Uint8Array.of(2, 0))).toBeUndefined();
  });
});

describe("group states", () => {
  const largest = Number.MAX_SAFE_INTEGER;
  const full = membersMax;
  const top = 0xffff_ffff;
  const start: LogStart = {
    index: largest as LogIndex,
    term: largest as Term,
    configuration: {
      voters: members(top - full, full),
      outgoing: members(top - full, full),
      learners: [],
      learnersNext: [],
    },
  };

  test("the largest is within its limit", () => {
    const states: readonly GroupState[] = [
      { engine: "raft", hardState: { term: largest as Term, vote: top as MemberId }, start },
      { engine: "multi-paxos", hardState: acceptedBy(largest, largest, largest), start },
    ];
    for (const state of states) {
      const bytes = encodeGroupState(state);
      expect(bytes.length).toBeLessThanOrEqual(groupStateBytesMax);
      expect(decodeGroupState(bytes)).toEqual(state);
    }
  });

  test("golden bytes", () => {
    const small: LogStart = { index: 300 as LogIndex, term: 5 as Term, configuration: jointConfiguration };
    const configuration = "03010000000200000004000000040100000002000000030000000304000001010400000103000000";
    expect(hex(encodeLogStart(small))).toBe(`01ac0205${configuration}`);
    const raft = { engine: "raft", hardState: { term: 6 as Term, vote: 2 as MemberId }, start: small } as const;
    expect(hex(encodeGroupState(raft))).toBe(`010602000000ac0205${configuration}`);
    const empty: LogStart = {
      index: 0 as LogIndex,
      term: 0 as Term,
      configuration: { voters: [], outgoing: [], learners: [], learnersNext: [] },
    };
    const nothing = { term: 0 as Term, vote: undefined };
    expect(hex(encodeGroupState({ engine: "raft", hardState: nothing, start: empty }))).toBe(
      "010000000000000000000000",
    );
    expect(hex(encodeGroupState({ engine: "multi-paxos", hardState: nothing, start: empty }))).toBe(
      "02000000000000000000",
    );
    const paxos = { engine: "multi-paxos", hardState: acceptedBy(300, 6, 301), start: small } as const;
    expect(hex(encodeGroupState(paxos))).toBe(`02ac020006ad02ac0205${configuration}`);
  });

  test.each<[string, GroupState]>([
    ["a chosen slot in Raft", { engine: "raft", hardState: { term: 1 as Term, vote: undefined, chosen: one }, start }],
    ["a vote in Multi-Paxos", { engine: "multi-paxos", hardState: { term: 1 as Term, vote: 2 as MemberId }, start }],
    ["an accepted ballot in Raft", { engine: "raft", hardState: acceptedBy(1, 1, 1), start }],
    ["an accepted ballot that was not promised", { engine: "multi-paxos", hardState: acceptedBy(1, 2, 1), start }],
    ["slot 0", { engine: "multi-paxos", hardState: acceptedBy(1, 1, 0), start }],
  ])("%s is refused", (_name, state) => {
    expect(() => encodeGroupState(state)).toThrow(InvariantViolation);
  });

  test("another version is refused", () => {
    const bytes = encodeLogStart(start);
    for (let version = 0; version < 256; version++) {
      bytes[0] = version;
      expect(decodeLogStart(bytes) !== undefined).toBe(version === 1);
    }
  });

  const four: Configuration = {
    voters: members(1, 3),
    outgoing: members(2, 3),
    learners: members(9, 1),
    learnersNext: members(4, 1),
  };

  test.each<[string, Configuration]>([
    ["not ascending", { ...four, voters: members(1, 3).toReversed() }],
    ["a repeat", { ...four, voters: [...members(1, 1), ...members(1, 1)] }],
    ["a learner that votes", { ...four, learners: members(3, 1) }],
    ["a learner that voted", { ...four, learners: members(4, 1) }],
    ["a voter to go that stays", { ...four, learnersNext: members(3, 1) }],
    ["a voter to go that is none", { ...four, learnersNext: members(1, 1) }],
    ["nobody", { ...four, voters: members(0, 3) }],
    ["too many", { ...four, voters: members(10, membersMax + 1) }],
    ["too many in all", { ...four, voters: members(10, membersMax / 2), outgoing: members(50, membersMax / 2 + 1) }],
  ])("a configuration with %s is refused", (_name, configuration) => {
    expect(encodeLogStart({ index: one, term: 1 as Term, configuration: four })).toBeDefined();
    expect(() => encodeLogStart({ index: one, term: 1 as Term, configuration })).toThrow(InvariantViolation);
    expect(decodeLogStart(rawStart(configuration))).toBeUndefined();
    expect(decodeLogStart(rawStart(four))).toBeDefined();
  });

  test.each([
    [0, 1],
    [1, 0],
  ])("index %d does not go with term %d", (index, term) => {
    const odd: LogStart = { index: index as LogIndex, term: term as Term, configuration: four };
    expect(() => encodeLogStart(odd)).toThrow(InvariantViolation);
    expect(decodeLogStart(rawStart(four, index, term))).toBeUndefined();
  });
});

function acceptedBy(term: number, ballot: number, freeFrom: number): HardState {
  return { term: term as Term, vote: undefined, accepted: { ballot: ballot as Term, freeFrom: freeFrom as LogIndex } };
}

/** As {@link encodeLogStart}, without its checks. */
function rawStart(configuration: Configuration, index: number = 1, term: number = 1): Uint8Array {
  const { voters, outgoing, learners, learnersNext } = configuration;
  const lists = [voters, outgoing, learners, learnersNext].map((list) => {
    const bytes = new Uint8Array(1 + 4 * list.length);
    bytes[0] = list.length;
    for (const [place, member] of list.entries()) new DataView(bytes.buffer).setUint32(1 + 4 * place, member, true);
    return bytes;
  });
  return Uint8Array.from([1, index, term, ...lists.flatMap((bytes) => [...bytes])]);
}
