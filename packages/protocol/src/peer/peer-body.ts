/** Bytes of the messages that are not of a consensus core: forwards, barriers, membership, state snapshots. */
import { type LogIndex, type MemberId, membersMax, type ReplyReason } from "@quipu/consensus";
import { type ByteReader, type ByteWriter, unreachable } from "@quipu/core";
import {
  outOfBounds,
  readBytes,
  readFlag,
  readIndex,
  readMaybeMember,
  readMember,
  readName,
  readPositive,
  readRandomId,
  readTerm,
  refuse,
  writeFlag,
  writeMaybeMember,
  writeMember,
  writeName,
  writePositive,
  writeRandomId,
  writeU32,
} from "./fields.ts";
import { type GroupEngine, groupEngines } from "./group-state.ts";
import { logStartBytesMax, peerEntriesMax, snapshotChunkBytesMax, stateHashesMax } from "./peer-limits.ts";
import type {
  BarrierReply,
  Forward,
  ForwardReply,
  GroupMade,
  PaxosPeerMessage,
  PeerMessage,
  RaftPeerMessage,
  ServiceAppend,
  ServiceAppendReply,
  SnapshotChunk,
  SnapshotRefused,
  SnapshotRequest,
  StateHash,
  StateHashes,
} from "./peer-message.ts";

export type OtherMessage = Exclude<PeerMessage, RaftPeerMessage | PaxosPeerMessage>;

// Places in these tables are on the wire: add behind the last.
const operationKinds = ["append", "seal"] as const;
const outcomeKinds = ["proposed", "refused", "outOfOrder"] as const;
const replyReasons: readonly ReplyReason[] = ["dropped", "sealed", "overloaded", "refused"];
const serviceOutcomes = ["appended", "sealed", "refused", "unknown"] as const;
const snapshotRefusals: readonly SnapshotRefused["reason"][] = ["busy", "unavailable"];

export function writePeerBody(writer: ByteWriter, message: OtherMessage): void {
  switch (message.type) {
    case "forward":
      writeForward(writer, message);
      return;
    case "forwardReply":
      writeForwardReply(writer, message);
      return;
    case "barrier":
      writeU32(writer, message.group);
      writer.varint(message.request);
      writeRandomId(writer, message.stream);
      return;
    case "barrierReply":
      writeBarrierReply(writer, message);
      return;
    case "checkpointed":
      writeU32(writer, message.group);
      writer.varint(message.upTo);
      return;
    case "join":
    case "groupDropped":
      writeU32(writer, message.group);
      return;
    case "groupMade":
      writeGroupMade(writer, message);
      return;
    case "groupMadeReply":
      writeU32(writer, message.group);
      writeFlag(writer, message.ready);
      return;
    case "snapshotRequest":
      writeSnapshotRequest(writer, message);
      return;
    case "snapshotChunk":
      writeSnapshotChunk(writer, message);
      return;
    case "snapshotRefused":
      writeU32(writer, message.shard);
      writeRandomId(writer, message.transfer);
      writeName(writer, snapshotRefusals, message.reason);
      return;
    case "stateHash":
      writeStateHashes(writer, message);
      return;
    case "stored":
      writeU32(writer, message.shard);
      writer.varint(message.upTo);
      return;
    case "serviceAppend":
      writeServiceAppend(writer, message);
      return;
    case "serviceAppendReply":
      writeServiceAppendReply(writer, message);
      return;
    default:
      unreachable(message);
  }
}

// Fields of an object literal are evaluated in the order in which they stand: that of the bytes.
export function readPeerBody(reader: ByteReader, type: OtherMessage["type"]): OtherMessage {
  switch (type) {
    case "forward":
      return readForward(reader);
    case "forwardReply":
      return readForwardReply(reader);
    case "barrier":
      return { type, group: reader.u32(), request: reader.varint(), stream: readRandomId(reader) };
    case "barrierReply":
      return readBarrierReply(reader);
    case "checkpointed":
      return { type, group: reader.u32(), upTo: readIndex(reader) };
    case "join":
    case "groupDropped":
      return { type, group: reader.u32() };
    case "groupMade":
      return readGroupMade(reader);
    case "groupMadeReply":
      return { type, group: reader.u32(), ready: readFlag(reader) };
    case "snapshotRequest":
      return readSnapshotRequest(reader);
    case "snapshotChunk":
      return readSnapshotChunk(reader);
    case "snapshotRefused":
      return {
        type,
        shard: reader.u32(),
        transfer: readRandomId(reader),
        reason: readName(reader, snapshotRefusals),
      };
    case "stateHash":
      return readStateHashes(reader);
    case "stored":
      return { type, shard: reader.u32(), upTo: reader.varint() };
    case "serviceAppend":
      return readServiceAppend(reader);
    case "serviceAppendReply":
      return readServiceAppendReply(reader);
    default:
      return unreachable(type);
  }
}

