/**
 * One RESP connection: parses what came, hands it to the replica, writes what comes back, in order.
 *
 * It is the replica's {@link Caller} itself: a reply costs no object. Order needs no queue of replies because of
 * three rules: behind unfinished writes everything rides in the replica's batches; a linearizable read may only
 * have reads before it; whatever would overtake a waiting read waits (the command is held, the socket paused).
 */
import type { Socket } from "node:net";
import type { Caller, ReplicaDoor } from "@quipu/cluster";
import { type Int64, int64Parse, type Lsn, lsn, type QuipuError } from "@quipu/core";
import type { Command, CounterMachine, Operation, OutcomeValue, ReadOperation } from "@quipu/counters";
import { RespRequestParser, type RespVersion, RespWriter } from "@quipu/protocol";
import { copyOf, viewOf } from "./byte-slices.ts";
import { expiryCleared, type CommandArguments } from "./command-arguments.ts";
import type { Plan } from "./command.ts";
import { submitBatch } from "./commands/batch.ts";
import type { ClientState, DoorServices, ReplyContext, ReplyMode, RespConnection } from "./connection-face.ts";
import { dispatch } from "./dispatch.ts";
import { Fifo } from "./fifo.ts";
import {
  hotBatch,
  hotCommand,
  hotDecr,
  hotGet,
  hotIncr,
  hotIncrBy,
  hotNone,
  hotOnce,
  hotPing,
  hotSet,
} from "./hot-commands.ts";
import { keyBytesMax, valueBytesMax } from "./limits.ts";
import { failureText, Refusal } from "./refusal.ts";
import {
  formatBulk,
  formatByContext,
  formatInteger,
  formatStatus,
  type ReplyFormat,
  silentFlag,
  writeOutcome,
} from "./reply-format.ts";
import { TransactionState } from "./transaction-state.ts";
import { timeOfUuid7 } from "./uuid7.ts";

/** What a connection tells its door. */
export interface ConnectionOwner extends DoorServices {
  connectionClosed(connection: Connection): void;
  /** The replica takes no more: call {@link Connection.resume} now and then. */
  connectionStalled(connection: Connection): void;
}

const pong = new TextEncoder().encode("+PONG\r\n");

const readTypes: Readonly<Record<ReadOperation["type"], true>> = {
  get: true,
  getMany: true,
  exists: true,
  typeOf: true,
  timeToLive: true,
  databaseSize: true,
  scan: true,
  keys: true,
  randomKey: true,
  describe: true,
  versionOf: true,
};

function isRead(operation: Operation): operation is ReadOperation {
  return operation.type in readTypes;
}

export class Connection implements RespConnection, Caller {
  readonly client: ClientState;
  readonly door: ConnectionOwner;
  readonly transaction: TransactionState = new TransactionState();
  pendingOrdered = 0;
  pendingReads = 0;
  replyMode: ReplyMode = "on";

  readonly #replica: ReplicaDoor;
  readonly #socket: Socket;
  readonly #parser = new RespRequestParser();
  readonly #writer: RespWriter = new RespWriter(2, Buffer.allocUnsafe);
  /** Replies that are not sent, or not yet: behind pending ones, or under CLIENT REPLY OFF. */
  readonly #scratch: RespWriter = new RespWriter(2);
  /** For replies with {@link formatByContext}, in the order of the replies. */
  readonly #contexts = new Fifo<ReplyContext>();
  /** Ready replies that ride behind unfinished commands. */
  readonly #rides = new Fifo<Uint8Array>();
  /** Reused for every Q.ONCE. */
  readonly #onceId: { bytes: Uint8Array; start: number; end: number } = { bytes: new Uint8Array(0), start: 0, end: 0 };

