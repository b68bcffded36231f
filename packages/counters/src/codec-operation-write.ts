/**
 * Operations into bytes: opcode, database, key, then what the operation needs. Back: codec-operation-read.ts.
 *
 * A run of equal adds has a fixed layout, so that a record builder can raise its count in place:
 * `u8 opcode | u8 database | u32 count | int64 delta | varint key length | key`.
 */
import { type ByteWriter, type Int64, unreachable } from "@quipu/core";
import {
  writeBoundEnd,
  writeConditions,
  writeDatabase,
  writeDatabaseOrAll,
  writeExpectation,
  writeExpiry,
  writeFlag,
  writeItemCount,
  writeKeys,
  writeOptionalBytes,
  writeOptionalInt64,
  writeSetCondition,
} from "./codec-fields.ts";
import { opcodeRun, opcodes } from "./opcodes.ts";
import type { Database, Operation } from "./operations.ts";

/** Offset of the u32 count from the first byte of a run. */
export const runCountOffset = 2;

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
      return writeDatabaseOrAll(writer, operation.database);
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
      writeSetCondition(writer, operation.condition);
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
      writeExpectation(writer, operation.expected);
      return writer.int64(operation.value);
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
