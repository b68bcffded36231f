/**
 * The bytes of one batch. Little-endian; varints as in @quipu/core:
 *
 * ```text
 * "QLB" u8 version   u32 CRC-32 of what follows   16 bytes id   varint number   varint first position
 * varint records     varint length of each        the records, one behind the other
 * ```
 *
 * The checksum begins with the name of the log, so that a batch of another log is found out. The id is drawn for each
 * attempt to write: it tells a writer that got no answer whether what stands there is its own.
 */
import { ByteReader, ByteWriter, DecodeError, type Random } from "@quipu/core";
import { crc32 } from "node:zlib";

/** One batch, as it stands in the log or is about to. */
export interface Batch {
  /** 128 random bits in hexadecimal. */
  readonly id: string;
  /** Counts the batches of a log, from 1. */
  readonly number: number;
  /** Position of `records[0]`. */
  readonly first: number;
  /** At least one. */
  readonly records: readonly Uint8Array[];
}

/** "QLB" and version 1. */
const magic = 0x01_42_4c_51;
const idWords = 4;
/** Magic, checksum, id and the three numbers at their longest. */
const headerBytesMax = 4 + 4 + 16 + 3 * 8;
/** Of one record beside its bytes. */
const lengthBytesMax = 5;

/** Most bytes that a batch of these records takes; adds up over records. */
export function batchBytesMax(records: readonly Uint8Array[]): number {
  let bytes = headerBytesMax;
  for (const record of records) bytes += recordBytesMax(record);
  return bytes;
}

function recordBytesMax(record: Uint8Array): number {
  return lengthBytesMax + record.length;
}

/** 128 bits in hexadecimal: no two draws are ever equal. The first 32 are those of `writer`, if given. */
export function drawId(random: Random, writer: string = drawWord(random)): string {
  return writer + Array.from({ length: idWords - 1 }, () => drawWord(random)).join("");
}

/** Eight hexadecimal digits: who writes. */
export function drawWord(random: Random): string {
  return random.uint32().toString(16).padStart(8, "0");
}

/** What the checksums of a log begin with. */
export function checksumSeed(log: string): number {
  return crc32(log);
}

export function encodeBatch(batch: Batch, seed: number): Uint8Array {
  const writer = new ByteWriter(batchBytesMax(batch.records));
  writer.u32(magic);
  writer.u32(0);
  for (let word = 0; word < idWords; word++) writer.u32(Number.parseInt(batch.id.slice(8 * word, 8 * word + 8), 16));
  writer.varint(batch.number);
  writer.varint(batch.first);
  writer.varint(batch.records.length);
  for (const record of batch.records) writer.varint(record.length);
  for (const record of batch.records) writer.raw(record);
  writer.setU32(4, crc32(writer.bytes().subarray(8), seed));
  return writer.bytes();
}

/** Throws {@link DecodeError} where the bytes are not what {@link encodeBatch} made for this log. */
export function decodeBatch(bytes: Uint8Array, seed: number): Batch {
  const reader = new ByteReader();
  reader.reset(bytes);
  if (reader.u32() !== magic) throw new DecodeError("no batch of this version");
  if (reader.u32() !== crc32(bytes.subarray(8), seed)) throw new DecodeError("wrong checksum");
  const id = Array.from({ length: idWords }, () => reader.u32().toString(16).padStart(8, "0")).join("");
  const number = reader.varint();
  const first = reader.varint();
  const count = reader.varint();
  if (count === 0 || count > reader.remaining) throw new DecodeError(`${count} records`);
  const lengths = Array.from({ length: count }, () => reader.varint());
  let at = reader.position;
  const records = lengths.map((length) => bytes.subarray(at, (at += length)));
  if (at !== bytes.length) throw new DecodeError(`${at} of ${bytes.length} bytes`);
  return { id, number, first, records };
}
