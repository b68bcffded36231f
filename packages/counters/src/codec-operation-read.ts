/** Operations out of bytes; the layout is in codec-operation-write.ts. Byte strings are views of what is read. */
import { type ByteReader, DecodeError } from "@quipu/core";
import {
  itemsMax,
  readBoundEnd,
  readConditions,
  readDatabase,
  readDatabaseOrAll,
  readExpectation,
  readExpiry,
  readFlag,
  readKeys,
  readOptionalBytes,
  readOptionalInt64,
  readSetCondition,
} from "./codec-fields.ts";
import { opcodeRun, opcodes } from "./opcodes.ts";
import type { Database, Operation } from "./operations.ts";

type Variant<Type extends Operation["type"]> = Extract<Operation, { readonly type: Type }>;

/**
 * The next operation.
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
      return { type: "flush", database: readDatabaseOrAll(reader) };
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
      const expected = readExpectation(reader);
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
  const condition = readSetCondition(reader);
  const returnPrevious = readFlag(reader);
  return { type: "set", database, key, value, condition, returnPrevious, expiry: readExpiry(reader) };
}

function readExpire(reader: ByteReader, database: Database, key: Uint8Array): Operation {
  const expiry = readExpiry(reader);
  if (expiry.type !== "in" && expiry.type !== "at") throw new DecodeError("expire without a time");
  return { type: "expire", database, key, expiry, conditions: readConditions(reader) };
}