function writeForward(writer: ByteWriter, message: Forward): void {
  writeU32(writer, message.group);
  writer.varint(message.term);
  writeRandomId(writer, message.stream);
  writePositive(writer, message.sequence);
  writeName(writer, operationKinds, message.operation.kind);
  if (message.operation.kind === "seal") return;
  const { records } = message.operation;
  if (records.length > peerEntriesMax) outOfBounds("records", records.length);
  writePositive(writer, records.length);
  for (const record of records) writer.bytesWithLength(record);
}

function readForward(reader: ByteReader): Forward {
  const group = reader.u32();
  const term = readTerm(reader);
  const stream = readRandomId(reader);
  const sequence = readPositive(reader);
  const kind = readName(reader, operationKinds);
  if (kind === "seal") return { type: "forward", group, term, stream, sequence, operation: { kind } };
  const count = reader.itemCount(peerEntriesMax, 1);
  if (count === 0) refuse("an append of nothing");
  const records: Uint8Array[] = [];
  for (let rest = count; rest > 0; rest--) records.push(reader.bytes());
  return { type: "forward", group, term, stream, sequence, operation: { kind, records } };
}

function writeServiceAppend(writer: ByteWriter, { log, request, records }: ServiceAppend): void {
  writeU32(writer, log);
  writeRandomId(writer, request);
  if (records.length > peerEntriesMax) outOfBounds("records", records.length);
  writePositive(writer, records.length);
  for (const record of records) writer.bytesWithLength(record);
}

function readServiceAppend(reader: ByteReader): ServiceAppend {
  const log = reader.u32();
  const request = readRandomId(reader);
  const count = reader.itemCount(peerEntriesMax, 1);
  if (count === 0) refuse("an append of nothing");
  const records: Uint8Array[] = [];
  for (let rest = count; rest > 0; rest--) records.push(reader.bytes());
  return { type: "serviceAppend", log, request, records };
}

function writeServiceAppendReply(writer: ByteWriter, { request, outcome }: ServiceAppendReply): void {
  writeRandomId(writer, request);
  writeName(writer, serviceOutcomes, outcome.kind);
  if (outcome.kind !== "appended") return;
  writePositive(writer, outcome.first);
  writePositive(writer, outcome.last);
}

function readServiceAppendReply(reader: ByteReader): ServiceAppendReply {
  const request = readRandomId(reader);
  const kind = readName(reader, serviceOutcomes);
  if (kind !== "appended") return { type: "serviceAppendReply", request, outcome: { kind } };
  const first = readPositive(reader);
  const last = readPositive(reader);
  if (last < first) refuse("an append that ends before it begins");
  return { type: "serviceAppendReply", request, outcome: { kind, first, last } };
}

function writeForwardReply(writer: ByteWriter, message: ForwardReply): void {
  const { outcome } = message;
  writeU32(writer, message.group);
  writeRandomId(writer, message.stream);
  writePositive(writer, message.sequence);
  writeName(writer, outcomeKinds, outcome.kind);
  switch (outcome.kind) {
    case "proposed":
      writer.varint(outcome.term);
      writePositive(writer, outcome.first);
      writer.varint(outcome.last - outcome.first);
      return;
    case "refused":
      writeName(writer, replyReasons, outcome.reason);
      writeMaybeMember(writer, outcome.leader);
      return;
    case "outOfOrder":
      writePositive(writer, outcome.expected);
      return;
    default:
      unreachable(outcome);
  }
}

function readForwardReply(reader: ByteReader): ForwardReply {
  const group = reader.u32();
  const stream = readRandomId(reader);
  const sequence = readPositive(reader);
  return { type: "forwardReply", group, stream, sequence, outcome: readOutcome(reader) };
}

function readOutcome(reader: ByteReader): ForwardReply["outcome"] {
  const kind = readName(reader, outcomeKinds);
  switch (kind) {
    case "proposed": {
      const term = readTerm(reader);
      const first = readPositive(reader);
      const last = first + reader.varint();
      if (last > Number.MAX_SAFE_INTEGER) refuse("an index beyond 2^53 - 1");
      return { kind, term, first: first as LogIndex, last: last as LogIndex };
    }
    case "refused":
      return { kind, reason: readName(reader, replyReasons), leader: readMaybeMember(reader) };
    case "outOfOrder":
      return { kind, expected: readPositive(reader) };
    default:
      return unreachable(kind);
  }
}

function writeBarrierReply(writer: ByteWriter, message: BarrierReply): void {
  writeU32(writer, message.group);
  writer.varint(message.request);
  writeRandomId(writer, message.stream);
  writeFlag(writer, message.index !== undefined);
  if (message.index !== undefined) writer.varint(message.index);
  writeMaybeMember(writer, message.leader);
}

function readBarrierReply(reader: ByteReader): BarrierReply {
  return {
    type: "barrierReply",
    group: reader.u32(),
    request: reader.varint(),
    stream: readRandomId(reader),
    index: readFlag(reader) ? readIndex(reader) : undefined,
    leader: readMaybeMember(reader),
  };
}

