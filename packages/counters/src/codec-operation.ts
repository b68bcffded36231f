/**
 * Operations as bytes: opcode, database, key, then what the operation needs.
 *
 * A run of equal adds has a fixed layout, so that a record builder can raise its count in place:
 * `u8 opcode | u8 database | u32 count | int64 delta | varint key length | key`.
 */
import { type Int64, unreachable } from "@quipu/core";
import { type ByteReader, type ByteWriter, DecodeError } from "./bytes.ts";
import {
  databaseCount,
  itemsMax,
  readBoundEnd,
  readConditions,
  readDatabase,
  readExpiry,
  readFlag,
  readKeys,
  readOptionalBytes,
  readOptionalInt64,
  readPosition,
  writeBoundEnd,
  writeConditions,
  writeDatabase,
  writeExpiry,
  writeFlag,
  writeItemCount,
  writeKeys,
  writeOptionalBytes,
  writeOptionalInt64,
  writePosition,
} from "./codec-fields.ts";
import { opcodeRun, opcodes } from "./opcodes.ts";
import type { Database, Operation } from "./operations.ts";

/** Offset of the u32 count from the first byte of a run. */
export const runCountOffset = 2;
const everyDatabase = 255;

type Variant<Type extends Operation["type"]> = Extract<Operation, { readonly type: Type }>;

/** A run of `count` adds of `delta` to the key `bytes[start, end)`. */
export function writeRun(
  writer: ByteWriter,
  database: Database,
  count: number,
  delta: Int64,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  writer.u8(opcodeRun);
  writeDatabase(writer, database);
  writer.u32(count);
  writer.int64(delta);
  writer.bytesWithLength(bytes, start, end);
}

export function writeOperation(writer: ByteWriter, operation: Operation): void {
  switch (operation.type) {
    case "add":
      return writeRun(writer, operation.database, 1, operation.delta, operation.key, 0, operation.key.length);
    case "delete":
    case "getMany":
    case "exists":
      writeHead(writer, operation);
      return writeKeys(writer, operation.keys);
    case "setMany":
      return writeSetMany(writer, operation);
    case "flush":
      writer.u8(opcodes.flush);
      return operation.database === null ? writer.u8(everyDatabase) : writeDatabase(writer, operation.database);
    case "databaseSize":
      return writeHead(writer, operation);
    case "scan":
      writeHead(writer, operation);
      writer.varint(operation.cursor);
      writer.varint(operation.count);
      return writeOptionalBytes(writer, operation.pattern);
    case "keys":
      writeHead(writer, operation);
      return writer.bytesWithLength(operation.pattern);
    case "randomKey":
      writeHead(writer, operation);
      return writer.u32(operation.choice);
    default:
      writeHead(writer, operation);
      writer.bytesWithLength(operation.key);
      return writeKeyed(writer, operation);
  }
}

function writeHead(writer: ByteWriter, operation: Operation & { readonly database: Database }): void {
  writer.u8(opcodes[operation.type]);
  writeDatabase(writer, operation.database);
}

type KeyedOperation = Exclude<Extract<Operation, { readonly key: Uint8Array }>, { readonly type: "add" }>;

function writeKeyed(writer: ByteWriter, operation: KeyedOperation): void {
  switch (operation.type) {
    case "addDecimal":
      return writer.bytesWithLength(operation.increment);
    case "addWithin":
      return writeAddWithin(writer, operation);
    case "set":
      writer.bytesWithLength(operation.value);
      writer.u8(setConditions.indexOf(operation.condition));
      writeFlag(writer, operation.returnPrevious);
      return writeExpiry(writer, operation.expiry);
    case "getAndExpire":
      return writeExpiry(writer, operation.expiry);
    case "expire":
      writeExpiry(writer, operation.expiry);
      return writeConditions(writer, operation.conditions);
    case "bound":
      writeBoundEnd(writer, operation.minimum);
      writeBoundEnd(writer, operation.maximum);
      return writeFlag(writer, operation.force);
    case "compareAndSet":
      return writeCompareAndSet(writer, operation);
    case "timeToLive":
      writeFlag(writer, operation.unit === "s");
      return writeFlag(writer, operation.absolute);
    case "getAndDelete":
    case "persist":
    case "get":
    case "typeOf":
    case "describe":
    case "versionOf":
      return;
    default:
      return unreachable(operation);
  }
}

