/**
 * `Q.BATCH <session> <number> <lowest-open> <op> …`: one numbered batch of an SDK session, applied once (RIFL).
 *
 * Flat operations: `ADD key delta`, `GET key`, `SET key value`, `CAS key expected value` (`~`: must be absent),
 * `DEL key`. Answers [position "lsn-index", replayed 0|1, [reply per operation]].
 */
import { type Int64, int64Parse, type QuipuError } from "@quipu/core";
import type { Operation, OutcomeValue } from "@quipu/counters";
import type { RespWriter } from "@quipu/protocol";
import { viewOf } from "../byte-slices.ts";
import { type CommandArguments, expiryCleared } from "../command-arguments.ts";
import type { CommandEntry } from "../command.ts";
import type { ReplyContext, RespConnection } from "../connection-face.ts";
import { batchOperationsMax, keyBytesMax, valueBytesMax } from "../limits.ts";
import { failureText, notAnIntegerText, Refusal, wrongArity } from "../refusal.ts";
import {
  formatBulk,
  formatByContext,
  formatInteger,
  formatStatus,
  type ReplyFormat,
  writeOutcome,
} from "../reply-format.ts";
import { expiryOfSessionId } from "../session-id.ts";

const tilde = 126;

/** Words of the header, the command's name included. */
const headerWords = 4;

/** Operation names, as three lower-case letters packed into a number. */
const opAdd = pack("add");
const opGet = pack("get");
const opSet = pack("set");
const opCas = pack("cas");
const opDel = pack("del");

function pack(name: string): number {
  return (name.charCodeAt(0) << 16) | (name.charCodeAt(1) << 8) | name.charCodeAt(2);
}

/** Words that an operation takes, its name included; 0 for no operation. */
function wordsOf(op: number): number {
  if (op === opAdd || op === opSet) return 3;
  if (op === opGet || op === opDel) return 2;
  return op === opCas ? 4 : 0;
}

/** A command's words where the parser found them, which spares a view per word. */
export interface Words {
  readonly argumentCount: number;
  readonly bytes: Uint8Array;
  argumentStart(index: number): number;
  argumentEnd(index: number): number;
}

interface DecodedBatch {
  readonly operations: readonly Operation[];
  /** One per operation. */
  readonly formats: readonly ReplyFormat[];
}

function decode(words: Words, database: number): DecodedBatch {
  const operations: Operation[] = [];
  const formats: ReplyFormat[] = [];
  for (let at = headerWords; at < words.argumentCount;) {
    const op = opAt(words, at);
    const wordCount = wordsOf(op);
    if (wordCount === 0 || at + wordCount > words.argumentCount) {
      throw new Refusal(
        `ERR operation ${operations.length} of the batch is not ADD, GET, SET, CAS or DEL with its words`,
      );
    }
    if (operations.length === batchOperationsMax) {
      throw new Refusal(`ERR a batch holds at most ${batchOperationsMax} operations`);
    }
    operations.push(operationAt(op, words, at, database));
    formats.push(op === opGet ? formatBulk : op === opSet ? formatStatus : formatInteger);
    at += wordCount;
  }
  if (operations.length === 0) throw new Refusal("ERR the batch is empty");
  return { operations, formats };
}

function opAt(words: Words, index: number): number {
  const { bytes } = words;
  const start = words.argumentStart(index);
  if (words.argumentEnd(index) - start !== 3) return 0;
  const packed = ((bytes[start] as number) << 16) | ((bytes[start + 1] as number) << 8) | (bytes[start + 2] as number);
  return packed | 0x20_2020;
}

function operationAt(op: number, words: Words, at: number, database: number): Operation {
  const key = wordAt(words, at + 1);
  if (key.length > keyBytesMax) throw new Refusal(`ERR the key is longer than ${keyBytesMax} bytes`);
  switch (op) {
    case opAdd:
      return { type: "add", database, key, delta: numberAt(words, at + 2) };
    case opGet:
      return { type: "get", database, key };
    case opSet: {
      const value = wordAt(words, at + 2);
      if (value.length > valueBytesMax) throw new Refusal(`ERR the value is longer than ${valueBytesMax} bytes`);
      return { type: "set", database, key, value, condition: "always", returnPrevious: false, expiry: expiryCleared };
    }
    case opCas:
      return {
        type: "compareAndSet",
        database,
        key,
        expected: expectedAt(words, at + 2),
        value: numberAt(words, at + 3),
      };
    default:
      return { type: "delete", database, keys: [key] };
  }
}

