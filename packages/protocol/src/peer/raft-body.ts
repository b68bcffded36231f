/** Bytes of the Raft messages: the fields in the order of their declaration, each number of a log as a varint. */
import type { AppendEntries, Entry, LogIndex, RaftMessage } from "@quipu/consensus";
import { type ByteReader, type ByteWriter, unreachable } from "@quipu/core";
import { entryBytesMin, readEntry, writeEntry } from "./entry.ts";
import { outOfBounds, readFlag, readIndex, readTerm, refuse, writeFlag } from "./fields.ts";
import { peerEntriesMax } from "./peer-limits.ts";

export function writeRaftBody(writer: ByteWriter, message: RaftMessage): void {
  writer.varint(message.term);
  switch (message.type) {
    case "appendEntries":
      writeAppendEntries(writer, message);
      return;
    case "appendAccepted":
      writer.varint(message.match);
      writer.varint(message.barrier);
      return;
    case "appendRejected":
      writer.varint(message.rejected);
      writer.varint(message.hintIndex);
      writer.varint(message.hintTerm);
      writer.varint(message.barrier);
      return;
    case "heartbeat":
      writer.varint(message.commit);
      writer.varint(message.barrier);
      return;
    case "heartbeatReply":
      writer.varint(message.barrier);
      return;
    case "requestVote":
      writeFlag(writer, message.preVote);
      writer.varint(message.lastIndex);
      writer.varint(message.lastTerm);
      writeFlag(writer, message.transfer);
      return;
    case "voteReply":
      writeFlag(writer, message.preVote);
      writeFlag(writer, message.granted);
      return;
    case "timeoutNow":
      return;
    case "snapshotNeeded":
      writer.varint(message.atLeast);
      writer.varint(message.commit);
      writer.varint(message.barrier);
      return;
    default:
      unreachable(message);
  }
}

export function readRaftBody(reader: ByteReader, type: RaftMessage["type"]): RaftMessage {
  const term = readTerm(reader);
  // Fields of an object literal are evaluated in the order in which they stand: that of the bytes.
  switch (type) {
    case "appendEntries":
      return readAppendEntries(reader, term);
    case "appendAccepted":
      return { type, term, match: readIndex(reader), barrier: reader.varint() };
    case "appendRejected":
      return {
        type,
        term,
        rejected: readIndex(reader),
        hintIndex: readIndex(reader),
        hintTerm: readTerm(reader),
        barrier: reader.varint(),
      };
    case "heartbeat":
      return { type, term, commit: readIndex(reader), barrier: reader.varint() };
    case "heartbeatReply":
      return { type, term, barrier: reader.varint() };
    case "requestVote":
      return {
        type,
        term,
        preVote: readFlag(reader),
        lastIndex: readIndex(reader),
        lastTerm: readTerm(reader),
        transfer: readFlag(reader),
      };
    case "voteReply":
      return { type, term, preVote: readFlag(reader), granted: readFlag(reader) };
    case "timeoutNow":
      return { type, term };
    case "snapshotNeeded":
      return { type, term, atLeast: readIndex(reader), commit: readIndex(reader), barrier: reader.varint() };
    default:
      return unreachable(type);
  }
}

/** Entries are without holes, so only the place before the first is written. */
function writeAppendEntries(writer: ByteWriter, message: AppendEntries): void {
  const { entries, previousIndex } = message;
  if (entries.length > peerEntriesMax) outOfBounds("entries", entries.length);
  writer.varint(previousIndex);
  writer.varint(message.previousTerm);
  writer.varint(message.commit);
  writer.varint(message.barrier);
  writer.varint(entries.length);
  let index: number = previousIndex;
  for (const entry of entries) {
    index++;
    if (entry.index !== index) outOfBounds(`entry in place of ${index}`, entry.index);
    writeEntry(writer, entry);
  }
}

function readAppendEntries(reader: ByteReader, term: AppendEntries["term"]): AppendEntries {
  const previousIndex = readIndex(reader);
  const previousTerm = readTerm(reader);
  const commit = readIndex(reader);
  const barrier = reader.varint();
  const count = reader.itemCount(peerEntriesMax, entryBytesMin);
  if (previousIndex + count > Number.MAX_SAFE_INTEGER) refuse("an index beyond 2^53 - 1");
  const entries: Entry[] = [];
  for (let index = previousIndex + 1; index <= previousIndex + count; index++) {
    entries.push(readEntry(reader, index as LogIndex));
  }
  return { type: "appendEntries", term, previousIndex, previousTerm, entries, commit, barrier };
}