/** By number: what SET asks of the key. */
const setConditions: readonly Variant<"set">["condition"][] = ["always", "ifAbsent", "ifPresent"];

function writeSetMany(writer: ByteWriter, operation: Variant<"setMany">): void {
  writeHead(writer, operation);
  writeFlag(writer, operation.ifNoneExists);
  writeItemCount(writer, operation.pairs.length);
  for (const pair of operation.pairs) {
    writer.bytesWithLength(pair.key);
    writer.bytesWithLength(pair.value);
  }
}

function writeAddWithin(writer: ByteWriter, operation: Variant<"addWithin">): void {
  const by = operation.by;
  writeFlag(writer, by.type === "decimal");
  if (by.type === "integer") {
    writer.int64(by.delta);
    writeOptionalInt64(writer, by.lower);
    writeOptionalInt64(writer, by.upper);
  } else {
    writer.bytesWithLength(by.increment);
    writeOptionalBytes(writer, by.lower);
    writeOptionalBytes(writer, by.upper);
  }
  writeFlag(writer, operation.saturate);
  writeExpiry(writer, operation.expiry);
  writeFlag(writer, operation.expiryOnlyIfNone);
}

const expectAbsent = 0;
const expectValue = 1;
const expectVersion = 2;

function writeCompareAndSet(writer: ByteWriter, operation: Variant<"compareAndSet">): void {
  const expected = operation.expected;
  switch (expected.type) {
    case "absent":
      writer.u8(expectAbsent);
      break;
    case "value":
      writer.u8(expectValue);
      writer.int64(expected.value);
      break;
    case "version":
      writer.u8(expectVersion);
      writePosition(writer, expected.version);
      break;
    default:
      return unreachable(expected);
  }
  writer.int64(operation.value);
}

/**
 * The next operation. Byte strings are views of what the reader reads.
 * A run of more than one add is no operation: only a record's top level has those, and reads them itself.
 */
export function readOperation(reader: ByteReader): Operation {
  return readOperationBody(reader, reader.u8());
}

/** The rest of an operation whose opcode is read already. */
export function readOperationBody(reader: ByteReader, opcode: number): Operation {
  switch (opcode) {
    case opcodeRun:
      return readAdd(reader);
    case opcodes.delete:
      return { type: "delete", database: readDatabase(reader), keys: readKeys(reader) };
    case opcodes.getMany:
      return { type: "getMany", database: readDatabase(reader), keys: readKeys(reader) };
    case opcodes.exists:
      return { type: "exists", database: readDatabase(reader), keys: readKeys(reader) };
    case opcodes.setMany:
      return readSetMany(reader);
    case opcodes.flush:
      return readFlush(reader);
    case opcodes.databaseSize:
      return { type: "databaseSize", database: readDatabase(reader) };
    case opcodes.scan: {
      const database = readDatabase(reader);
      const cursor = reader.varint();
      const count = reader.varint();
      return { type: "scan", database, cursor, count, pattern: readOptionalBytes(reader) };
    }
    case opcodes.keys:
      return { type: "keys", database: readDatabase(reader), pattern: reader.bytes() };
    case opcodes.randomKey:
      return { type: "randomKey", database: readDatabase(reader), choice: reader.u32() };
    default: {
      const database = readDatabase(reader);
      return readKeyed(reader, opcode, database, reader.bytes());
    }
  }
}

