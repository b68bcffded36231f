/**
 * The commands that must be fast, straight from the parser's bytes into the replica: no strings, no objects, no copies
 * but the replica's own. Whatever is unusual about one (arity, length, a malformed number) goes the general way.
 */
import type { Caller, ReplicaDoor } from "@quipu/cluster";
import { type Int64, int64Parse } from "@quipu/core";
import type { ReadOperation } from "@quipu/counters";
import type { RespRequestParser } from "@quipu/protocol";
import { copyOf, viewOf } from "./byte-slices.ts";
import { expiryCleared } from "./command-arguments.ts";
import { submitBatch } from "./commands/batch.ts";
import type { RespConnection } from "./connection-face.ts";
import { hotBatch, hotCommand, hotDecr, hotGet, hotIncr, hotIncrBy, hotOnce, hotPing, hotSet } from "./hot-commands.ts";
import { keyBytesMax, valueBytesMax } from "./limits.ts";
import type { Reading } from "./reading.ts";
import { Refusal } from "./refusal.ts";
import type { Replies } from "./replies.ts";
import { formatBulk, formatInteger, formatStatus, type ReplyFormat } from "./reply-format.ts";
import { timeOfUuid7 } from "./uuid7.ts";

/** What became of a command. */
export const hotPathNotTaken = 0;
export const hotPathStarted = 1;
/** It must wait: call again. */
export const hotPathHeld = 2;

/** The connection, as the fast path uses it. */
export interface HotConnection extends RespConnection, Caller {
  pendingOrdered: number;
  mayWrite(): boolean;
  read(operation: ReadOperation, tag: number): boolean;
}

const pong = new TextEncoder().encode("+PONG\r\n");

export class HotPath {
  readonly #connection: HotConnection;
  readonly #parser: RespRequestParser;
  readonly #replica: ReplicaDoor;
  readonly #replies: Replies;
  readonly #reading: Reading;
  readonly #retentionMs: number;
  /** Reused for every Q.ONCE. */
  readonly #onceId: { bytes: Uint8Array; start: number; end: number } = { bytes: new Uint8Array(0), start: 0, end: 0 };

  constructor(connection: HotConnection, parser: RespRequestParser, replies: Replies, reading: Reading) {
    this.#connection = connection;
    this.#parser = parser;
    this.#replica = connection.door.replica;
    this.#replies = replies;
    this.#reading = reading;
    this.#retentionMs = connection.door.idempotencyRetentionMs;
  }

  /** Starts the parser's present command if it is a hot one. */
  start(): number {
    const parser = this.#parser;
    const { bytes } = parser;
    const count = parser.argumentCount;
    switch (hotCommand(bytes, parser.argumentStart(0), parser.argumentEnd(0))) {
      case hotIncr:
        return count === 2 && this.#hasShortKey(1) ? this.#add(bytes, "incr", 1) : hotPathNotTaken;
      case hotDecr:
        return count === 2 && this.#hasShortKey(1) ? this.#add(bytes, "decr", -1) : hotPathNotTaken;
      case hotIncrBy:
        return count === 3 && this.#hasShortKey(1) ? this.#addBy(bytes) : hotPathNotTaken;
      case hotGet:
        return count === 2 && this.#hasShortKey(1) ? this.#get(bytes) : hotPathNotTaken;
      case hotSet:
        return count === 3 && this.#hasShortKey(1) ? this.#set(bytes) : hotPathNotTaken;
      case hotPing:
        return count === 1 ? this.#ping() : hotPathNotTaken;
      case hotOnce:
        return count === 4 && this.#hasShortKey(1) && this.#hasShortKey(3) ? this.#onceIncr(bytes) : hotPathNotTaken;
      case hotBatch:
        return this.#batch();
      default:
        return hotPathNotTaken;
    }
  }

