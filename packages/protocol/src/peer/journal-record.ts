/**
 * Bytes of one record of a Multi-Paxos group in the write-ahead log. Slots are accepted in any order and more than once,
 * so each record says which slot it is about: what stands later in the log is what holds.
 */
import type { Entry, LogIndex } from "@quipu/consensus";
import { ByteReader } from "@quipu/core";
import { finished, writerFor } from "./blocks.ts";
import { entryBytesBound, readEntry, writeEntry } from "./entry.ts";
import { decodeWhole, readPositive, writePositive } from "./fields.ts";

export type JournalRecord =
  /** The slot `entry.index` holds this, in the ballot `entry.term`. */
  | { readonly kind: "entry"; readonly entry: Entry }
  /** No slot from here on holds anything. */
  | { readonly kind: "cut"; readonly from: LogIndex };

/** In place of a slot: no entry follows, but where the cut is. */
const cutMark = 0;

/** A slot is a safe integer. */
const slotBytesMax = 8;

/** The caller owns the bytes. */
export function encodeJournalRecord(record: JournalRecord): Uint8Array {
  return record.kind === "cut" ? encodeJournalCut(record.from) : encodeJournalEntry(record.entry);
}

/** Of an `entry`, without an object around it: there is one for each record of the log. */
export function encodeJournalEntry(entry: Entry): Uint8Array {
  const writer = writerFor(slotBytesMax + entryBytesBound(entry));
  writePositive(writer, entry.index);
  writeEntry(writer, entry);
  return finished(writer);
}

/** Of a `cut`. */
export function encodeJournalCut(from: LogIndex): Uint8Array {
  const writer = writerFor(1 + slotBytesMax);
  writer.varint(cutMark);
  writePositive(writer, from);
  return finished(writer);
}

const sharedReader = new ByteReader();

/** Undefined unless `bytes` are what {@link encodeJournalRecord} gives. A record's data is a view of `bytes`. */
export function decodeJournalRecord(bytes: Uint8Array): JournalRecord | undefined {
  return decodeWhole(bytes, sharedReader, (reader): JournalRecord => {
    const slot = reader.varint();
    if (slot === cutMark) return { kind: "cut", from: readPositive(reader) as LogIndex };
    return { kind: "entry", entry: readEntry(reader, slot as LogIndex) };
  });
}
