/**
 * One datagram between nodes: header, type, body. docs/decisions/0008-peer-frames.md draws it and says why.
 * Every message has exactly one encoding; whatever else arrives is refused, whole.
 */
import { crc32 } from "node:zlib";
import type { MemberId, PaxosMessage, RaftMessage } from "@quipu/consensus";
import { ByteReader, invariant } from "@quipu/core";
import { finished, writerFor } from "./blocks.ts";
import { entryBytesBound } from "./entry.ts";
import { decodeWhole, readMember, readRandomId, refuse, writeMember, writeRandomId, writeU32 } from "./fields.ts";
import { readPaxosBody, writePaxosBody } from "./paxos-body.ts";
import { type OtherMessage, readPeerBody, stateHashBytesMax, writePeerBody } from "./peer-body.ts";
import { peerFrameBytesMax } from "./peer-limits.ts";
import type { PeerMessage } from "./peer-message.ts";
import { readRaftBody, writeRaftBody } from "./raft-body.ts";

export interface PeerFrame {
  /** Which cell sender and receiver believe to be in; below 2^48. */
  readonly cell: number;
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: PeerMessage;
}

/** "QPF", and the version of everything behind it in the highest byte: 1. */
const magicAndVersion = 0x01_465051;

const checksumAt = 4;
/** What the checksum covers begins here. */
const lengthAt = 8;
/** Magic and version, checksum, length, cell, from, to, type. */
const headerBytes = 4 + 4 + 4 + 6 + 4 + 4 + 1;

/** Types of frames are on the wire: never reuse a number. */
const raftTypes: Readonly<Record<RaftMessage["type"], number>> = {
  appendEntries: 1,
  appendAccepted: 2,
  appendRejected: 3,
  heartbeat: 4,
  heartbeatReply: 5,
  requestVote: 6,
  voteReply: 7,
  timeoutNow: 8,
  snapshotNeeded: 9,
};
const paxosTypes: Readonly<Record<PaxosMessage["type"], number>> = {
  prepare: 16,
  promised: 17,
  accept: 18,
  accepted: 19,
  rejected: 20,
  chosen: 21,
  paxosHeartbeat: 22,
  paxosHeartbeatReply: 23,
  paxosSnapshotNeeded: 24,
  takeOver: 25,
  electionRequest: 26,
  electionReply: 27,
};
const otherTypes: Readonly<Record<OtherMessage["type"], number>> = {
  forward: 32,
  forwardReply: 33,
  barrier: 34,
  barrierReply: 35,
  checkpointed: 36,
  join: 37,
  snapshotRequest: 38,
  snapshotChunk: 39,
  snapshotRefused: 40,
  stateHash: 41,
  groupMade: 42,
  groupMadeReply: 43,
  groupDropped: 44,
  stored: 60,
  serviceAppend: 61,
  serviceAppendReply: 62,
};
const raftTypeNames = namesByNumber(raftTypes);
const paxosTypeNames = namesByNumber(paxosTypes);
const otherTypeNames = namesByNumber(otherTypes);

function namesByNumber<Name extends string>(types: Readonly<Record<Name, number>>): readonly (Name | undefined)[] {
  const names: (Name | undefined)[] = [];
  for (const name of Object.keys(types) as Name[]) names[types[name]] = name;
  return names;
}

/** Upper limit of the fields that have one: all but entries, records, snapshots, log starts, state hashes and members. */
const fixedBytesMax = 128;

/** No less than the bytes of the frame. */
function frameBytesBound(message: PeerMessage): number {
  let bytes = fixedBytesMax;
  if (message.type === "raft") {
    if (message.message.type !== "appendEntries") return bytes;
    for (const entry of message.message.entries) bytes += entryBytesBound(entry);
  } else if (message.type === "paxos") {
    const { message: inner } = message;
    if (inner.type !== "accept" && inner.type !== "promised") return bytes;
    for (const entry of inner.entries) bytes += entryBytesBound(entry) + 8;
  } else if (message.type === "forward" && message.operation.kind === "append") {
    for (const record of message.operation.records) bytes += record.length + 8;
  } else if (message.type === "serviceAppend") {
    for (const record of message.records) bytes += record.length + 8;
  } else if (message.type === "snapshotChunk") {
    bytes += message.logStart.length + message.data.length;
  } else if (message.type === "stateHash") {
    bytes += message.hashes.length * stateHashBytesMax;
  } else if (message.type === "groupMade") {
    bytes += message.members.length * 4;
  }
  return bytes;
}

