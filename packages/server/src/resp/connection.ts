/**
 * One RESP connection: parses what came, hands it to the replica, writes what comes back, in order.
 *
 * It is the replica's {@link Caller} itself: a reply costs no object. Order needs no queue of replies because of
 * three rules: behind unfinished writes everything rides in the replica's batches; a linearizable read may only
 * have reads before it; whatever would overtake a waiting read waits (the command is held, the socket paused).
 */
import type { Socket } from "node:net";
import type { Caller, ReplicaDoor } from "@quipu/cluster";
import type { Int64, QuipuError } from "@quipu/core";
import type { Command, OutcomeValue, ReadOperation } from "@quipu/counters";
import { RespRequestParser, type RespVersion, type RespWriter } from "@quipu/protocol";
import { copyOf } from "./byte-slices.ts";
import type { CommandArguments } from "./command-arguments.ts";
import type { Plan } from "./command.ts";
import type { ClientState, DoorServices, ReplyContext, ReplyMode, RespConnection } from "./connection-face.ts";
import { dispatch } from "./dispatch.ts";
import { Fifo } from "./fifo.ts";
import { type HotConnection, HotPath, hotPathNotTaken, hotPathStarted } from "./hot-path.ts";
import { isRead, Reading } from "./reading.ts";
import { Replies } from "./replies.ts";
import { formatByContext, formatInteger, type ReplyFormat, silentFlag } from "./reply-format.ts";
import { TransactionState } from "./transaction-state.ts";

/** What a connection tells its door. */
export interface ConnectionOwner extends DoorServices {
  connectionClosed(connection: Connection): void;
  /** The replica takes no more: call {@link Connection.resume} now and then. */
  connectionStalled(connection: Connection): void;
}

export class Connection implements RespConnection, HotConnection, Caller {
  readonly client: ClientState;
  readonly door: ConnectionOwner;
  readonly transaction: TransactionState = new TransactionState();
  /** Never both > 0. */
  pendingOrdered = 0;
  pendingReads = 0;
  replyMode: ReplyMode = "on";

  readonly #replica: ReplicaDoor;
  readonly #socket: Socket;
  readonly #parser = new RespRequestParser();
  readonly #replies: Replies;
  readonly #reading: Reading;
  readonly #hotPath: HotPath;
  /** Chunks that came while a command was held. */
  readonly #backlog = new Fifo<Uint8Array>();

  /** Authenticated, not in MULTI, replies on: the fast path may be taken. */
  #isPlain = false;
  /** `silentFlag` while the command under way gets no reply. */
  #silence = 0;
  #isRunning = false;
  /** The parser's present command waits to be tried again. */
  #isHeld = false;
  /** Its words, if they have been copied already. */
  #heldWords: CommandArguments | undefined;
  /** Input waits: a command is held, or too much is pending or unsent. The socket is paused. */
  #isBlocked = false;
  #isResumeScheduled = false;
  /** When the replica first refused this connection, monotonic ms; 0: it did not. */
  #stalledSinceMs = 0;
  /** Within replica.read(): a failure is a refusal on the spot. */
  #isReading = false;
  #readRefusal: QuipuError | undefined;
  /** Nothing more is read; ends once everything is answered. */
  #isClosing = false;
  /** The client has ended its side. */
  #hasEnded = false;