  /** Authenticated, not in MULTI, replies on: the fast path may be taken. */
  #isPlain = false;
  /** `silentFlag` while the command under way gets no reply. */
  #silence = 0;
  /** Chunks that came while a command was held. */
  readonly #backlog = new Fifo<Uint8Array>();
  #isRunning = false;
  /** The parser's present command waits to be tried again. */
  #isHeld = false;
  /** Its words, if they have been copied already. */
  #heldWords: CommandArguments | undefined;
  /** Input waits: a command is held, or too much is pending or unsent. */
  #isBlocked = false;
  #isResumeScheduled = false;
  #isOutputFull = false;
  /** When the replica first refused this connection, monotonic ms; 0: it did not. */
  #stalledSinceMs = 0;
  #readWasRefused: QuipuError | undefined;
  #isReading = false;
  /** The machine for reads in this turn; undefined: not asked yet, null: reads must wait. */
  #readable: CounterMachine | null | undefined;
  /** The newest record that a reply of this connection came from. */
  #seenLsn: Lsn = lsn(0);
  /** Nothing more is read; ends once everything is answered. */
  #isClosing = false;
  /** The client has ended its side. */
  #hasEnded = false;
  #isDestroyed = false;

  constructor(door: ConnectionOwner, socket: Socket, id: number) {
    const nowMs = door.clock.monotonicMs();
    this.door = door;
    this.#replica = door.replica;
    this.#socket = socket;
    this.client = {
      id,
      address: `${socket.remoteAddress ?? ""}:${socket.remotePort ?? 0}`,
      localAddress: `${socket.localAddress ?? ""}:${socket.localPort ?? 0}`,
      connectedAtMs: nowMs,
      lastActiveAtMs: nowMs,
      name: "",
      libraryName: "",
      libraryVersion: "",
      lastCommand: "NULL",
      database: 0,
      isNoEvict: false,
      isAuthenticated: !door.isAuthenticationRequired,
      readMode: { type: "linearizable" },
    };
    this.setAuthenticated(this.client.isAuthenticated);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("end", () => this.#ended());
    // "close" follows; a client that goes away is nothing to report.
    socket.on("error", () => this.destroy());
    socket.on("close", () => {
      this.#isDestroyed = true;
      door.connectionClosed(this);
    });
  }

  // RespConnection

  get protocol(): RespVersion {
    return this.#writer.version;
  }

  set protocol(version: RespVersion) {
    this.#writer.version = version;
    this.#scratch.version = version;
  }

  get hasOutput(): boolean {
    return this.#socket.writableLength > 0;
  }

  setReplyMode(mode: ReplyMode): void {
    this.replyMode = mode;
    if (mode === "on") this.#silence = 0;
    this.#updatePlain();
  }

  setAuthenticated(isAuthenticated: boolean): void {
    this.client.isAuthenticated = isAuthenticated;
    this.#parser.authenticated = isAuthenticated;
    this.#updatePlain();
  }

  transactionChanged(): void {
    this.#updatePlain();
  }

  #updatePlain(): void {
    this.#isPlain = this.client.isAuthenticated && !this.transaction.isOpen && this.replyMode === "on";
  }

  replyLocally(write: (reply: RespWriter) => void): void {
    const isDirect = this.pendingOrdered === 0 && this.#silence === 0;
    const reply = isDirect ? this.#writer : this.#scratch;
    const before = reply.length;
    try {
      write(reply);
    } catch (error) {
      reply.truncate(before);
      throw error;
    }
    if (isDirect) return;
    if (this.#silence !== 0) {
      reply.truncate(0);
      return;
    }
    this.#rides.push(reply.take());
    this.pendingOrdered += 1;
    this.#replica.ride(this, 0);
  }

