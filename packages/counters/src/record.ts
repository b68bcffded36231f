/**
 * Records: what a replica appends to the log. A header, then commands back to back.
 *
 * Header, 32 bytes, little-endian: `u8 format | u8 0 | u16 feature level | u32 node | u32 incarnation | f64 number |
 * f64 stamp in ms | u32 command count`.
 */
import { ByteReader, ByteWriter, type Int64 } from "@quipu/core";
import { runCountOffset, writeCommand, writeOnceHead, writeRun } from "./codec.ts";
import type { Command, Database } from "./operations.ts";
import { OpenRuns } from "./open-runs.ts";

export const recordFormat = 1;
/**
 * The highest feature level that this version understands; raised when commands change their meaning (decision 0012).
 * A record says which level its reader has to know.
 */
export const featureLevelMax = 1;
/** Of a cell that has raised nothing. */
export const firstFeatureLevel = 1;
export const recordHeaderBytes = 32;

const featureLevelOffset = 2;
const numberOffset = 12;
const stampOffset = 20;
const commandCountOffset = 28;

/** Names a record for ever: which node wrote it, in which life of the node, as its how-many-th (from 1). */
export interface RecordId {
  readonly node: number;
  readonly incarnation: number;
  readonly number: number;
}

/** A header read in place; reused. */
export class RecordHeader {
  node = 0;
  incarnation = 0;
  number = 0;
  stampMs = 0;
  commandCount = 0;
  featureLevel: number = firstFeatureLevel;

  /** Reads the header and leaves the reader at the first command. False if it is none up to `levelMax`. */
  read(reader: ByteReader, levelMax: number): boolean {
    if (reader.remaining < recordHeaderBytes) return false;
    const format = reader.u8();
    const reserved = reader.u8();
    this.featureLevel = reader.u16();
    this.node = reader.u32();
    this.incarnation = reader.u32();
    this.number = reader.f64();
    this.stampMs = reader.f64();
    this.commandCount = reader.u32();
    if (format !== recordFormat || reserved !== 0) return false;
    if (this.featureLevel < firstFeatureLevel || this.featureLevel > levelMax) return false;
    if (!Number.isSafeInteger(this.number) || this.number < 1) return false;
    if (!Number.isSafeInteger(this.stampMs) || this.stampMs < 0) return false;
    // Every command takes a byte at least: a hostile count cannot make anyone loop.
    return this.commandCount <= reader.remaining;
  }
}

/** Whose record this is, or undefined if its header is none that is understood up to `levelMax`. */
export function readRecordId(record: Uint8Array, levelMax: number = featureLevelMax): RecordId | undefined {
  const header = new RecordHeader();
  const reader = new ByteReader();
  reader.reset(record);
  return header.read(reader, levelMax) ? header : undefined;
}

/** Which level its reader has to know; undefined where it is no record of our format. */
export function recordFeatureLevel(record: Uint8Array): number | undefined {
  if (record.length < recordHeaderBytes || record[0] !== recordFormat || record[1] !== 0) return undefined;
  return new DataView(record.buffer, record.byteOffset).getUint16(featureLevelOffset, true);
}

/** Operations in a command: that many indexes of positions it takes. */
export function operationsOf(command: Command): number {
  switch (command.type) {
    case "transaction":
    case "session":
      return command.operations.length;
    case "once":
      return operationsOf(command.command);
    default:
      return 1;
  }
}

/** One open batch of a replica. Adds fold into runs as they come in. */
export class RecordBuilder {
  readonly #writer = new ByteWriter(64 * 1024);
  readonly #runs: OpenRuns;
  #commandCount = 0;
  #operationCount = 0;

  /** `seed` influences speed only. */
  constructor(seed: number = 0) {
    this.#runs = new OpenRuns(seed);
    this.reset();
  }

  get byteLength(): number {
    return this.#writer.length;
  }

  get commandCount(): number {
    return this.#commandCount;
  }

  get operationCount(): number {
    return this.#operationCount;
  }

  reset(): void {
    this.#writer.reset();
    this.#writer.f64(0);
    this.#writer.f64(0);
    this.#writer.f64(0);
    this.#writer.f64(0);
    this.#runs.reset();
    this.#commandCount = 0;
    this.#operationCount = 0;
  }

  /**
   * One add to the key `bytes[start, end)`. Folds into the open run of the key if its delta is the same.
   * Returns the index of the command in the record.
   */
  add(database: Database, bytes: Uint8Array, start: number, end: number, delta: Int64): number {
    this.#operationCount++;
    const runs = this.#runs;
    const run = runs.find(database, bytes, start, end);
    if (run >= 0 && runs.delta(run) === delta) {
      this.#writer.setU32(runs.offset(run) + runCountOffset, runs.raise(run));
      return runs.command(run);
    }
    const offset = this.#writer.length;
    writeRun(this.#writer, database, 1, delta, bytes, start, end);
    const command = this.#commandCount++;
    runs.open(delta, offset, command);
    return command;
  }

  /**
   * Any other command. Ends every open run: more than needed, but other commands are rare beside runs. Returns its
   * index in the record; -1 if its encoding takes more than `bytesMax` bytes: then it is not in the record.
   */
  command(command: Command, bytesMax: number = Infinity): number {
    this.#runs.end();
    const start = this.#writer.length;
    writeCommand(this.#writer, command);
    if (this.#writer.length - start > bytesMax) {
      this.#writer.truncate(start);
      return -1;
    }
    this.#operationCount += operationsOf(command);
    return this.#commandCount++;
  }

  /** The same as command() of a once around a single add, without objects. */
  onceAdd(
    id: Uint8Array,
    idStart: number,
    idEnd: number,
    retentionMs: number,
    bornAtMs: number | null,
    database: Database,
    bytes: Uint8Array,
    start: number,
    end: number,
    delta: Int64,
  ): number {
    this.#runs.end();
    this.#operationCount++;
    writeOnceHead(this.#writer, id, idStart, idEnd, retentionMs, bornAtMs);
    writeRun(this.#writer, database, 1, delta, bytes, start, end);
    return this.#commandCount++;
  }

  /** A read rides at this place: later adds must not fold into runs before it. */
  endRuns(): void {
    this.#runs.end();
  }

  /** The finished record, owned by the caller. `level` above the one in force raises it. The builder is reset. */
  finish(id: RecordId, stampMs: number, level: number = firstFeatureLevel): Uint8Array {
    const commandCount = this.#commandCount;
    const record = this.#writer.copy();
    this.reset();
    const view = new DataView(record.buffer);
    view.setUint8(0, recordFormat);
    view.setUint16(featureLevelOffset, level, true);
    view.setUint32(4, id.node, true);
    view.setUint32(8, id.incarnation, true);
    view.setFloat64(numberOffset, id.number, true);
    view.setFloat64(stampOffset, stampMs, true);
    view.setUint32(commandCountOffset, commandCount, true);
    return record;
  }
}