  constructor(door: ConnectionOwner, socket: Socket, id: number) {
    this.door = door;
    this.#replica = door.replica;
    this.#socket = socket;
    this.client = newClient(door, socket, id);
    this.#replies = new Replies(socket, door.limits, door.statistics);
    this.#reading = new Reading(door.replica, this.client);
    this.#hotPath = new HotPath(this, this.#parser, this.#replies, this.#reading);
    this.setAuthenticated(this.client.isAuthenticated);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("end", () => this.#ended());
    // "close" follows; a client that goes away is nothing to report.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => door.connectionClosed(this));
  }

  // RespConnection

  get protocol(): RespVersion {
    return this.#replies.version;
  }

  set protocol(version: RespVersion) {
    this.#replies.version = version;
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
    if (this.#silence !== 0) {
      this.#replies.writeNowhere(write);
    } else if (this.pendingOrdered === 0) {
      this.#replies.writeNow(write);
    } else {
      this.#replies.writeLater(write);
      this.pendingOrdered += 1;
      this.#replica.ride(this, 0);
    }
  }

  submit({ operation, format }: Plan): boolean {
    const tag = format | this.#silence;
    if (isRead(operation)) return this.read(operation, tag);
    if (!this.mayWrite()) return false;
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
    if (context !== undefined) this.#replies.pushContext(context);
    this.pendingOrdered += 1;
    this.#replica.write(this, format | this.#silence, command);
  }

  submitRead({ operation, format }: Plan, context: ReplyContext): void {
    this.#replies.pushContext(context);
    if (isRead(operation)) this.read(operation, format | this.#silence);
  }

  closeWhenAnswered(): void {
    this.#isClosing = true;
    this.#closeIfAnswered();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  // Caller

  deliverInteger(tag: number, value: Int64): void {
    this.#settle();
    if (tag === formatInteger) this.#replies.writer.integer(value);
    else this.#replies.answer(tag, { type: "integer", value });
  }

  deliver(tag: number, outcome: OutcomeValue): void {
    this.#settle();
    this.#replies.answer(tag, outcome);
  }

  fail(tag: number, error: QuipuError): void {
    if (this.#isReading) {
      // Earlier reads may still be waiting, so nothing is written here.
      this.#readRefusal = error;
      return;
    }
    this.#settle();
    this.#replies.fail(tag, error, false);
  }

  ride(): void {
    this.#settle();
    this.#replies.writeRide();
  }

  flush(): void {
    this.#reading.seenLsn = this.#replica.deliveringLsn;
    // Within our own turn, its end sends.
    if (this.#isRunning) return;
    this.#replies.send();
    if (this.#isBlocked) this.#scheduleResume();
    this.#closeIfAnswered();
  }

  /** One pending command is answered. */
  #settle(): void {
    if (this.pendingReads > 0) this.pendingReads -= 1;
    else this.pendingOrdered -= 1;
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
    this.#replies.isFull = false;
    this.resume();
  }

  /** Takes commands until there are none, or one has to wait; then sends the replies. */
  #run(): void {
    if (this.#isRunning || this.#socket.destroyed) return;
    this.#isRunning = true;
    this.#reading.beginTurn();
    let isBlocked = false;
    try {
      isBlocked = !this.#work();
    } finally {
      this.#isRunning = false;
      this.#replies.send();
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
    const { statistics, limits } = this.door;
    const replies = this.#replies;
    while (!this.#isClosing && !this.#socket.destroyed) {
      if (replies.writer.length > limits.outputPauseBytes) replies.send();
      if (replies.isFull || this.pendingOrdered + this.pendingReads >= limits.pendingCommandsMax) return false;
      if (!this.#isHeld) {
        const event = this.#parser.next();
        if (event === "more") {
          const chunk = this.#backlog.shift();
          if (chunk === undefined) return true;
          this.#parser.feed(chunk);
          continue;
        }
        if (event === "error") return this.#endOnProtocolError();
        statistics.commands += 1;
      }
      this.#isHeld = !this.#startCommand();
      if (this.#isHeld) return false;
    }
    return true;
  }

  /** As Redis does: the reasons, then the end. */
  #endOnProtocolError(): boolean {
    if (this.pendingReads > 0) return false;
    this.#silence = 0;
    this.replyLocally((reply) => reply.error(this.#parser.errorText ?? "ERR Protocol error"));
    this.#isClosing = true;
    return true;
  }

  /** Starts the parser's present command. False: it has to wait. */
  #startCommand(): boolean {
    if (this.#isPlain) {
      const taken = this.#hotPath.start();
      if (taken !== hotPathNotTaken) return taken === hotPathStarted;
    }
    const modeBefore = this.replyMode;
    this.#silence = modeBefore === "on" ? 0 : silentFlag;
    const words = this.#heldWords ?? this.#copyWords();
    const isStarted = dispatch(this, words);
    this.#heldWords = isStarted ? undefined : words;
    if (isStarted && modeBefore === "skip" && this.replyMode === "skip") this.setReplyMode("on");
    return isStarted;
  }

  /** The command's words, copied in one piece: they may be queued, or wait with a read. */
  #copyWords(): CommandArguments {
    const parser = this.#parser;
    const start = parser.argumentStart(0);
    const copy = copyOf(parser.bytes, start, parser.argumentEnd(parser.argumentCount - 1));
    const words: Uint8Array[] = [];
    for (let index = 0; index < parser.argumentCount; index++) {
      words.push(copy.subarray(parser.argumentStart(index) - start, parser.argumentEnd(index) - start));
    }
    return words;
  }

  // Order

  /** A write must not overtake waiting reads, and waits a while for an overloaded replica. */
  mayWrite(): boolean {
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

  /** False: it has to wait, and be tried again. */
  read(operation: ReadOperation, tag: number): boolean {
    if (this.pendingOrdered > 0) {
      this.pendingOrdered += 1;
      this.#replica.readInOrder(this, tag, operation);
      return true;
    }
    const machine = this.pendingReads === 0 ? this.#reading.machineNow() : null;
    if (machine !== null) {
      this.#replies.answer(tag, machine.read(operation));
      return true;
    }
    this.pendingReads += 1;
    this.#readRefusal = undefined;
    this.#isReading = true;
    const isSession = this.client.readMode.type === "session";
    if (isSession) this.#replica.readAfter(this, tag, this.#reading.position(), operation);
    else this.#replica.read(this, tag, operation);
    this.#isReading = false;
    return this.#readRefusal === undefined || this.#refuseRead(tag, this.#readRefusal);
  }

  /** The replica did not take the read. Behind other reads it is tried again, else the client is told. */
  #refuseRead(tag: number, error: QuipuError): boolean {
    this.pendingReads -= 1;
    // With a context (WATCH) only the last of several reads writes, so nothing is overtaken.
    const hasContext = (tag & formatByContext) === formatByContext;
    if (this.pendingReads > 0 && !hasContext) return false;
    this.#replies.fail(tag, error, true);
    return true;
  }

  #closeIfAnswered(): void {
    if (this.#isRunning || this.pendingOrdered + this.pendingReads > 0) return;
    if (!this.#isClosing && (!this.#hasEnded || this.#isBlocked)) return;
    this.#replies.send();
    this.#socket.destroySoon();
  }
}

function newClient(door: DoorServices, socket: Socket, id: number): ClientState {
  const nowMs = door.clock.monotonicMs();
  return {
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
}
