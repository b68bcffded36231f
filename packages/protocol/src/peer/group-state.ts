/**
 * Bytes of what a group keeps beside its log: configuration, log start, hard state. A group state is the hard state
 * of the write-ahead log: all of it changes at once.
 */
import { type Configuration, type HardState, type LogStart, type MemberId, membersMax } from "@quipu/consensus";
import { ByteReader, ByteWriter, invariant, InvariantViolation } from "@quipu/core";
import {
  decodeWhole,
  outOfBounds,
  readIndex,
  readMaybeMember,
  readMember,
  readTerm,
  refuse,
  writeMaybeMember,
  writeMember,
} from "./fields.ts";
import { groupStateBytesMax } from "./peer-limits.ts";

export interface GroupState {
  readonly hardState: HardState;
  readonly start: LogStart;
}

/** First byte of a group state and of a log start: both lie on disk, and newer code must know them for what they are. */
const version = 1;

const memberBytes = 4;

/** Four lists of members; the reader and the writer of each check {@link configurationFault}. */
export function writeConfiguration(writer: ByteWriter, configuration: Configuration): void {
  const fault = configurationFault(configuration);
  if (fault !== undefined) throw new InvariantViolation(`configuration: ${fault}`);
  writeMembers(writer, configuration.voters);
  writeMembers(writer, configuration.outgoing);
  writeMembers(writer, configuration.learners);
  writeMembers(writer, configuration.learnersNext);
}

export function readConfiguration(reader: ByteReader): Configuration {
  const configuration: Configuration = {
    voters: readMembers(reader),
    outgoing: readMembers(reader),
    learners: readMembers(reader),
    learnersNext: readMembers(reader),
  };
  const fault = configurationFault(configuration);
  if (fault !== undefined) refuse(fault);
  return configuration;
}

/** Upper limit of what {@link writeConfiguration} takes: nobody stands in more than two of the four lists. */
export const configurationBytesMax: number = 4 + 2 * memberBytes * membersMax;

function writeMembers(writer: ByteWriter, members: readonly MemberId[]): void {
  writer.varint(members.length);
  for (const member of members) writeMember(writer, member);
}

function readMembers(reader: ByteReader): readonly MemberId[] {
  const members: MemberId[] = [];
  for (let rest = reader.itemCount(membersMax, memberBytes); rest > 0; rest--) {
    members.push(readMember(reader));
  }
  return members;
}

/** What the type says of a configuration and does not hold here; undefined: nothing. */
function configurationFault(configuration: Configuration): string | undefined {
  const { voters, outgoing, learners, learnersNext } = configuration;
  const everybody = new Set([...voters, ...outgoing, ...learners]);
  if (everybody.size > membersMax) return `${everybody.size} members, limit ${membersMax}`;
  for (const members of [voters, outgoing, learners, learnersNext]) {
    if (members.some((member, place) => place > 0 && member <= (members[place - 1] as MemberId)))
      return "not ascending";
  }
  if (learners.some((member) => voters.includes(member) || outgoing.includes(member))) return "a learner that votes";
  if (learnersNext.some((member) => !outgoing.includes(member))) return "a voter to go that is none";
  if (learnersNext.some((member) => voters.includes(member))) return "a voter to go that stays";
  return undefined;
}

function writeStart(writer: ByteWriter, start: LogStart): void {
  if ((start.index === 0) !== (start.term === 0)) outOfBounds(`term at index ${start.index}`, start.term);
  writer.varint(start.index);
  writer.varint(start.term);
  writeConfiguration(writer, start.configuration);
}

function readStart(reader: ByteReader): LogStart {
  const index = readIndex(reader);
  const term = readTerm(reader);
  if ((index === 0) !== (term === 0)) refuse(`term ${term} at index ${index}`);
  return { index, term, configuration: readConfiguration(reader) };
}

function readVersion(reader: ByteReader): void {
  const found = reader.u8();
  if (found !== version) refuse(`version ${found}`);
}

const sharedReader = new ByteReader();

/** At most {@link groupStateBytesMax} bytes. */
export function encodeGroupState(state: GroupState): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(version);
  writer.varint(state.hardState.term);
  writeMaybeMember(writer, state.hardState.vote);
  writeStart(writer, state.start);
  invariant(writer.length <= groupStateBytesMax, `group state of ${writer.length} bytes`);
  return writer.bytes();
}

/** Undefined unless `bytes` are what {@link encodeGroupState} gives for some state. Keeps nothing of `bytes`. */
export function decodeGroupState(bytes: Uint8Array): GroupState | undefined {
  return decodeWhole(bytes, sharedReader, (reader) => {
    readVersion(reader);
    const hardState: HardState = { term: readTerm(reader), vote: readMaybeMember(reader) };
    return { hardState, start: readStart(reader) };
  });
}

/** What a raft engine says of where its log goes on, for `SnapshotChunk.logStart`. */
export function encodeLogStart(start: LogStart): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(version);
  writeStart(writer, start);
  return writer.bytes();
}

/** Undefined unless `bytes` are what {@link encodeLogStart} gives for some start. Keeps nothing of `bytes`. */
export function decodeLogStart(bytes: Uint8Array): LogStart | undefined {
  return decodeWhole(bytes, sharedReader, (reader) => {
    readVersion(reader);
    return readStart(reader);
  });
}