function wordAt(words: Words, index: number): Uint8Array {
  return viewOf(words.bytes, words.argumentStart(index), words.argumentEnd(index));
}

function numberAt(words: Words, index: number): Int64 {
  const value = int64Parse(words.bytes, words.argumentStart(index), words.argumentEnd(index));
  if (value === undefined) throw new Refusal(notAnIntegerText);
  return value;
}

function expectedAt(words: Words, index: number): Extract<Operation, { type: "compareAndSet" }>["expected"] {
  const start = words.argumentStart(index);
  const isAbsent = words.argumentEnd(index) - start === 1 && words.bytes[start] === tilde;
  return isAbsent ? { type: "absent" } : { type: "value", value: numberAt(words, index) };
}

/** Decodes and submits; the operations are views of `words.bytes`, which the replica encodes before it returns. */
export function submitBatch(connection: RespConnection, words: Words): void {
  if (words.argumentCount < headerWords + 2) throw new Refusal(wrongArity("q.batch"));
  const session = wordAt(words, 1);
  const expiresAtMs = expiryOfSessionId(session);
  if (expiresAtMs === undefined) throw new Refusal("ERR no session id of Q.SESSION");
  const number = numberAt(words, 2);
  const lowestOpen = numberAt(words, 3);
  if (typeof number === "bigint" || typeof lowestOpen === "bigint" || lowestOpen < 1 || lowestOpen > number) {
    throw new Refusal("ERR the numbers of a batch must be 1 <= lowest open <= number");
  }
  const { operations, formats } = decode(words, connection.client.database);
  connection.submitCommand(
    { type: "session", session, expiresAtMs, number, lowestOpen, operations },
    formatByContext,
    new BatchContext(formats),
  );
}

/** The same words in one piece of memory. */
function joined(args: CommandArguments): Words {
  const bytes = new Uint8Array(args.reduce((sum, word) => sum + word.length, 0));
  const ends: number[] = [];
  let end = 0;
  for (const word of args) {
    bytes.set(word, end);
    end += word.length;
    ends.push(end);
  }
  return {
    argumentCount: args.length,
    bytes,
    argumentStart: (index) => (index === 0 ? 0 : (ends[index - 1] as number)),
    argumentEnd: (index) => ends[index] as number,
  };
}

class BatchContext implements ReplyContext {
  readonly #formats: readonly ReplyFormat[];

  constructor(formats: readonly ReplyFormat[]) {
    this.#formats = formats;
  }

  write(reply: RespWriter, outcome: OutcomeValue): void {
    const replies = outcome.type === "array" ? outcome.items[2] : undefined;
    if (outcome.type !== "array" || replies?.type !== "array") return writeOutcome(reply, outcome, formatInteger);
    reply.arrayHeader(3);
    writeOutcome(reply, outcome.items[0] as OutcomeValue, formatInteger);
    writeOutcome(reply, outcome.items[1] as OutcomeValue, formatInteger);
    const { items } = replies;
    reply.arrayHeader(items.length);
    for (let index = 0; index < items.length; index++) {
      writeOutcome(reply, items[index] as OutcomeValue, this.#formats[index] as ReplyFormat);
    }
  }

  fail(reply: RespWriter, error: QuipuError): void {
    reply.error(failureText(error));
  }
}

/** Keys of the operations; stops at what is no operation. */
function keysOf(args: CommandArguments): readonly number[] {
  const indexes: number[] = [];
  const decoder = new TextDecoder("latin1");
  for (let at = headerWords; at < args.length;) {
    const words = wordsOf(pack(decoder.decode(args[at]).toLowerCase().padEnd(3)));
    if (words === 0) break;
    indexes.push(at + 1);
    at += words;
  }
  return indexes;
}

export const batchCommands: readonly CommandEntry[] = [
  {
    name: "q.batch",
    arity: -6,
    flags: ["write", "denyoom", "no_multi", "movablekeys"],
    movableKeys: keysOf,
    group: "quipu",
    since: "0.1.0",
    summary: "Apply one numbered batch of an SDK session, at most once",
    complexity: "O(N) where N is the number of operations",
    action: { type: "flow", run: (connection, args) => submitBatch(connection, joined(args)) },
  },
];
