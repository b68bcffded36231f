/** The fields of operations as bytes, each written and read side by side: databases, expiry changes, positions, … */
import {
  type ByteReader,
  type ByteWriter,
  DecodeError,
  type Int64,
  invariant,
  type Lsn,
  unreachable,
} from "@quipu/core";
import type { Database, ExpireConditions, ExpiryChange, Operation, Position } from "./operations.ts";

/** Redis' default number of databases, and behind them the one that the cell keeps its own entries in. */
export const databaseCount = 17;
/** What a cell knows of itself (its nodes): no client can SELECT it, FLUSHALL leaves it alone. */
export const systemDatabase = 16;
/** Keys of one command, operations of one transaction, …: Redis' own limit on the words of a command. */
export const itemsMax: number = 1024 * 1024;

export function writeDatabase(writer: ByteWriter, database: Database): void {
  invariant(Number.isInteger(database) && database >= 0 && database < databaseCount, `no database ${database}`);
  writer.u8(database);
}

export function readDatabase(reader: ByteReader): Database {
  const database = reader.u8();
  if (database >= databaseCount) throw new DecodeError(`no database ${database}`);
  return database;
}

export function writeFlag(writer: ByteWriter, flag: boolean): void {
  writer.u8(flag ? 1 : 0);
}

export function readFlag(reader: ByteReader): boolean {
  const flag = reader.u8();
  if (flag > 1) throw new DecodeError(`flag is ${flag}`);
  return flag === 1;
}

export function writeOptionalInt64(writer: ByteWriter, value: Int64 | null): void {
  writeFlag(writer, value !== null);
  if (value !== null) writer.int64(value);
}

export function readOptionalInt64(reader: ByteReader): Int64 | null {
  return readFlag(reader) ? reader.int64() : null;
}

export function writeOptionalBytes(writer: ByteWriter, value: Uint8Array | null): void {
  writeFlag(writer, value !== null);
  if (value !== null) writer.bytesWithLength(value);
}

export function readOptionalBytes(reader: ByteReader): Uint8Array | null {
  return readFlag(reader) ? reader.bytes() : null;
}

export function writePosition(writer: ByteWriter, position: Position): void {
  writer.varint(position.lsn);
  writer.varint(position.index);
}

export function readPosition(reader: ByteReader): Position {
  const lsn = reader.varint() as Lsn; // A varint is a safe integer >= 0: that is all an Lsn asks for.
  return { lsn, index: reader.varint() };
}

const expiryClear = 0;
const expiryKeep = 1;
const expiryIn = 2;
const expiryAt = 3;

/** Times are signed: EXPIRE with a negative time deletes the key. */
export function writeExpiry(writer: ByteWriter, expiry: ExpiryChange): void {
  switch (expiry.type) {
    case "clear":
      return writer.u8(expiryClear);
    case "keep":
      return writer.u8(expiryKeep);
    case "in":
      writer.u8(expiryIn);
      return writer.int64(expiry.ms);
    case "at":
      writer.u8(expiryAt);
      return writer.int64(expiry.ms);
    default:
      return unreachable(expiry);
  }
}

export function readExpiry(reader: ByteReader): ExpiryChange {
  const tag = reader.u8();
  switch (tag) {
    case expiryClear:
      return { type: "clear" };
    case expiryKeep:
      return { type: "keep" };
    case expiryIn:
      return { type: "in", ms: reader.safeInteger() };
    case expiryAt:
      return { type: "at", ms: reader.safeInteger() };
    default:
      throw new DecodeError(`unknown expiry tag ${tag}`);
  }
}

export function writeConditions(writer: ByteWriter, conditions: ExpireConditions): void {
  const { ifNone, ifSome, ifLater, ifEarlier } = conditions;
  writer.u8((ifNone ? 1 : 0) | (ifSome ? 2 : 0) | (ifLater ? 4 : 0) | (ifEarlier ? 8 : 0));
}

export function readConditions(reader: ByteReader): ExpireConditions {
  const bits = reader.u8();
  if (bits > 15) throw new DecodeError(`unknown expire conditions ${bits}`);
  return {
    ifNone: (bits & 1) !== 0,
    ifSome: (bits & 2) !== 0,
    ifLater: (bits & 4) !== 0,
    ifEarlier: (bits & 8) !== 0,
  };
}

const boundKeep = 0;
const boundClear = 1;
const boundSet = 2;

export function writeBoundEnd(writer: ByteWriter, end: Int64 | "keep" | "clear"): void {
  if (end === "keep") return writer.u8(boundKeep);
  if (end === "clear") return writer.u8(boundClear);
  writer.u8(boundSet);
  writer.int64(end);
}

export function readBoundEnd(reader: ByteReader): Int64 | "keep" | "clear" {
  const tag = reader.u8();
  switch (tag) {
    case boundKeep:
      return "keep";
    case boundClear:
      return "clear";
    case boundSet:
      return reader.int64();
    default:
      throw new DecodeError(`unknown bound tag ${tag}`);
  }
}

export function writeKeys(writer: ByteWriter, keys: readonly Uint8Array[]): void {
  writeItemCount(writer, keys.length);
  for (const key of keys) writer.bytesWithLength(key);
}

export function readKeys(reader: ByteReader): Uint8Array[] {
  const count = reader.itemCount(itemsMax, 1);
  const keys: Uint8Array[] = [];
  for (let index = 0; index < count; index++) keys.push(reader.bytes());
  return keys;
}

export function writeItemCount(writer: ByteWriter, count: number): void {
  invariant(count <= itemsMax, `${count} items, limit ${itemsMax}`); // The front doors refuse more.
  writer.varint(count);
}

/** FLUSHALL in place of a database. */
const everyDatabase = 255;

export function writeDatabaseOrAll(writer: ByteWriter, database: Database | null): void {
  if (database === null) writer.u8(everyDatabase);
  else writeDatabase(writer, database);
}

export function readDatabaseOrAll(reader: ByteReader): Database | null {
  const database = reader.u8();
  if (database === everyDatabase) return null;
  if (database >= databaseCount) throw new DecodeError(`no database ${database}`);
  return database;
}

type SetCondition = Extract<Operation, { readonly type: "set" }>["condition"];

/** By number: what SET asks of the key. */
const setConditions: readonly SetCondition[] = ["always", "ifAbsent", "ifPresent"];

export function writeSetCondition(writer: ByteWriter, condition: SetCondition): void {
  writer.u8(setConditions.indexOf(condition));
}

export function readSetCondition(reader: ByteReader): SetCondition {
  const condition = setConditions[reader.u8()];
  if (condition === undefined) throw new DecodeError("unknown condition of a set");
  return condition;
}

type Expectation = Extract<Operation, { readonly type: "compareAndSet" }>["expected"];

const expectAbsent = 0;
const expectValue = 1;
const expectVersion = 2;

/** What a compare-and-set expects to find. */
export function writeExpectation(writer: ByteWriter, expected: Expectation): void {
  switch (expected.type) {
    case "absent":
      return writer.u8(expectAbsent);
    case "value":
      writer.u8(expectValue);
      return writer.int64(expected.value);
    case "version":
      writer.u8(expectVersion);
      return writePosition(writer, expected.version);
    default:
      return unreachable(expected);
  }
}

export function readExpectation(reader: ByteReader): Expectation {
  const tag = reader.u8();
  switch (tag) {
    case expectAbsent:
      return { type: "absent" };
    case expectValue:
      return { type: "value", value: reader.int64() };
    case expectVersion:
      return { type: "version", version: readPosition(reader) };
    default:
      throw new DecodeError(`unknown expectation tag ${tag}`);
  }
}