/**
 * The caller owns the bytes. A message beyond the limits of `peer-limits.ts`, or not as its type says, is our own bug:
 * InvariantViolation.
 */
export function encodePeerFrame(frame: PeerFrame): Uint8Array {
  const { message } = frame;
  const writer = writerFor(frameBytesBound(message));
  writer.u32(magicAndVersion);
  writer.u32(0);
  writer.u32(0);
  writeRandomId(writer, frame.cell);
  writeMember(writer, frame.from);
  writeMember(writer, frame.to);
  if (message.type === "raft") {
    writer.u8(raftTypes[message.message.type]);
    writeU32(writer, message.group);
    writeRaftBody(writer, message.message);
  } else if (message.type === "paxos") {
    writer.u8(paxosTypes[message.message.type]);
    writeU32(writer, message.group);
    writePaxosBody(writer, message.message);
  } else {
    writer.u8(otherTypes[message.type]);
    writePeerBody(writer, message);
  }
  invariant(writer.length <= peerFrameBytesMax, `frame of ${writer.length} bytes, limit ${peerFrameBytesMax}`);
  writer.setU32(lengthAt, writer.length);
  writer.setU32(checksumAt, crc32(writer.bytes().subarray(lengthAt)));
  return finished(writer);
}

const sharedReader = new ByteReader();

/**
 * Undefined unless `bytes` are what {@link encodePeerFrame} gives for some frame. Records and snapshot data are views of
 * `bytes`: from here on they belong to the message, and nobody changes them.
 */
export function decodePeerFrame(bytes: Uint8Array): PeerFrame | undefined {
  if (bytes.length < headerBytes || bytes.length > peerFrameBytesMax) return undefined;
  return decodeWhole(bytes, sharedReader, readFrame);
}

/**
 * True of a whole, undamaged frame of a type that this version does not know: a newer node has more to say. It is passed
 * over, and nothing is wrong with the link. For bytes that {@link decodePeerFrame} has refused.
 */
export function isOfUnknownType(bytes: Uint8Array): boolean {
  if (bytes.length < headerBytes || bytes.length > peerFrameBytesMax) return false;
  const isUnknown = decodeWhole(bytes, sharedReader, (reader) => {
    readAddresses(reader);
    const type = reader.u8();
    reader.reset(reader.source, reader.end, reader.end); // Whatever its body may be.
    return [raftTypeNames, paxosTypeNames, otherTypeNames].every((names) => names[type] === undefined);
  });
  return isUnknown === true;
}

function readFrame(reader: ByteReader): PeerFrame {
  return { ...readAddresses(reader), message: readMessage(reader) };
}

function readAddresses(reader: ByteReader): Omit<PeerFrame, "message"> {
  if (reader.u32() !== magicAndVersion) refuse("not a frame of this version");
  const checksum = reader.u32();
  const bytes = reader.source;
  if (crc32(bytes.subarray(lengthAt)) !== checksum) refuse("checksum");
  if (reader.u32() !== bytes.length) refuse("length");
  const cell = readRandomId(reader);
  const from = readMember(reader);
  const to = readMember(reader);
  return { cell, from, to };
}

function readMessage(reader: ByteReader): PeerMessage {
  const type = reader.u8();
  const raftType = raftTypeNames[type];
  if (raftType !== undefined) return { type: "raft", group: reader.u32(), message: readRaftBody(reader, raftType) };
  const paxosType = paxosTypeNames[type];
  if (paxosType !== undefined) {
    return { type: "paxos", group: reader.u32(), message: readPaxosBody(reader, paxosType) };
  }
  return readPeerBody(reader, otherTypeNames[type] ?? refuse(`type ${type}`));
}
