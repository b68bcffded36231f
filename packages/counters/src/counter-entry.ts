/** The content of one counter as bytes: what snapshots and checkpoints hold under its store key. */
import { type ByteReader, type ByteWriter, DecodeError, type Int64 } from "@quipu/core";

export interface CounterContent {
  readonly value: Int64 | Uint8Array;
  readonly versionLsn: number;
  readonly versionIndex: number;
  /** -1: does not expire. */
  readonly expiresAtMs: number;
  readonly minimum: Int64 | null;
  readonly maximum: Int64 | null;
}

const isBytes = 1;
const hasExpiry = 2;
const hasMinimum = 4;
const hasMaximum = 8;
const knownFlags: number = isBytes | hasExpiry | hasMinimum | hasMaximum;

export function writeContent(writer: ByteWriter, content: CounterContent): void {
  const { value, minimum, maximum, expiresAtMs } = content;
  const bytes = typeof value === "object";
  writer.u8(
    (bytes ? isBytes : 0) |
      (expiresAtMs >= 0 ? hasExpiry : 0) |
      (minimum === null ? 0 : hasMinimum) |
      (maximum === null ? 0 : hasMaximum),
  );
  if (bytes) writer.bytesWithLength(value);
  else writer.int64(value);
  writer.varint(content.versionLsn);
  writer.varint(content.versionIndex);
  if (expiresAtMs >= 0) writer.varint(expiresAtMs);
  if (minimum !== null) writer.int64(minimum);
  if (maximum !== null) writer.int64(maximum);
}

/** Byte strings are copied. Throws DecodeError. */
export function readContent(reader: ByteReader): CounterContent {
  const flags = reader.u8();
  if ((flags & ~knownFlags) !== 0) throw new DecodeError(`unknown flags ${flags} of a counter`);
  return {
    value: (flags & isBytes) === 0 ? reader.int64() : reader.bytes().slice(),
    versionLsn: reader.varint(),
    versionIndex: reader.varint(),
    expiresAtMs: (flags & hasExpiry) === 0 ? -1 : reader.varint(),
    minimum: (flags & hasMinimum) === 0 ? null : reader.int64(),
    maximum: (flags & hasMaximum) === 0 ? null : reader.int64(),
  };
}