  submit({ operation, format }: Plan): boolean {
    const tag = format | this.#silence;
    if (isRead(operation)) return this.#read(operation, tag);
    if (!this.#mayWrite()) return false;
    this.pendingOrdered += 1;
    if (operation.type === "add") {
      const { database, key, delta } = operation;
      this.#replica.add(this, tag, database, key, 0, key.length, delta);
    } else {
      this.#replica.write(this, tag, operation);
    }
    return true;
  }

  submitCommand(command: Command, format: ReplyFormat, context?: ReplyContext): void {
    if (context !== undefined) this.#contexts.push(context);
    this.pendingOrdered += 1;
    this.#replica.write(this, format | this.#silence, command);
  }

  submitRead({ operation, format }: Plan, context: ReplyContext): void {
    this.#contexts.push(context);
    if (isRead(operation)) this.#read(operation, format | this.#silence);
  }

  closeWhenAnswered(): void {
    this.#isClosing = true;
    this.#closeIfAnswered();
  }

  destroy(): void {
    this.#isDestroyed = true;
    this.#socket.destroy();
  }

  // Caller

  deliverInteger(tag: number, value: Int64): void {
    this.#settle();
    if (tag === formatInteger) this.#writer.integer(value);
    else if (tag < silentFlag) writeOutcome(this.#writer, { type: "integer", value }, tag);
  }

  deliver(tag: number, outcome: OutcomeValue): void {
    this.#settle();
    this.#answer(tag, outcome);
  }

  fail(tag: number, error: QuipuError): void {
    if (this.#isReading) {
      // Refused on the spot; earlier reads may still be waiting, so nothing is written here.
      this.#readWasRefused = error;
      return;
    }
    this.#settle();
    this.#writeFailure(tag, error, this.#contextOf(tag));
  }

  ride(): void {
    this.#settle();
    const bytes = this.#rides.shift();
    if (bytes !== undefined) this.#writer.raw(bytes);
  }

  flush(): void {
    if (this.#isDestroyed) return;
    this.#seenLsn = this.#replica.deliveringLsn;
    if (this.#isRunning) return;
    this.#send();
    if (this.#isBlocked) this.#scheduleResume();
    this.#closeIfAnswered();
  }

  // Input

  /** Tries again what had to wait. */
  resume(): void {
    if (this.#isBlocked) this.#run();
  }

  /** Not within the replica's delivery, which may be in the middle of a record. */
  #scheduleResume(): void {
    if (this.#isResumeScheduled) return;
    this.#isResumeScheduled = true;
    queueMicrotask(() => {
      this.#isResumeScheduled = false;
      this.resume();
    });
  }

  #received(chunk: Uint8Array): void {
    this.door.statistics.inputBytes += chunk.length;
    this.client.lastActiveAtMs = this.door.clock.monotonicMs();
    this.#backlog.push(chunk);
    if (!this.#isBlocked) this.#run();
  }

  #ended(): void {
    this.#hasEnded = true;
    this.#closeIfAnswered();
  }

  #drained(): void {
    this.#isOutputFull = false;
    this.resume();
  }

  /** Takes commands until there are none, or one has to wait. */
  #run(): void {
    if (this.#isRunning || this.#isDestroyed) return;
    this.#isRunning = true;
    this.#readable = undefined;
    let isBlocked = false;
    try {
      isBlocked = !this.#work();
    } finally {
      this.#isRunning = false;
      this.#send();
    }
    if (isBlocked !== this.#isBlocked) {
      this.#isBlocked = isBlocked;
      if (isBlocked) this.#socket.pause();
      else this.#socket.resume();
    }
    this.#closeIfAnswered();
  }

  /** True: all input is used up. */
  #work(): boolean {
    const { pendingCommandsMax, outputPauseBytes } = this.door.limits;
    const parser = this.#parser;
    let commands = 0;
    for (;;) {
      if (this.#isClosing || this.#isDestroyed) break;
      if (this.#writer.length > outputPauseBytes) this.#send();
      if (this.#isOutputFull || this.pendingOrdered + this.pendingReads >= pendingCommandsMax)
        return this.#count(commands, false);
      if (!this.#isHeld) {
        const event = parser.next();
        if (event === "more") {
          const chunk = this.#backlog.shift();
          if (chunk === undefined) break;
          parser.feed(chunk);
          continue;
        }
        if (event === "error") {
          if (this.pendingReads > 0) return this.#count(commands, false);
          this.#silence = 0;
          this.replyLocally((reply) => reply.error(parser.errorText ?? "ERR Protocol error"));
          this.#isClosing = true;
          break;
        }
        commands += 1;
      }
      this.#isHeld = !this.#command();
      if (this.#isHeld) return this.#count(commands, false);
    }
    return this.#count(commands, true);
  }

  #count(commands: number, isDone: boolean): boolean {
    this.door.statistics.commands += commands;
    return isDone;
  }

  /** Starts the parser's present command. False: it has to wait. */
  #command(): boolean {
    const parser = this.#parser;
    if (this.#isPlain) {
      const { bytes } = parser;
      switch (hotCommand(bytes, parser.argumentStart(0), parser.argumentEnd(0))) {
        case hotNone:
          break;
        case hotIncr:
          if (parser.argumentCount === 2 && hasShortKey(parser, 1)) return this.#add(bytes, "incr", 1);
          break;
        case hotDecr:
          if (parser.argumentCount === 2 && hasShortKey(parser, 1)) return this.#add(bytes, "decr", -1);
          break;
        case hotIncrBy:
          if (parser.argumentCount === 3 && hasShortKey(parser, 1)) {
            const delta = int64Parse(bytes, parser.argumentStart(2), parser.argumentEnd(2));
            if (delta !== undefined) return this.#add(bytes, "incrby", delta);
          }
          break;
        case hotGet:
          if (parser.argumentCount === 2 && hasShortKey(parser, 1)) return this.#get(bytes);
          break;
        case hotSet:
          if (parser.argumentCount === 3 && hasShortKey(parser, 1)) return this.#set(bytes);
          break;
        case hotPing:
          if (parser.argumentCount === 1 && this.pendingOrdered + this.pendingReads === 0) {
            this.client.lastCommand = "ping";
            this.#writer.raw(pong);
            return true;
          }
          break;
        case hotOnce:
          if (
            parser.argumentCount === 4 &&
            isIncr(parser, bytes, 2) &&
            hasShortKey(parser, 1) &&
            hasShortKey(parser, 3)
          ) {
            return this.#onceIncr(bytes);
          }
          break;
        case hotBatch:
          return this.#batch();
      }
    }
    return this.#dispatch();
  }

  #dispatch(): boolean {
    const modeBefore = this.replyMode;
    this.#silence = modeBefore === "on" ? 0 : silentFlag;
    const words = this.#heldWords ?? this.#words();
    const isStarted = dispatch(this, words);
    this.#heldWords = isStarted ? undefined : words;
    if (isStarted && modeBefore === "skip" && this.replyMode === "skip") this.setReplyMode("on");
    return isStarted;
  }

  /** The command's words, copied in one piece: they may be queued, or wait with a read. */
  #words(): CommandArguments {
    const parser = this.#parser;
    const start = parser.argumentStart(0);
    const copy = copyOf(parser.bytes, start, parser.argumentEnd(parser.argumentCount - 1));
    const words: Uint8Array[] = [];
    for (let index = 0; index < parser.argumentCount; index++) {
      words.push(copy.subarray(parser.argumentStart(index) - start, parser.argumentEnd(index) - start));
    }
    return words;
  }

  // Hot commands

  #add(bytes: Uint8Array, name: string, delta: Int64): boolean {
    if (!this.#mayWrite()) return false;
    const { client } = this;
    const parser = this.#parser;
    client.lastCommand = name;
    this.pendingOrdered += 1;
    this.#replica.add(
      this,
      formatInteger,
      client.database,
      bytes,
      parser.argumentStart(1),
      parser.argumentEnd(1),
      delta,
    );
    return true;
  }

  #onceIncr(bytes: Uint8Array): boolean {
    if (!this.#mayWrite()) return false;
    const { client, door } = this;
    const parser = this.#parser;
    const id = this.#onceId;
    id.bytes = bytes;
    id.start = parser.argumentStart(1);
    id.end = parser.argumentEnd(1);
    client.lastCommand = "q.once";
    this.pendingOrdered += 1;
    this.#replica.onceAdd(
      this,
      formatInteger,
      id,
      door.idempotencyRetentionMs,
      timeOfUuid7(bytes, id.start, id.end),
      client.database,
      bytes,
      parser.argumentStart(3),
      parser.argumentEnd(3),
      1,
    );
    return true;
  }

  #set(bytes: Uint8Array): boolean {
    const parser = this.#parser;
    const valueStart = parser.argumentStart(2);
    const valueEnd = parser.argumentEnd(2);
    if (valueEnd - valueStart > valueBytesMax) return this.#dispatch();
    if (!this.#mayWrite()) return false;
    this.client.lastCommand = "set";
    this.pendingOrdered += 1;
    // Views: the replica encodes a write before it returns.
    this.#replica.write(this, formatStatus, {
      type: "set",
      database: this.client.database,
      key: viewOf(bytes, parser.argumentStart(1), parser.argumentEnd(1)),
      value: viewOf(bytes, valueStart, valueEnd),
      condition: "always",
      returnPrevious: false,
      expiry: expiryCleared,
    });
    return true;
  }

  #get(bytes: Uint8Array): boolean {
    const { client } = this;
    const parser = this.#parser;
    const start = parser.argumentStart(1);
    const end = parser.argumentEnd(1);
    client.lastCommand = "get";
    if (this.pendingOrdered === 0 && this.pendingReads === 0) {
      const machine = this.#readableMachine();
      if (machine !== null) {
        const handle = machine.find(client.database, bytes, start, end);
        if (handle < 0) this.#writer.null();
        else {
          const value = machine.valueOf(handle);
          if (typeof value === "object") this.#writer.bulk(value);
          else this.#writer.bulkInteger(value);
        }
        return true;
      }
    }
    return this.#read({ type: "get", database: client.database, key: copyOf(bytes, start, end) }, formatBulk);
  }

  #batch(): boolean {
    if (!this.#mayWrite()) return false;
    this.client.lastCommand = "q.batch";
    try {
      submitBatch(this, this.#parser);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.door.statistics.errorReplies += 1;
      this.replyLocally((reply) => reply.error(error.text));
    }
    return true;
  }

  // Order

  /** A write must not overtake waiting reads, and waits a while for an overloaded replica. */
  #mayWrite(): boolean {
    if (this.pendingReads > 0) return false;
    if (!this.#replica.overloaded) {
      this.#stalledSinceMs = 0;
      return true;
    }
    const nowMs = this.door.clock.monotonicMs();
    if (this.#stalledSinceMs === 0) {
      this.#stalledSinceMs = nowMs;
      this.door.statistics.overloadWaits += 1;
    }
    // Waited long enough: the replica itself refuses it, in order.
    if (nowMs - this.#stalledSinceMs >= this.door.limits.overloadWaitMs) return true;
    this.door.connectionStalled(this);
    return false;
  }

  #read(operation: ReadOperation, tag: number): boolean {
    if (this.pendingOrdered > 0) {
      this.pendingOrdered += 1;
      this.#replica.readInOrder(this, tag, operation);
      return true;
    }
    const machine = this.pendingReads === 0 ? this.#readableMachine() : null;
    if (machine !== null) {
      this.#answer(tag, machine.read(operation));
      return true;
    }
    this.pendingReads += 1;
    this.#readWasRefused = undefined;
    this.#isReading = true;
    const { readMode } = this.client;
    if (readMode.type === "session") this.#replica.readAfter(this, tag, this.#sessionPosition(), operation);
    else this.#replica.read(this, tag, operation);
    this.#isReading = false;
    return this.#readWasRefused === undefined || this.#readRefused(tag, this.#readWasRefused);
  }

  /** The replica did not take the read. Behind other reads it is tried again, else the client is told. */
  #readRefused(tag: number, error: QuipuError): boolean {
    this.pendingReads -= 1;
    const hasContext = (tag & formatByContext) === formatByContext;
    if (this.pendingReads > 0 && !hasContext) return false;
    // With a context (WATCH) only the last of several reads writes, so nothing is overtaken.
    this.#writeFailure(tag, error, hasContext ? this.#contexts.pop() : undefined);
    return true;
  }

  /** Where this connection's reads may be evaluated now; null: they have to wait. One answer serves a whole turn. */
  #readableMachine(): CounterMachine | null {
    if (this.#readable !== undefined && this.client.readMode.type === "linearizable") return this.#readable;
    this.#readable = this.#findReadableMachine();
    return this.#readable;
  }

  #findReadableMachine(): CounterMachine | null {
    const replica = this.#replica;
    switch (this.client.readMode.type) {
      case "stale":
        return replica.machine;
      case "session":
        return replica.machine.appliedLsn >= this.#sessionPosition() ? replica.machine : null;
      default:
        return replica.readableNow() ?? null;
    }
  }

  #sessionPosition(): Lsn {
    const { readMode } = this.client;
    return readMode.type === "session" && readMode.position > this.#seenLsn ? readMode.position : this.#seenLsn;
  }

  // Output

  /** One pending command is answered. Reads and ordered commands are never pending together. */
  #settle(): void {
    if (this.pendingReads > 0) this.pendingReads -= 1;
    else this.pendingOrdered -= 1;
  }

  #contextOf(tag: number): ReplyContext | undefined {
    return (tag & formatByContext) === formatByContext ? this.#contexts.shift() : undefined;
  }

  #answer(tag: number, outcome: OutcomeValue): void {
    const context = this.#contextOf(tag);
    const isSilent = tag >= silentFlag;
    if (outcome.type === "error") this.door.statistics.errorReplies += 1;
    if (context !== undefined) context.write(isSilent ? this.#scratch : this.#writer, outcome);
    else if (!isSilent) writeOutcome(this.#writer, outcome, tag);
    if (isSilent) this.#scratch.truncate(0);
    if (this.#writer.length > this.door.limits.outputPauseBytes) this.#send();
  }

  #writeFailure(tag: number, error: QuipuError, context: ReplyContext | undefined): void {
    const isSilent = tag >= silentFlag;
    this.door.statistics.errorReplies += 1;
    if (context !== undefined) context.fail(isSilent ? this.#scratch : this.#writer, error);
    else if (!isSilent) this.#writer.error(failureText(error));
    if (isSilent) this.#scratch.truncate(0);
  }

  /** Everything written so far, in one write. */
  #send(): void {
    const { length } = this.#writer;
    if (length === 0) return;
    const bytes = this.#writer.take();
    if (this.#isDestroyed) return;
    this.door.statistics.outputBytes += length;
    this.#socket.write(bytes);
    const unsent = this.#socket.writableLength;
    if (unsent > this.door.limits.outputBytesMax) {
      this.door.statistics.slowReadersDisconnected += 1;
      this.destroy();
    } else if (unsent > this.door.limits.outputPauseBytes) {
      this.#isOutputFull = true;
    }
  }

  #closeIfAnswered(): void {
    if (this.#isDestroyed || this.#isRunning || this.pendingOrdered + this.pendingReads > 0) return;
    if (!this.#isClosing && (!this.#hasEnded || this.#isBlocked)) return;
    this.#send();
    this.#socket.destroySoon();
  }
}

function hasShortKey(parser: RespRequestParser, index: number): boolean {
  return parser.argumentEnd(index) - parser.argumentStart(index) <= keyBytesMax;
}

function isIncr(parser: RespRequestParser, bytes: Uint8Array, index: number): boolean {
  return hotCommand(bytes, parser.argumentStart(index), parser.argumentEnd(index)) === hotIncr;
}
