/** Frames between nodes: every message comes back as it went; whatever else arrives is refused, whole. */
import { crc32 } from "node:zlib";
import { type Entry, type LogIndex, type MemberId, type Term, membersMax } from "@quipu/consensus";
import { InvariantViolation } from "@quipu/core";
import {
  decodePeerFrame,
  encodePeerFrame,
  isOfUnknownType,
  logStartBytesMax,
  peerEntriesMax,
  peerFrameBytesMax,
  type PeerFrame,
  type PeerMessage,
  snapshotChunkBytesMax,
  type StateHash,
  stateHashesMax,
} from "@quipu/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { peerFrames } from "./peer-arbitraries.ts";
import { sampleFrames } from "./peer-samples.ts";

const lengthAt = 8;
const typeAt = 26;
const bodyAt = 27;

/** Puts in the length and the checksum that belong to the rest: what an attacker, or a broken encoder, would do. */
function sealed(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(lengthAt, bytes.length, true);
  view.setUint32(4, crc32(bytes.subarray(lengthAt)), true);
  return bytes;
}

/** A frame of this type with these bytes as its body. */
function forged(type: number, body: Uint8Array): Uint8Array {
  const frame = encodePeerFrame(sampleFrames[0]?.frame as PeerFrame);
  const bytes = new Uint8Array(bodyAt + body.length);
  bytes.set(frame.subarray(0, bodyAt));
  bytes[typeAt] = type;
  bytes.set(body, bodyAt);
  return sealed(bytes);
}

/** Decodes; what is taken has this one encoding. Returns whether it was taken. */
function takenAsItIs(bytes: Uint8Array): boolean {
  const frame = decodePeerFrame(bytes);
  if (frame !== undefined) expect(encodePeerFrame(frame)).toEqual(bytes);
  return frame !== undefined;
}

