/**
 * Bytes of what a group keeps beside its log: configuration, log start, hard state. A group state is the hard state
 * of the write-ahead log: all of it changes at once.
 */
import {
  type Configuration,
  type HardState,
  type LogIndex,
  type LogStart,
  type MemberId,
  membersMax,
} from "@quipu/consensus";
import { ByteReader, ByteWriter, invariant, InvariantViolation } from "@quipu/core";
import {
  decodeWhole,
  outOfBounds,
  readIndex,
  readMaybeMember,
  readMember,
  readPositive,
  readTerm,
  refuse,
  writeMaybeMember,
  writeMember,
  writePositive,
} from "./fields.ts";
import { groupStateBytesMax } from "./peer-limits.ts";

/** The cores that groups run on. Places are on the wire: add behind the last. */
export const groupEngines = ["raft", "multi-paxos"] as const;
export type GroupEngine = (typeof groupEngines)[number];

export interface GroupState {
  readonly engine: GroupEngine;
  readonly hardState: HardState;
  readonly start: LogStart;
}

/** First byte of a log start, which lies on disk: newer code must know it for what it is. */
const startVersion = 1;

/** First byte of a group state: whose it is, and in which version. Never reuse a number. */
const stateVersions: Readonly<Record<GroupEngine, number>> = { raft: 1, "multi-paxos": 2 };

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

function readHardState(reader: ByteReader, engine: GroupEngine): HardState {
  const term = readTerm(reader);
  if (engine === "raft") return { term, vote: readMaybeMember(reader) };
  const chosen = readIndex(reader);
  const ballot = readTerm(reader);
  if (ballot > term) refuse(`accepted in ballot ${ballot}, after ${term}`);
  const accepted = ballot === 0 ? undefined : { ballot, freeFrom: readPositive(reader) as LogIndex };
  return { term, vote: undefined, ...(accepted && { accepted }), ...(chosen !== 0 && { chosen }) };
}

function writeHardState(writer: ByteWriter, engine: GroupEngine, hardState: HardState): void {
  const { term, vote, accepted, chosen } = hardState;
  writer.varint(term);
  if (engine === "raft") {
    if (accepted !== undefined) outOfBounds("accepted ballot of a Raft group", accepted.ballot);
    if (chosen !== undefined) outOfBounds("chosen slot of a Raft group", chosen);
    writeMaybeMember(writer, vote);
    return;
  }
  if (vote !== undefined) outOfBounds("vote in a Multi-Paxos group", vote);
  writer.varint(chosen ?? 0);
  writer.varint(accepted?.ballot ?? 0);
  if (accepted === undefined) return;
  if (accepted.ballot === 0 || accepted.ballot > term) outOfBounds("accepted ballot", accepted.ballot);
  writePositive(writer, accepted.freeFrom);
}

const sharedReader = new ByteReader();

/** At most {@link groupStateBytesMax} bytes. */
export function encodeGroupState(state: GroupState): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(stateVersions[state.engine]);
  writeHardState(writer, state.engine, state.hardState);
  writeStart(writer, state.start);
  invariant(writer.length <= groupStateBytesMax, `group state of ${writer.length} bytes`);
  return writer.bytes();
}

/** Undefined unless `bytes` are what {@link encodeGroupState} gives for some state. Keeps nothing of `bytes`. */
export function decodeGroupState(bytes: Uint8Array): GroupState | undefined {
  return decodeWhole(bytes, sharedReader, (reader) => {
    const version = reader.u8();
    const engine = groupEngines.find((name) => stateVersions[name] === version) ?? refuse(`version ${version}`);
    return { engine, hardState: readHardState(reader, engine), start: readStart(reader) };
  });
}

/** What a group says of where its log goes on, for `SnapshotChunk.logStart`. */
export function encodeLogStart(start: LogStart): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(startVersion);
  writeStart(writer, start);
  return writer.bytes();
}

/** Undefined unless `bytes` are what {@link encodeLogStart} gives for some start. Keeps nothing of `bytes`. */
export function decodeLogStart(bytes: Uint8Array): LogStart | undefined {
  return decodeWhole(bytes, sharedReader, (reader) => {
    const version = reader.u8();
    if (version !== startVersion) refuse(`version ${version}`);
    return readStart(reader);
  });
}