function writeGroupMade(writer: ByteWriter, { group, engine, members }: GroupMade): void {
  if (members.length === 0 || members.length > membersMax) outOfBounds("members", members.length);
  writeU32(writer, group);
  writeName<GroupEngine>(writer, groupEngines, engine);
  writer.varint(members.length);
  let before = 0;
  for (const member of members) {
    if (member <= before) outOfBounds(`member behind ${before}`, member);
    before = member;
    writeMember(writer, member);
  }
}

function readGroupMade(reader: ByteReader): GroupMade {
  const group = reader.u32();
  const engine = readName<GroupEngine>(reader, groupEngines);
  const members: MemberId[] = [];
  let before = 0;
  for (let rest = reader.itemCount(membersMax, 4); rest > 0; rest--) {
    const member = readMember(reader);
    if (member <= before) refuse("members out of order");
    before = member;
    members.push(member);
  }
  if (members.length === 0) refuse("a group of nobody");
  return { type: "groupMade", group, engine, members };
}

function writeSnapshotRequest(writer: ByteWriter, message: SnapshotRequest): void {
  if (message.offset > message.totalBytes) outOfBounds("offset", message.offset);
  writeU32(writer, message.shard);
  writeRandomId(writer, message.transfer);
  writer.varint(message.atLeast);
  writer.varint(message.position);
  writer.varint(message.totalBytes);
  writeU32(writer, message.checksum);
  writer.varint(message.offset);
}

function readSnapshotRequest(reader: ByteReader): SnapshotRequest {
  const message: SnapshotRequest = {
    type: "snapshotRequest",
    shard: reader.u32(),
    transfer: readRandomId(reader),
    atLeast: reader.varint(),
    position: reader.varint(),
    totalBytes: reader.varint(),
    checksum: reader.u32(),
    offset: reader.varint(),
  };
  if (message.offset > message.totalBytes) refuse("a request beyond the end of its snapshot");
  return message;
}

function writeSnapshotChunk(writer: ByteWriter, message: SnapshotChunk): void {
  const { logStart, data } = message;
  if (logStart.length > logStartBytesMax) outOfBounds("bytes of a log start", logStart.length);
  if (data.length > snapshotChunkBytesMax) outOfBounds("bytes of a chunk", data.length);
  if (message.offset + data.length > message.totalBytes) outOfBounds("end of a chunk", message.offset + data.length);
  writeU32(writer, message.shard);
  writeRandomId(writer, message.transfer);
  writer.varint(message.position);
  writer.varint(message.totalBytes);
  writeU32(writer, message.checksum);
  writer.bytesWithLength(logStart);
  writer.varint(message.offset);
  writer.bytesWithLength(data);
}

function readSnapshotChunk(reader: ByteReader): SnapshotChunk {
  const message: SnapshotChunk = {
    type: "snapshotChunk",
    shard: reader.u32(),
    transfer: readRandomId(reader),
    position: reader.varint(),
    totalBytes: reader.varint(),
    checksum: reader.u32(),
    logStart: readBytes(reader, logStartBytesMax),
    offset: reader.varint(),
    data: readBytes(reader, snapshotChunkBytesMax),
  };
  if (message.offset + message.data.length > message.totalBytes) refuse("a chunk beyond the end of its snapshot");
  return message;
}

const hashDigits = 8;
const hashPattern = /^[0-9a-f]{16}$/u;

/** Of one state hash: a position as a varint, the hash in 64 bits. */
export const stateHashBytesMax: number = 8 + 8;
/** The same at least. */
const stateHashBytesMin = 1 + 8;
const featureLevelMax = 0xffff;

function writeStateHashes(writer: ByteWriter, message: StateHashes): void {
  const { hashes } = message;
  if (hashes.length > stateHashesMax) outOfBounds("state hashes", hashes.length);
  if (message.featureLevelMax > featureLevelMax) outOfBounds("feature level", message.featureLevelMax);
  writeU32(writer, message.shard);
  writeU32(writer, message.incarnation);
  writePositive(writer, message.featureLevelMax);
  writer.varint(hashes.length);
  let last = -1;
  for (const { position, hash } of hashes) {
    if (position <= last) outOfBounds(`position behind ${last}`, position);
    if (!hashPattern.test(hash)) outOfBounds("digits of a state hash", hash.length);
    last = position;
    writer.varint(position);
    writer.u32(Number.parseInt(hash.slice(0, hashDigits), 16));
    writer.u32(Number.parseInt(hash.slice(hashDigits), 16));
  }
}

function readStateHashes(reader: ByteReader): StateHashes {
  const shard = reader.u32();
  const incarnation = reader.u32();
  const level = readPositive(reader);
  if (level > featureLevelMax) refuse(`feature level ${level}`);
  const hashes: StateHash[] = [];
  let last = -1;
  for (let rest = reader.itemCount(stateHashesMax, stateHashBytesMin); rest > 0; rest--) {
    const position = reader.varint();
    if (position <= last) refuse("positions that do not ascend");
    last = position;
    hashes.push({ position, hash: readHash(reader) });
  }
  return { type: "stateHash", shard, incarnation, featureLevelMax: level, hashes };
}

function readHash(reader: ByteReader): string {
  const half = (): string => reader.u32().toString(16).padStart(hashDigits, "0");
  return half() + half();
}