describe("round trips", () => {
  test("what is encoded is decoded", () => {
    fc.assert(
      fc.property(peerFrames, (frame) => {
        expect(decodePeerFrame(encodePeerFrame(frame))).toEqual(frame);
      }),
      { seed: 7381, numRuns: 1000 },
    );
  });

  test.each(sampleFrames)("golden bytes: $name", ({ frame, hex }) => {
    expect(Buffer.from(encodePeerFrame(frame)).toString("hex")).toBe(hex.replaceAll(" ", ""));
    expect(decodePeerFrame(Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex")))).toEqual(frame);
  });

  test("every type has its sample", () => {
    const types = sampleFrames.map(({ frame: { message } }) =>
      message.type === "raft" || message.type === "paxos" ? message.message.type : message.type,
    );
    expect(new Set(types).size).toBe(37);
  });

  test("a frame may lie anywhere in a larger buffer, and data is a view of it", () => {
    const frame = encodePeerFrame(appendFrame([new Uint8Array(100).fill(7)]));
    const around = new Uint8Array(frame.length + 20);
    around.set(frame, 13);
    const decoded = decodePeerFrame(around.subarray(13, 13 + frame.length));
    expect(decoded).toEqual(appendFrame([new Uint8Array(100).fill(7)]));
    expect(firstData(decoded)?.buffer).toBe(around.buffer);
  });

  test("the bytes of a frame are not used for the next one", () => {
    const first = encodePeerFrame(sampleFrames[0]?.frame as PeerFrame);
    const before = first.slice();
    encodePeerFrame(appendFrame([new Uint8Array(100).fill(7)]));
    expect(first).toEqual(before);
  });
});

describe("damage", () => {
  test.each(sampleFrames)("every flipped bit is refused: $name", ({ frame }) => {
    const bytes = encodePeerFrame(frame);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(decodePeerFrame(flipped), `bit ${bit}`).toBeUndefined();
    }
  });

  test.each(sampleFrames)("every truncation is refused, with a matching checksum too: $name", ({ frame }) => {
    const bytes = encodePeerFrame(frame);
    for (let length = 0; length < bytes.length; length++) {
      expect(decodePeerFrame(bytes.slice(0, length)), `${length} bytes`).toBeUndefined();
      if (length < bodyAt) continue;
      expect(decodePeerFrame(sealed(bytes.slice(0, length))), `${length} bytes, sealed`).toBeUndefined();
    }
  });

  test.each(sampleFrames)("bytes behind the end are refused: $name", ({ frame }) => {
    const bytes = encodePeerFrame(frame);
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(decodePeerFrame(longer)).toBeUndefined();
    expect(decodePeerFrame(sealed(longer))).toBeUndefined();
  });

  test("another version is refused, whatever else is right", () => {
    for (let version = 0; version < 256; version++) {
      const bytes = encodePeerFrame(sampleFrames[3]?.frame as PeerFrame);
      bytes[3] = version;
      expect(decodePeerFrame(sealed(bytes)) !== undefined, `version ${version}`).toBe(version === 1);
    }
  });

  test("a type that this version does not know is told from damage", () => {
    const known = new Set(sampleFrames.map(({ frame }) => encodePeerFrame(frame)[typeAt]));
    for (let type = 0; type < 256; type++) {
      const bytes = forged(type, new Uint8Array(40).fill(type));
      expect(isOfUnknownType(bytes), `type ${type}`).toBe(!known.has(type));
      if (known.has(type)) continue;
      expect(decodePeerFrame(bytes)).toBeUndefined();
      for (const at of [0, 3, 5, 9, 13, typeAt, bodyAt + 3]) {
        const damaged = bytes.slice();
        damaged[at] = (damaged[at] as number) ^ 0x40;
        expect(isOfUnknownType(damaged), `type ${type}, byte ${at}`).toBe(false);
      }
      expect(isOfUnknownType(bytes.slice(0, bodyAt - 1))).toBe(false);
    }
  });

  test("random bytes are refused without a throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(decodePeerFrame(bytes)).toBeUndefined();
      }),
      { seed: 7381, numRuns: 1000 },
    );
  });

  test("random bodies under a right header are refused, or are the one encoding of something", () => {
    const type = fc.oneof(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 16, max: 27 }),
      fc.integer({ min: 32, max: 44 }),
      fc.nat(255),
    );
    const byte = fc.oneof(fc.nat(4), fc.nat(255));
    let taken = 0;
    fc.assert(
      fc.property(type, fc.array(byte, { maxLength: 60 }), (number, body) => {
        if (takenAsItIs(forged(number, Uint8Array.from(body)))) taken++;
      }),
      { seed: 7381, numRuns: 3000 },
    );
    expect(taken).toBeGreaterThan(0);
  });

  test("frames with a few bytes changed under a right checksum are refused, or are the one encoding of something", () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.oneof(fc.constantFrom(0, 1, 127, 128, 255), fc.nat(255))), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(peerFrames, changes, (frame, changed) => {
        const bytes = encodePeerFrame(frame);
        for (const [place, value] of changed) bytes[12 + (place % (bytes.length - 12))] = value;
        takenAsItIs(sealed(bytes));
      }),
      { seed: 7381, numRuns: 3000 },
    );
  });
});

