/**
 * Commands as bytes: an operation, or one of the three that wrap operations.
 *
 * Nesting is bounded by construction: once > transaction > operation is the deepest there is.
 * Layout of once, fixed so that a record builder can write it without objects:
 * `u8 opcode | id with length | varint retention | u8 0, or u8 1 and varint born | command`.
 */
import { type ByteReader, type ByteWriter, DecodeError } from "@quipu/core";
import {
  itemsMax,
  readDatabase,
  readFlag,
  readPosition,
  writeDatabase,
  writeFlag,
  writeItemCount,
  writePosition,
} from "./codec-fields.ts";
import { readOperation, readOperationBody } from "./codec-operation-read.ts";
import { writeOperation } from "./codec-operation-write.ts";
import { opcodeOnce, opcodes, opcodeSession, opcodeTransaction } from "./opcodes.ts";
import type { Command, OnceCommand, Operation, SessionCommand, TransactionCommand, Watch } from "./operations.ts";

export { readOperation } from "./codec-operation-read.ts";
export { runCountOffset, writeOperation, writeRun } from "./codec-operation-write.ts";
export { readOutcome, writeOutcome } from "./codec-outcome.ts";

/** The shortest operation: an opcode and a database. */
const operationBytesMin = 2;
/** The shortest watch: a database, a length, an LSN and an index. */
const watchBytesMin = 4;

export function writeCommand(writer: ByteWriter, command: Command): void {
  switch (command.type) {
    case "transaction":
      return writeTransaction(writer, command);
    case "once":
      writeOnceHead(writer, command.id, 0, command.id.length, command.retentionMs, command.bornAtMs);
      return writeCommand(writer, command.command);
    case "session":
      return writeSession(writer, command);
    default:
      return writeOperation(writer, command);
  }
}

/** Everything of a once command that stands before the command inside. */
export function writeOnceHead(
  writer: ByteWriter,
  id: Uint8Array,
  idStart: number,
  idEnd: number,
  retentionMs: number,
  bornAtMs: number | null,
): void {
  writer.u8(opcodeOnce);
  writer.bytesWithLength(id, idStart, idEnd);
  writer.varint(retentionMs);
  writeFlag(writer, bornAtMs !== null);
  if (bornAtMs !== null) writer.varint(bornAtMs);
}

function writeTransaction(writer: ByteWriter, command: TransactionCommand): void {
  writer.u8(opcodes.transaction);
  writeItemCount(writer, command.watches.length);
  for (const watch of command.watches) {
    writeDatabase(writer, watch.database);
    writer.bytesWithLength(watch.key);
    writePosition(writer, watch.version);
  }
  writeOperations(writer, command.operations);
}

function writeSession(writer: ByteWriter, command: SessionCommand): void {
  writer.u8(opcodes.session);
  writer.bytesWithLength(command.session);
  writer.varint(command.expiresAtMs);
  writer.varint(command.number);
  writer.varint(command.lowestOpen);
  writeOperations(writer, command.operations);
}

function writeOperations(writer: ByteWriter, operations: readonly Operation[]): void {
  writeItemCount(writer, operations.length);
  for (const operation of operations) writeOperation(writer, operation);
}

/** The next command. Byte strings are views of what the reader reads. Throws DecodeError. */
export function readCommand(reader: ByteReader): Command {
  const opcode = reader.u8();
  switch (opcode) {
    case opcodeTransaction:
      return readTransaction(reader);
    case opcodeOnce:
      return readOnce(reader);
    case opcodeSession:
      return readSession(reader);
    default:
      return readOperationBody(reader, opcode);
  }
}

function readOnce(reader: ByteReader): OnceCommand {
  const id = reader.bytes();
  const retentionMs = reader.varint();
  const bornAtMs = readFlag(reader) ? reader.varint() : null;
  const opcode = reader.u8();
  if (opcode === opcodeOnce || opcode === opcodeSession) throw new DecodeError(`opcode ${opcode} inside once`);
  const command = opcode === opcodeTransaction ? readTransaction(reader) : readOperationBody(reader, opcode);
  return { type: "once", id, retentionMs, bornAtMs, command };
}

function readTransaction(reader: ByteReader): TransactionCommand {
  const watchCount = reader.itemCount(itemsMax, watchBytesMin);
  const watches: Watch[] = [];
  for (let index = 0; index < watchCount; index++) {
    const database = readDatabase(reader);
    const key = reader.bytes();
    watches.push({ database, key, version: readPosition(reader) });
  }
  return { type: "transaction", watches, operations: readOperations(reader) };
}

function readSession(reader: ByteReader): SessionCommand {
  const session = reader.bytes();
  const expiresAtMs = reader.varint();
  const number = reader.varint();
  const lowestOpen = reader.varint();
  return { type: "session", session, expiresAtMs, number, lowestOpen, operations: readOperations(reader) };
}

function readOperations(reader: ByteReader): Operation[] {
  const count = reader.itemCount(itemsMax, operationBytesMin);
  const operations: Operation[] = [];
  for (let index = 0; index < count; index++) operations.push(readOperation(reader));
  return operations;
}