  #hasShortKey(index: number): boolean {
    return this.#parser.argumentEnd(index) - this.#parser.argumentStart(index) <= keyBytesMax;
  }

  #add(bytes: Uint8Array, name: string, delta: Int64): number {
    const connection = this.#connection;
    if (!connection.mayWrite()) return hotPathHeld;
    const { client } = connection;
    const parser = this.#parser;
    client.lastCommand = name;
    connection.pendingOrdered += 1;
    const start = parser.argumentStart(1);
    this.#replica.add(connection, formatInteger, client.database, bytes, start, parser.argumentEnd(1), delta);
    return hotPathStarted;
  }

  #addBy(bytes: Uint8Array): number {
    const delta = int64Parse(bytes, this.#parser.argumentStart(2), this.#parser.argumentEnd(2));
    return delta === undefined ? hotPathNotTaken : this.#add(bytes, "incrby", delta);
  }

  /** `Q.ONCE id INCR key`, without AT. */
  #onceIncr(bytes: Uint8Array): number {
    const connection = this.#connection;
    const parser = this.#parser;
    const id = this.#onceId;
    id.bytes = bytes;
    id.start = parser.argumentStart(1);
    id.end = parser.argumentEnd(1);
    const isIncr = hotCommand(bytes, parser.argumentStart(2), parser.argumentEnd(2)) === hotIncr;
    if (!isIncr || id.start === id.end) return hotPathNotTaken;
    if (!connection.mayWrite()) return hotPathHeld;
    const { client } = connection;
    client.lastCommand = "q.once";
    connection.pendingOrdered += 1;
    this.#replica.onceAdd(
      connection,
      formatInteger,
      id,
      this.#retentionMs,
      timeOfUuid7(bytes, id.start, id.end),
      client.database,
      bytes,
      parser.argumentStart(3),
      parser.argumentEnd(3),
      1,
    );
    return hotPathStarted;
  }

  #set(bytes: Uint8Array): number {
    const connection = this.#connection;
    const parser = this.#parser;
    const valueStart = parser.argumentStart(2);
    const valueEnd = parser.argumentEnd(2);
    if (valueEnd - valueStart > valueBytesMax) return hotPathNotTaken;
    if (!connection.mayWrite()) return hotPathHeld;
    connection.client.lastCommand = "set";
    connection.pendingOrdered += 1;
    // Views: the replica encodes a write before it returns.
    this.#replica.write(connection, formatStatus, {
      type: "set",
      database: connection.client.database,
      key: viewOf(bytes, parser.argumentStart(1), parser.argumentEnd(1)),
      value: viewOf(bytes, valueStart, valueEnd),
      condition: "always",
      returnPrevious: false,
      expiry: expiryCleared,
    });
    return hotPathStarted;
  }

  #get(bytes: Uint8Array): number {
    const connection = this.#connection;
    const { client } = connection;
    const start = this.#parser.argumentStart(1);
    const end = this.#parser.argumentEnd(1);
    client.lastCommand = "get";
    const isFirst = connection.pendingOrdered === 0 && connection.pendingReads === 0;
    const machine = isFirst ? this.#reading.machineNow() : null;
    if (machine === null) {
      const operation: ReadOperation = { type: "get", database: client.database, key: copyOf(bytes, start, end) };
      const format: ReplyFormat = formatBulk;
      return connection.read(operation, format) ? hotPathStarted : hotPathHeld;
    }
    const handle = machine.find(client.database, bytes, start, end);
    if (handle < 0) {
      this.#replies.writer.null();
    } else {
      const value = machine.valueOf(handle);
      if (typeof value === "object") this.#replies.writer.bulk(value);
      else this.#replies.writer.bulkInteger(value);
    }
    return hotPathStarted;
  }

  #ping(): number {
    const connection = this.#connection;
    if (connection.pendingOrdered + connection.pendingReads > 0) return hotPathNotTaken;
    connection.client.lastCommand = "ping";
    this.#replies.writer.raw(pong);
    return hotPathStarted;
  }

  #batch(): number {
    const connection = this.#connection;
    if (!connection.mayWrite()) return hotPathHeld;
    connection.client.lastCommand = "q.batch";
    try {
      submitBatch(connection, this.#parser);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      connection.door.statistics.errorReplies += 1;
      connection.replyLocally((reply) => reply.error(error.text));
    }
    return hotPathStarted;
  }
}