describe("hostile lengths", () => {
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
  const group = [7, 0, 0, 0];
  const stream = [1, 0, 0, 0, 0, 0];
  const counts = [peerEntriesMax, peerEntriesMax + 1, 2 ** 32, Number.MAX_SAFE_INTEGER];

  test.each(counts)("%d entries in a few bytes", (count) => {
    const body = [...group, 5, 0, 0, 0, 0, ...varint(count), 2, 1, 2, 1];
    expect(decodePeerFrame(forged(1, Uint8Array.from(body)))).toBeUndefined();
  });

  test.each(counts)("%d promised entries in a few bytes", (count) => {
    const body = [...group, 5, 1, 99, 9, 0, 0, 1, 1, ...varint(count), 0, 2, 1, 3, 2, 1];
    expect(decodePeerFrame(forged(17, Uint8Array.from(body)))).toBeUndefined();
  });

  test.each([
    ["above what is told", 4],
    ["beyond 2^53 - 1", Number.MAX_SAFE_INTEGER],
  ])("a promised entry %s", (_name, gap) => {
    const body = (second: number): Uint8Array =>
      Uint8Array.from([...group, 5, 1, 5, 9, 0, 0, 1, 1, 2, 0, 2, 1, ...varint(second), 2, 1]);
    expect(decodePeerFrame(forged(17, body(gap)))).toBeUndefined();
    expect(decodePeerFrame(forged(17, body(3)))).toBeDefined();
  });

  test.each(counts)("%d accepts in a few bytes", (count) => {
    const body = [...group, 5, 1, 1, ...varint(count), 2, 1, 2, 1, 0, 0];
    expect(decodePeerFrame(forged(18, Uint8Array.from(body)))).toBeUndefined();
  });

  test.each([
    ["slot 0", [0, 1, 2, 1]],
    ["nothing", [1, 0]],
    ["a slot beyond 2^53 - 1", [...varint(Number.MAX_SAFE_INTEGER), 2, 2, 1, 2, 1]],
  ])("an accept of %s", (_name, entries) => {
    const body = (part: readonly number[]): Uint8Array => Uint8Array.from([...group, 5, 1, ...part, 0, 0]);
    expect(decodePeerFrame(forged(18, body(entries)))).toBeUndefined();
    expect(decodePeerFrame(forged(18, body([1, 1, 2, 1])))).toBeDefined();
  });

  test.each(counts)("%d records in a few bytes", (count) => {
    const body = [...group, 5, ...stream, 1, 0, ...varint(count), 0, 0];
    expect(decodePeerFrame(forged(32, Uint8Array.from(body)))).toBeUndefined();
  });

  test.each(counts)("a record of %d bytes in a few", (count) => {
    const body = [...group, 5, ...stream, 1, 0, 1, ...varint(count), 0, 0];
    expect(decodePeerFrame(forged(32, Uint8Array.from(body)))).toBeUndefined();
  });

  test("more entries than the limit, all there", () => {
    const empty: readonly number[] = [...group, 5, ...stream, 1, 0, ...varint(peerEntriesMax + 1)];
    const body = new Uint8Array(empty.length + peerEntriesMax + 1);
    body.set(empty);
    expect(decodePeerFrame(forged(32, body))).toBeUndefined();
  });

  test.each(counts)("%d state hashes in a few bytes", (count) => {
    const body = [...group, 1, 0, 0, 0, 1, ...varint(count), 5, 1, 2, 3, 4, 5, 6, 7, 8];
    expect(decodePeerFrame(forged(41, Uint8Array.from(body)))).toBeUndefined();
  });

  test.each([
    ["equal", 5, 5],
    ["descending", 6, 5],
  ])("positions of state hashes that are %s", (_name, first, second) => {
    const hash = [1, 2, 3, 4, 5, 6, 7, 8];
    const body = (other: number): Uint8Array =>
      Uint8Array.from([...group, 1, 0, 0, 0, 1, 2, first, ...hash, other, ...hash]);
    expect(decodePeerFrame(forged(41, body(second)))).toBeUndefined();
    expect(decodePeerFrame(forged(41, body(first + 1)))).toBeDefined();
  });

  test.each(counts)("%d members in a few bytes", (count) => {
    expect(decodePeerFrame(forged(42, Uint8Array.from([...group, 0, ...varint(count), 1, 0, 0, 0])))).toBeUndefined();
  });

  test.each([
    ["nobody", []],
    ["members out of order", [2, 1]],
    ["one member twice", [1, 1]],
  ])("a group of %s", (_name, members) => {
    const body = (list: readonly number[]): Uint8Array =>
      Uint8Array.from([...group, 0, list.length, ...list.flatMap((member) => [member, 0, 0, 0])]);
    expect(decodePeerFrame(forged(42, body(members)))).toBeUndefined();
    expect(decodePeerFrame(forged(42, body([1, 2])))).toBeDefined();
  });

  test("an index beyond 2^53 - 1", () => {
    const body = [...group, 5, ...varint(Number.MAX_SAFE_INTEGER), 1, 0, 0, 1, 2, 1];
    expect(decodePeerFrame(forged(1, Uint8Array.from(body)))).toBeUndefined();
  });
});

