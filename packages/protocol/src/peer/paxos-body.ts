/** Bytes of the Multi-Paxos messages: the fields in the order of their declaration, each number of a log as a varint. */
import type { Accept, AcceptedBallot, Entry, LogIndex, PaxosMessage, Promised } from "@quipu/consensus";
import { type ByteReader, type ByteWriter, unreachable } from "@quipu/core";
import { entryBytesMin, readEntry, writeEntry } from "./entry.ts";
import {
  outOfBounds,
  readFlag,
  readIndex,
  readPositive,
  readTerm,
  refuse,
  writeFlag,
  writePositive,
} from "./fields.ts";
import { peerEntriesMax } from "./peer-limits.ts";

export function writePaxosBody(writer: ByteWriter, message: PaxosMessage): void {
  switch (message.type) {
    case "prepare":
      writer.varint(message.ballot);
      writer.varint(message.from);
      return;
    case "promised":
      writePromised(writer, message);
      return;
    case "accept":
      writeAccept(writer, message);
      return;
    case "accepted":
      writer.varint(message.ballot);
      writer.varint(message.first);
      writer.varint(message.last);
      writer.varint(message.match);
      writer.varint(message.barrier);
      return;
    case "rejected":
      writer.varint(message.ballot);
      writer.varint(message.promised);
      return;
    case "chosen":
      writer.varint(message.ballot);
      writer.varint(message.freeFrom);
      writer.varint(message.chosen);
      return;
    case "paxosHeartbeat":
      writer.varint(message.ballot);
      writer.varint(message.freeFrom);
      writer.varint(message.chosen);
      writer.varint(message.number);
      writer.varint(message.barrier);
      return;
    case "paxosHeartbeatReply":
      writer.varint(message.ballot);
      writer.varint(message.number);
      writer.varint(message.barrier);
      writer.varint(message.match);
      writer.varint(message.received);
      return;
    case "paxosSnapshotNeeded":
      writer.varint(message.ballot);
      writer.varint(message.freeFrom);
      writer.varint(message.chosen);
      writer.varint(message.atLeast);
      writer.varint(message.number);
      writer.varint(message.barrier);
      return;
    case "takeOver":
      writer.varint(message.ballot);
      return;
    case "electionRequest":
      writer.varint(message.round);
      return;
    case "electionReply":
      writer.varint(message.round);
      writer.varint(message.ballot);
      writer.varint(message.leader);
      writeFlag(writer, message.happy);
      return;
    default:
      unreachable(message);
  }
}

// Fields of an object literal are evaluated in the order in which they stand: that of the bytes.
export function readPaxosBody(reader: ByteReader, type: PaxosMessage["type"]): PaxosMessage {
  switch (type) {
    case "prepare":
      return { type, ballot: readTerm(reader), from: readIndex(reader) };
    case "promised":
      return readPromised(reader);
    case "accept":
      return readAccept(reader);
    case "accepted":
      return {
        type,
        ballot: readTerm(reader),
        first: readIndex(reader),
        last: readIndex(reader),
        match: readIndex(reader),
        barrier: reader.varint(),
      };
    case "rejected":
      return { type, ballot: readTerm(reader), promised: readTerm(reader) };
    case "chosen":
      return { type, ballot: readTerm(reader), freeFrom: readIndex(reader), chosen: readIndex(reader) };
    case "paxosHeartbeat":
      return {
        type,
        ballot: readTerm(reader),
        freeFrom: readIndex(reader),
        chosen: readIndex(reader),
        number: reader.varint(),
        barrier: reader.varint(),
      };
    case "paxosHeartbeatReply":
      return {
        type,
        ballot: readTerm(reader),
        number: reader.varint(),
        barrier: reader.varint(),
        match: readIndex(reader),
        received: readIndex(reader),
      };
    case "paxosSnapshotNeeded":
      return {
        type,
        ballot: readTerm(reader),
        freeFrom: readIndex(reader),
        chosen: readIndex(reader),
        atLeast: readIndex(reader),
        number: reader.varint(),
        barrier: reader.varint(),
      };
    case "takeOver":
      return { type, ballot: readTerm(reader) };
    case "electionRequest":
      return { type, round: reader.varint() };
    case "electionReply":
      return {
        type,
        round: reader.varint(),
        ballot: readTerm(reader),
        leader: readTerm(reader),
        happy: readFlag(reader),
      };
    default:
      return unreachable(type);
  }
}

/** Before each entry stands how many slots without one lie before it. */
function writePromised(writer: ByteWriter, message: Promised): void {
  const { entries, from, through, accepted } = message;
  if (entries.length > peerEntriesMax) outOfBounds("entries", entries.length);
  writer.varint(message.ballot);
  writer.varint(from);
  writer.varint(through);
  writer.varint(message.last);
  writer.varint(message.start);
  writer.varint(message.chosen);
  writer.varint(accepted.ballot);
  writer.varint(accepted.freeFrom);
  writer.varint(entries.length);
  let next: number = from;
  for (const entry of entries) {
    if (entry.index < next || entry.index > through) outOfBounds(`entry among ${next}..${through}`, entry.index);
    writer.varint(entry.index - next);
    writeEntry(writer, entry);
    next = entry.index + 1;
  }
}

function readPromised(reader: ByteReader): Promised {
  const ballot = readTerm(reader);
  const from = readIndex(reader);
  const through = readIndex(reader);
  const last = readIndex(reader);
  const start = readIndex(reader);
  const chosen = readIndex(reader);
  const accepted: AcceptedBallot = { ballot: readTerm(reader), freeFrom: readIndex(reader) };
  const count = reader.itemCount(peerEntriesMax, 1 + entryBytesMin);
  const entries: Entry[] = [];
  let next: number = from;
  for (let rest = count; rest > 0; rest--) {
    const index = next + reader.varint();
    if (index === 0 || index > through) refuse(`an entry at ${index}, told are slots up to ${through}`);
    entries.push(readEntry(reader, index as LogIndex));
    next = index + 1;
  }
  return { type: "promised", ballot, from, through, last, start, chosen, accepted, entries };
}

/** Entries are without holes, so only the place of the first is written. */
function writeAccept(writer: ByteWriter, message: Accept): void {
  const { entries } = message;
  const [first] = entries;
  if (first === undefined || entries.length > peerEntriesMax) outOfBounds("entries", entries.length);
  writer.varint(message.ballot);
  writer.varint(message.freeFrom);
  writePositive(writer, first.index);
  writePositive(writer, entries.length);
  let index: number = first.index;
  for (const entry of entries) {
    if (entry.index !== index) outOfBounds(`entry in place of ${index}`, entry.index);
    writeEntry(writer, entry);
    index++;
  }
  writer.varint(message.chosen);
  writer.varint(message.barrier);
}

function readAccept(reader: ByteReader): Accept {
  const ballot = readTerm(reader);
  const freeFrom = readIndex(reader);
  const first = readPositive(reader);
  const count = reader.itemCount(peerEntriesMax, entryBytesMin);
  if (count === 0) refuse("an accept of nothing");
  if (first + count - 1 > Number.MAX_SAFE_INTEGER) refuse("an index beyond 2^53 - 1");
  const entries: Entry[] = [];
  for (let index = first; index < first + count; index++) entries.push(readEntry(reader, index as LogIndex));
  return { type: "accept", ballot, freeFrom, entries, chosen: readIndex(reader), barrier: reader.varint() };
}