function readKeyed(reader: ByteReader, opcode: number, database: Database, key: Uint8Array): Operation {
  switch (opcode) {
    case opcodes.addDecimal:
      return { type: "addDecimal", database, key, increment: reader.bytes() };
    case opcodes.addWithin:
      return readAddWithin(reader, database, key);
    case opcodes.set:
      return readSet(reader, database, key);
    case opcodes.getAndDelete:
      return { type: "getAndDelete", database, key };
    case opcodes.getAndExpire:
      return { type: "getAndExpire", database, key, expiry: readExpiry(reader) };
    case opcodes.expire:
      return readExpire(reader, database, key);
    case opcodes.persist:
      return { type: "persist", database, key };
    case opcodes.bound: {
      const minimum = readBoundEnd(reader);
      const maximum = readBoundEnd(reader);
      return { type: "bound", database, key, minimum, maximum, force: readFlag(reader) };
    }
    case opcodes.compareAndSet: {
      const expected = readExpected(reader);
      return { type: "compareAndSet", database, key, expected, value: reader.int64() };
    }
    case opcodes.get:
      return { type: "get", database, key };
    case opcodes.typeOf:
      return { type: "typeOf", database, key };
    case opcodes.timeToLive: {
      const unit = readFlag(reader) ? "s" : "ms";
      return { type: "timeToLive", database, key, unit, absolute: readFlag(reader) };
    }
    case opcodes.describe:
      return { type: "describe", database, key };
    case opcodes.versionOf:
      return { type: "versionOf", database, key };
    default:
      throw new DecodeError(`unknown opcode ${opcode}`);
  }
}

function readAdd(reader: ByteReader): Operation {
  const database = readDatabase(reader);
  const count = reader.u32();
  if (count !== 1) throw new DecodeError(`a run of ${count} where one operation belongs`);
  const delta = reader.int64();
  return { type: "add", database, key: reader.bytes(), delta };
}

function readSetMany(reader: ByteReader): Operation {
  const database = readDatabase(reader);
  const ifNoneExists = readFlag(reader);
  const count = reader.itemCount(itemsMax, 2);
  const pairs: { key: Uint8Array; value: Uint8Array }[] = [];
  for (let index = 0; index < count; index++) {
    const key = reader.bytes();
    pairs.push({ key, value: reader.bytes() });
  }
  return { type: "setMany", database, pairs, ifNoneExists };
}

function readFlush(reader: ByteReader): Operation {
  const database = reader.u8();
  if (database === everyDatabase) return { type: "flush", database: null };
  if (database >= databaseCount) throw new DecodeError(`no database ${database}`);
  return { type: "flush", database };
}

function readAddWithin(reader: ByteReader, database: Database, key: Uint8Array): Operation {
  let by: Variant<"addWithin">["by"];
  if (readFlag(reader)) {
    const increment = reader.bytes();
    const lower = readOptionalBytes(reader);
    by = { type: "decimal", increment, lower, upper: readOptionalBytes(reader) };
  } else {
    const delta = reader.int64();
    const lower = readOptionalInt64(reader);
    by = { type: "integer", delta, lower, upper: readOptionalInt64(reader) };
  }
  const saturate = readFlag(reader);
  const expiry = readExpiry(reader);
  return { type: "addWithin", database, key, by, saturate, expiry, expiryOnlyIfNone: readFlag(reader) };
}

function readSet(reader: ByteReader, database: Database, key: Uint8Array): Operation {
  const value = reader.bytes();
  const condition = setConditions[reader.u8()];
  if (condition === undefined) throw new DecodeError("unknown condition of a set");
  const returnPrevious = readFlag(reader);
  return { type: "set", database, key, value, condition, returnPrevious, expiry: readExpiry(reader) };
}

function readExpire(reader: ByteReader, database: Database, key: Uint8Array): Operation {
  const expiry = readExpiry(reader);
  if (expiry.type !== "in" && expiry.type !== "at") throw new DecodeError("expire without a time");
  return { type: "expire", database, key, expiry, conditions: readConditions(reader) };
}

function readExpected(reader: ByteReader): Variant<"compareAndSet">["expected"] {
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