const id = (value: number): MemberId => value as MemberId;

function appendFrame(records: readonly Uint8Array[], firstIndex: number = 11): PeerFrame {
  const entries = records.map((data, place): Entry => ({
    index: (firstIndex + place) as LogIndex,
    term: 3 as Term,
    kind: "record",
    data,
  }));
  return {
    cell: 1,
    from: id(1),
    to: id(2),
    message: {
      type: "raft",
      group: 0,
      message: {
        type: "appendEntries",
        term: 3 as Term,
        previousIndex: 10 as LogIndex,
        previousTerm: 3 as Term,
        entries,
        commit: 0 as LogIndex,
        barrier: 0,
      },
    },
  };
}

const noops = (slots: readonly number[]): readonly Entry[] =>
  slots.map((slot) => ({ index: slot as LogIndex, term: 3 as Term, kind: "noop" }));

function acceptOf(slots: readonly number[]): PeerMessage {
  const rest = { ballot: 3 as Term, freeFrom: 1 as LogIndex, chosen: 0 as LogIndex, barrier: 0 };
  return { type: "paxos", group: 0, message: { type: "accept", entries: noops(slots), ...rest } };
}

/** Of slots 10 to 20. */
function promisedOf(slots: readonly number[]): PeerMessage {
  const zero = 0 as LogIndex;
  const places = { from: 10 as LogIndex, through: 20 as LogIndex, last: 20 as LogIndex, start: zero, chosen: zero };
  const accepted = { ballot: 3 as Term, freeFrom: 1 as LogIndex };
  const message = { type: "promised", ballot: 4 as Term, accepted, entries: noops(slots), ...places } as const;
  return { type: "paxos", group: 0, message };
}

function firstData(frame: PeerFrame | undefined): Uint8Array | undefined {
  if (frame?.message.type !== "raft" || frame.message.message.type !== "appendEntries") return undefined;
  const [entry] = frame.message.message.entries;
  return entry?.kind === "record" ? entry.data : undefined;
}

