/**
 * The state machine of a cell's metadata: versioned registers, changed by compare-and-set. Pure. Its commands and its
 * whole state as bytes.
 *
 * Command: u8 format, f64 id (random), key, varint expected version, value.
 * State: u8 format, f64 position, words of the log, count, then of each register key, varint version, value.
 */
import { ByteReader, ByteWriter, DecodeError, QuipuError } from "@quipu/core";
import type { Register } from "@quipu/log";

const commandFormat = 1;
const stateFormat = 1;

/** A cell has a handful. More is a mistake of whoever stores it here. */
const registersMax = 1024;
const stateBytesMax = 512 * 1024;

export interface MetadataCommand {
  /** Tells the command of one caller from every other, also when it is in the log twice. */
  readonly id: number;
  readonly key: string;
  readonly expectedVersion: number;
  readonly value: Uint8Array;
}

/** The registers as of one position of the log, and how the log goes on above it. */
export interface MetadataState {
  readonly position: number;
  readonly words: Uint8Array;
  readonly registers: ReadonlyMap<string, Register>;
}

export function encodeCommand({ id, key, expectedVersion, value }: MetadataCommand): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(commandFormat);
  writer.f64(id);
  writer.bytesWithLength(new TextEncoder().encode(key));
  writer.varint(expectedVersion);
  writer.bytesWithLength(value);
  return writer.copy();
}

/** Throws LOG_CORRUPT where the bytes are no command: a node that passed over it would differ from the others. */
export function decodeCommand(position: number, bytes: Uint8Array): MetadataCommand {
  return decoded(`the metadata record at ${position}`, bytes, (reader) => {
    if (reader.u8() !== commandFormat) throw new DecodeError("another format");
    return { id: reader.f64(), key: text(reader), expectedVersion: reader.varint(), value: reader.bytes().slice() };
  });
}

/** Whether the command changed anything. */
export function applyCommand(
  registers: Map<string, Register>,
  { key, expectedVersion, value }: MetadataCommand,
): boolean {
  const version = registers.get(key)?.version ?? 0;
  if (version !== expectedVersion) return false;
  const isTooMuch = registers.size >= registersMax && version === 0;
  if (isTooMuch || sizeOf(registers) + key.length + value.length > stateBytesMax) return false;
  registers.set(key, { version: version + 1, value });
  return true;
}

export function encodeState({ position, words, registers }: MetadataState): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(stateFormat);
  writer.f64(position);
  writer.bytesWithLength(words);
  writer.varint(registers.size);
  for (const [key, { version, value }] of registers) {
    writer.bytesWithLength(new TextEncoder().encode(key));
    writer.varint(version);
    writer.bytesWithLength(value);
  }
  return writer.copy();
}

/** Throws LOG_CORRUPT. `where` is for people. */
export function decodeState(where: string, bytes: Uint8Array): MetadataState {
  return decoded(where, bytes, (reader) => {
    if (reader.u8() !== stateFormat) throw new DecodeError("another format");
    const position = reader.f64();
    const words = reader.bytes().slice();
    const registers = new Map<string, Register>();
    for (let rest = reader.itemCount(registersMax, 3); rest > 0; rest--) {
      const key = text(reader);
      registers.set(key, { version: reader.varint(), value: reader.bytes().slice() });
    }
    return { position, words, registers };
  });
}

function sizeOf(registers: ReadonlyMap<string, Register>): number {
  let bytes = 0;
  for (const [key, { value }] of registers) bytes += key.length + value.length;
  return bytes;
}

function text(reader: ByteReader): string {
  return new TextDecoder("utf8", { fatal: true }).decode(reader.bytes());
}

function decoded<Result>(where: string, bytes: Uint8Array, read: (reader: ByteReader) => Result): Result {
  const reader = new ByteReader();
  reader.reset(bytes);
  try {
    const result = read(reader);
    if (reader.remaining > 0) throw new DecodeError("bytes behind the end");
    return result;
  } catch (cause) {
    if (!(cause instanceof DecodeError || cause instanceof TypeError)) throw cause;
    throw new QuipuError("LOG_CORRUPT", `${where} does not decode: ${cause.message}`, { cause });
  }
}
