/**
 * The fields that messages are made of, with their bounds: one writer and one reader for each. Writers throw
 * InvariantViolation (our bug), readers DecodeError (their bytes).
 */
import type { LogIndex, MemberId, Term } from "@quipu/consensus";
import { type ByteReader, type ByteWriter, DecodeError, InvariantViolation } from "@quipu/core";
import { randomIdEnd } from "./peer-limits.ts";

const u32Max = 0xffff_ffff;

// No invariant(...) in the writers: its message would be put together at every call, and these are called per entry.
export function outOfBounds(what: string, value: number): never {
  throw new InvariantViolation(`${what} out of bounds: ${value}`);
}

export function refuse(what: string): never {
  throw new DecodeError(what);
}

export function writeMember(writer: ByteWriter, member: MemberId): void {
  if (!(Number.isInteger(member) && member >= 1 && member <= u32Max)) outOfBounds("member", member);
  writer.u32(member);
}

export function readMember(reader: ByteReader): MemberId {
  const value = reader.u32();
  if (value === 0) refuse("member 0");
  return value as MemberId;
}

/** Nobody is 0 on the wire: no member has that id. */
export function writeMaybeMember(writer: ByteWriter, member: MemberId | undefined): void {
  if (member === undefined) writer.u32(0);
  else writeMember(writer, member);
}

export function readMaybeMember(reader: ByteReader): MemberId | undefined {
  const value = reader.u32();
  return value === 0 ? undefined : (value as MemberId);
}

/** Terms and indexes are varints: those of ByteWriter are checked, so no more is needed here. */
export function readTerm(reader: ByteReader): Term {
  return reader.varint() as Term;
}

export function readIndex(reader: ByteReader): LogIndex {
  return reader.varint() as LogIndex;
}

/** A number of a group or shard, or a checksum: 32 bits. */
export function writeU32(writer: ByteWriter, value: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value <= u32Max)) outOfBounds("u32", value);
  writer.u32(value);
}

/** Chosen at random, so a varint would save nothing: six bytes. */
export function writeRandomId(writer: ByteWriter, value: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value < randomIdEnd)) outOfBounds("random id", value);
  writer.u32(value % 0x1_0000_0000);
  writer.u16(Math.floor(value / 0x1_0000_0000));
}

export function readRandomId(reader: ByteReader): number {
  const low = reader.u32();
  return low + reader.u16() * 0x1_0000_0000;
}

/** Counted from 1. */
export function writePositive(writer: ByteWriter, value: number): void {
  if (value === 0) outOfBounds("count from 1", value);
  writer.varint(value);
}

export function readPositive(reader: ByteReader): number {
  const value = reader.varint();
  if (value === 0) refuse("0 where counting begins at 1");
  return value;
}

export function writeFlag(writer: ByteWriter, value: boolean): void {
  writer.u8(value ? 1 : 0);
}

export function readFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) refuse(`flag ${value}`);
  return value === 1;
}

/** A number of a table `names`: its place there. */
export function writeName<Name extends string>(writer: ByteWriter, names: readonly Name[], name: Name): void {
  const place = names.indexOf(name);
  if (place < 0) outOfBounds(name, place);
  writer.u8(place);
}

export function readName<Name extends string>(reader: ByteReader, names: readonly Name[]): Name {
  return names[reader.u8()] ?? refuse("unknown name");
}

/** Bytes behind their length, not copied. */
export function readBytes(reader: ByteReader, bytesMax: number): Uint8Array {
  const data = reader.bytes();
  if (data.length > bytesMax) refuse(`${data.length} bytes, limit ${bytesMax}`);
  return data;
}

/** What `read` makes of all of `bytes`; undefined if they are not exactly one encoding of something. */
export function decodeWhole<Value>(
  bytes: Uint8Array,
  reader: ByteReader,
  read: (reader: ByteReader) => Value,
): Value | undefined {
  reader.reset(bytes);
  try {
    const value = read(reader);
    return reader.remaining === 0 ? value : undefined;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
