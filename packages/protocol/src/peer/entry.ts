/** Bytes of log entries, the same in the write-ahead log and in messages: kind, term, content. The index is known. */
import type { Entry, LogIndex, Term } from "@quipu/consensus";
import { ByteReader, type ByteWriter, unreachable } from "@quipu/core";
import { finished, writerFor } from "./blocks.ts";
import { decodeWhole, outOfBounds, readPositive, refuse } from "./fields.ts";
import { configurationBytesMax, readConfiguration, writeConfiguration } from "./group-state.ts";

/** First byte of an entry. Numbers are on disk: never reuse one. */
const entryKind = { record: 1, noop: 2, configuration: 3, seal: 4 } as const;

/** Kind and term of the smallest. */
export const entryBytesMin = 2;

/** Upper limit of what an entry without its record or configuration takes: kind, term, length. */
const entryOverheadBytesMax = 1 + 8 + 8;

/** No less than what {@link writeEntry} takes. */
export function entryBytesBound(entry: Entry): number {
  if (entry.kind === "record") return entryOverheadBytesMax + entry.data.length;
  return entry.kind === "configuration" ? entryOverheadBytesMax + configurationBytesMax : entryOverheadBytesMax;
}

export function writeEntry(writer: ByteWriter, entry: Entry): void {
  if (entry.term === 0) outOfBounds("term of an entry", entry.term);
  writer.u8(entryKind[entry.kind]);
  writer.varint(entry.term);
  switch (entry.kind) {
    case "record":
      writer.bytesWithLength(entry.data);
      return;
    case "configuration":
      writeConfiguration(writer, entry.configuration);
      return;
    case "noop":
    case "seal":
      return;
    default:
      unreachable(entry);
  }
}

/** A record's data is a view of what the reader reads. */
export function readEntry(reader: ByteReader, index: LogIndex): Entry {
  const kind = reader.u8();
  const term = readPositive(reader) as Term;
  switch (kind) {
    case entryKind.record:
      return { index, term, kind: "record", data: reader.bytes() };
    case entryKind.noop:
      return { index, term, kind: "noop" };
    case entryKind.configuration:
      return { index, term, kind: "configuration", configuration: readConfiguration(reader) };
    case entryKind.seal:
      return { index, term, kind: "seal" };
    default:
      return refuse(`entry of kind ${kind}`);
  }
}

const sharedReader = new ByteReader();

/** Payload of a record of the write-ahead log; `entry.index` is where it stands there. The caller owns the bytes. */
export function encodeEntry(entry: Entry): Uint8Array {
  const writer = writerFor(entryBytesBound(entry));
  writeEntry(writer, entry);
  return finished(writer);
}

/**
 * Undefined unless `bytes` are what {@link encodeEntry} gives for some entry. A record's data is a view of `bytes`:
 * from here on they belong to the entry, and nobody changes them.
 */
export function decodeEntry(index: LogIndex, bytes: Uint8Array): Entry | undefined {
  if (!(Number.isSafeInteger(index) && index >= 1)) outOfBounds("index of an entry", index);
  return decodeWhole(bytes, sharedReader, (reader) => readEntry(reader, index));
}