describe("limits of the encoder", () => {
  const nothing = new Uint8Array(0);
  const chunk = {
    type: "snapshotChunk",
    shard: 0,
    transfer: 0,
    position: 0,
    totalBytes: peerFrameBytesMax,
    checksum: 0,
    logStart: nothing,
    offset: 0,
    data: nothing,
  } as const;
  const forward = {
    type: "forward",
    group: 0,
    term: 3 as Term,
    stream: 0,
    sequence: 1,
    operation: { kind: "seal" },
  } as const;
  const hashes = { type: "stateHash", shard: 0, incarnation: 1, featureLevelMax: 1, hashes: [] } as const;
  const hashesFrom = (first: number, count: number): readonly StateHash[] =>
    Array.from({ length: count }, (_, i) => ({ position: first + i, hash: "0123456789abcdef" }));
  const manyMembers = Array.from({ length: membersMax + 1 }, (_, place) => id(place + 1));
  const framed = (message: PeerMessage): PeerFrame => ({ cell: 1, from: id(1), to: id(2), message });

  test("as much as allowed passes", () => {
    const full = framed({ ...chunk, data: new Uint8Array(snapshotChunkBytesMax), logStart: new Uint8Array(4096) });
    expect(decodePeerFrame(encodePeerFrame(full))).toBeDefined();
    const most = framed({ ...hashes, featureLevelMax: 65_535, hashes: hashesFrom(2 ** 52, stateHashesMax) });
    expect(decodePeerFrame(encodePeerFrame(most))).toEqual(most);
    const many = appendFrame(Array.from({ length: peerEntriesMax }, () => nothing));
    expect(decodePeerFrame(encodePeerFrame(many))).toBeDefined();
  });

  test.each<[string, PeerFrame]>([
    ["cell", { ...framed(forward), cell: 2 ** 48 }],
    ["from nobody", { ...framed(forward), from: id(0) }],
    ["to nobody", { ...framed(forward), to: id(2 ** 32) }],
    ["group", framed({ ...forward, group: 2 ** 32 })],
    ["stream", framed({ ...forward, stream: 2 ** 48 })],
    ["sequence 0", framed({ ...forward, sequence: 0 })],
    ["sequence, broken", framed({ ...forward, sequence: 1.5 })],
    ["an append of nothing", framed({ ...forward, operation: { kind: "append", records: [] } })],
    ["log start", framed({ ...chunk, logStart: new Uint8Array(logStartBytesMax + 1) })],
    ["chunk", framed({ ...chunk, data: new Uint8Array(snapshotChunkBytesMax + 1) })],
    ["end of a chunk", framed({ ...chunk, offset: peerFrameBytesMax, data: new Uint8Array(1) })],
    ["too many state hashes", framed({ ...hashes, hashes: hashesFrom(0, stateHashesMax + 1) })],
    ["state hashes out of order", framed({ ...hashes, hashes: [...hashesFrom(5, 1), ...hashesFrom(4, 1)] })],
    ["a state hash of other digits", framed({ ...hashes, hashes: [{ position: 1, hash: "0123456789ABCDEF" }] })],
    ["a group of nobody", framed({ type: "groupMade", group: 1, engine: "raft", members: [] })],
    ["members out of order", framed({ type: "groupMade", group: 1, engine: "raft", members: [id(2), id(1)] })],
    ["too many members", framed({ type: "groupMade", group: 1, engine: "raft", members: manyMembers })],
    ["feature level 0", framed({ ...hashes, featureLevelMax: 0 })],
    ["feature level", framed({ ...hashes, featureLevelMax: 65_536 })],
    ["an accept of nothing", framed(acceptOf([]))],
    ["an accept with a hole", framed(acceptOf([11, 13]))],
    ["an accept of slot 0", framed(acceptOf([0]))],
    ["promised entries out of order", framed(promisedOf([12, 11]))],
    ["a promised entry twice", framed(promisedOf([11, 11]))],
    ["a promised entry below what is told", framed(promisedOf([9]))],
    ["a promised entry above what is told", framed(promisedOf([21]))],
    ["entries with a hole", appendFrame([nothing], 12)],
    ["too many entries", appendFrame(Array.from({ length: peerEntriesMax + 1 }, () => nothing))],
    ["a frame too large", appendFrame([new Uint8Array(peerFrameBytesMax)])],
    [
      "too many voters",
      framed({
        type: "raft",
        group: 0,
        message: {
          type: "appendEntries",
          term: 3 as Term,
          previousIndex: 0 as LogIndex,
          previousTerm: 0 as Term,
          entries: [
            {
              index: 1 as LogIndex,
              term: 3 as Term,
              kind: "configuration",
              configuration: {
                voters: Array.from({ length: membersMax + 1 }, (_, place) => id(place + 1)),
                outgoing: [],
                learners: [],
                learnersNext: [],
              },
            },
          ],
          commit: 0 as LogIndex,
          barrier: 0,
        },
      }),
    ],
  ])("beyond: %s", (_name, frame) => {
    expect(() => encodePeerFrame(frame)).toThrow(InvariantViolation);
  });
});
