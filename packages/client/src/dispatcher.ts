/**
 * Sends batches, several in flight, and sends them again until each is answered (RIFL; DESIGN §4.5).
 *
 * A batch keeps its session and number through every repetition, so the server applies it once. What ended
 * a former attempt without an answer makes the batch `inDoubt`: from then on it is never moved to another
 * session and never called definite.
 */
import { type ErrorCode, invariant, QuipuError } from "@quipu/core";
import { appendCommand, ReplyError, type ReplyValue, RespWriter } from "@quipu/protocol";
import { Backoff } from "./backoff.ts";
import { Batch, type OperationKind, type Reject, type Resolve } from "./batch.ts";
import { BatchQueue } from "./batch-queue.ts";
import type { Connection } from "./connection.ts";
import { batchesInFlightMax, bytesOpenMax, operationOverheadBytes, type ResolvedOptions } from "./options.ts";
import { replyErrorCode, replyQuipuError } from "./reply-errors.ts";
import { SessionSource } from "./session-source.ts";

/** Operations that share a batch while it cannot be sent share its deadline; they differ by this share of it. */
const deadlineSpread = 1 / 16;

export class Dispatcher {
  readonly #options: ResolvedOptions;
  readonly #queue = new BatchQueue();
  readonly #sessions: SessionSource;
  readonly #backoff: Backoff;
  readonly #out = new RespWriter(3, (bytes) => Buffer.allocUnsafe(bytes));
  /** Called when the server has done useful work. */
  readonly #onSuccess: () => void;
  #connection: Connection | undefined = undefined;
  /** Why there is no connection. */
  #lastLoss: QuipuError | undefined = undefined;
  /** Sent on the present connection and not answered, in order of sending. At most batchesInFlightMax. */
  readonly #inFlight = new Set<Batch>();
  /** Not settled, by sequence. */
  readonly #unsettled = new Set<Batch>();
  /** Operations in #unsettled. */
  #operations = 0;
  /** Their keys and an allowance for the rest. */
  #bytes = 0;
  /** Unsettled batches that have a number. While there are any, reads ride behind them. */
  #numbered = 0;
  #flushScheduled = false;
  /** After OVERLOADED or INDOUBT nothing is sent for a while. */
  #cancelPause: (() => void) | undefined = undefined;
  #cancelDeadline: (() => void) | undefined = undefined;
  #closed = false;

  constructor(options: ResolvedOptions, onSuccess: () => void) {
    this.#options = options;
    this.#onSuccess = onSuccess;
    this.#backoff = new Backoff(options.backoffFirstMs, options.backoffMaxMs, options.ports.random);
    this.#sessions = new SessionSource(options.sessionTtlMs, options.ports.clock);
  }

  /** Takes an operation; the caller appends its words (bulk strings) to the writer. Undefined: rejected. */
  begin(kind: OperationKind, key: string, words: number, resolve: Resolve, reject: Reject): RespWriter | undefined {
    if (this.#closed) {
      reject(new QuipuError("CONNECTION_LOST", "the client is closed", { outcome: "definite" }));
      return undefined;
    }
    if (this.#operations >= this.#options.operationsOpenMax) {
      reject(new QuipuError("OVERLOADED", `${this.#operations} operations wait for an answer already`));
      return undefined;
    }
    const bytes = key.length + operationOverheadBytes;
    if (this.#bytes + bytes > bytesOpenMax) {
      reject(new QuipuError("OVERLOADED", `operations of ${this.#bytes} bytes wait for an answer already`));
      return undefined;
    }
    this.#operations++;
    this.#bytes += bytes;
    if (!this.#flushScheduled) this.#scheduleFlush();
    const batch = this.#queue.openFor(key, this.#newBatch);
    batch.push(kind, key, words, resolve, reject);
    batch.bytes += bytes;
    return this.#queue.words;
  }

  /** A connection that is ready; what is unanswered goes out first, in order. */
  connected(connection: Connection): void {
    this.#connection = connection;
    this.#scheduleFlush();
  }

  disconnected(cause: QuipuError): void {
    this.#connection = undefined;
    this.#lastLoss = cause;
    this.#sessions.abandonRequest();
    for (const batch of this.#inFlight) {
      batch.inDoubt = true;
      batch.lastRefusal = cause;
      if (!batch.settled) this.#queue.putBack(batch);
    }
    this.#inFlight.clear();
  }

  /** Fails what is open and refuses the rest. */
  close(): void {
    this.#closed = true;
    this.#cancelPause?.();
    this.#cancelDeadline?.();
    for (const batch of this.#unsettled) this.#fail(batch, "CONNECTION_LOST", "the client was closed");
  }

  /** Resolves when the first session is there; rejects if the server knows no sessions. */
  whenUsable(): Promise<void> {
    return this.#sessions.whenFirst();
  }

  readonly #newBatch = (sequence: number): Batch => {
    const { requestTimeoutMs, ports } = this.#options;
    const deadlineMs = requestTimeoutMs === 0 ? Infinity : ports.clock.monotonicMs() + requestTimeoutMs;
    const batch = new Batch(sequence, deadlineMs);
    this.#unsettled.add(batch);
    if (this.#cancelDeadline === undefined && requestTimeoutMs > 0) this.#watchDeadline(requestTimeoutMs);
    return batch;
  };

  /** One write at the end of the turn, with whatever came until then. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#closed) return;
    this.#flushScheduled = true;
    this.#options.ports.clock.endOfTurn(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const connection = this.#connection;
    if (this.#closed) return;
    if (connection === undefined || this.#cancelPause !== undefined) {
      const { requestTimeoutMs, ports } = this.#options;
      // Later operations must not inherit much of this one's age.
      this.#queue.sealDueBefore(ports.clock.monotonicMs() + requestTimeoutMs * (1 - deadlineSpread));
      return;
    }
    if (this.#sessions.wanted()) this.#requestSession(connection);
    while (this.#inFlight.size < batchesInFlightMax) {
      const batch = this.#queue.first();
      if (batch === undefined) break;
      if (!this.#write(batch, connection)) break;
      this.#queue.shift();
      this.#inFlight.add(batch);
    }
    if (this.#out.length > 0) connection.send(this.#out.take());
  }

  /** False: there is no session to send it under yet. */
  #write(batch: Batch, connection: Connection): boolean {
    if (batch.session === undefined && batch.readKeys !== undefined && (batch.plain || this.#numbered === 0)) {
      this.#writeReads(batch, batch.readKeys, connection);
      return true;
    }
    if (batch.session === undefined) {
      const session = this.#sessions.usable();
      if (session === undefined) return false;
      batch.session = session;
      batch.number = session.open();
      batch.lowestOpen = session.lowestOpen;
      this.#numbered++;
    }
    const body = batch.body;
    invariant(body !== undefined, "a batch is sealed before it is sent");
    const out = this.#out;
    out.arrayHeader(4 + batch.words);
    out.bulkText("Q.BATCH");
    out.bulkText(batch.session.id);
    out.bulkInteger(batch.number);
    out.bulkInteger(batch.lowestOpen);
    out.raw(body);
    connection.expect((reply) => {
      this.#receive(batch, reply);
      return true;
    });
    return true;
  }

  /** Reads with no write of ours before them need no number: they may be repeated freely. */
  #writeReads(batch: Batch, keys: readonly string[], connection: Connection): void {
    batch.plain = true;
    for (const key of keys) appendCommand(this.#out, ["GET", key]);
    const replies: ReplyValue[] = [];
    connection.expect((reply) => {
      replies.push(reply);
      if (replies.length < keys.length) return false;
      const refusal = replies.find((each) => each instanceof ReplyError && isTemporary(replyErrorCode(each)));
      if (refusal === undefined) this.#settle(batch, replies);
      else this.#receive(batch, refusal);
      return true;
    });
  }

  #receive(batch: Batch, reply: ReplyValue): void {
    if (reply instanceof ReplyError) return this.#refused(batch, reply);
    const replies = Array.isArray(reply) ? (reply as readonly ReplyValue[])[2] : undefined;
    if (Array.isArray(replies) && replies.length === batch.operations) {
      this.#settle(batch, replies as readonly ReplyValue[]);
      return;
    }
    // It may well have been applied; asking again under the same number tells, if the server recovers.
    this.#connection?.destroy(new QuipuError("CONNECTION_LOST", "a reply that fits no batch"));
  }

  #settle(batch: Batch, replies: readonly ReplyValue[]): void {
    this.#inFlight.delete(batch);
    this.#backoff.reset();
    this.#onSuccess();
    if (!batch.settled) {
      this.#forget(batch);
      batch.settle(replies);
    }
    if (this.#queue.length > 0) this.#scheduleFlush();
  }

  /** An error reply to the whole batch. */
  #refused(batch: Batch, error: ReplyError): void {
    this.#inFlight.delete(batch);
    if (this.#queue.length > 0) this.#scheduleFlush();
    if (batch.settled) return;
    const code = replyErrorCode(error);
    batch.lastRefusal = replyQuipuError(error);
    if (isTemporary(code)) {
      if (code === "INDOUBT") batch.inDoubt = true;
      this.#queue.putBack(batch);
      this.#pause();
      return;
    }
    if (code === "SESSION_EXPIRED" && batch.session !== undefined) {
      this.#sessions.expired(batch.session);
      if (!batch.inDoubt) {
        // Every attempt was refused, so it was never applied, and may go under another session.
        this.#closeNumber(batch);
        this.#queue.putBack(batch);
        this.#scheduleFlush();
        return;
      }
    }
    this.#fail(batch, code, error.text);
  }

  #requestSession(connection: Connection): void {
    const { bytes, expectation } = this.#sessions.request((error) => {
      if (error !== undefined) this.#pause();
      this.#scheduleFlush();
    });
    connection.expect(expectation);
    this.#out.raw(bytes);
  }

  #pause(): void {
    if (this.#cancelPause !== undefined || this.#closed) return;
    this.#cancelPause = this.#options.ports.clock.setTimer(this.#backoff.nextMs(), () => {
      this.#cancelPause = undefined;
      this.#scheduleFlush();
    });
  }

  #watchDeadline(delayMs: number): void {
    this.#cancelDeadline = this.#options.ports.clock.setTimer(delayMs, () => {
      this.#cancelDeadline = undefined;
      const now = this.#options.ports.clock.monotonicMs();
      for (const batch of this.#unsettled) {
        if (batch.deadlineMs > now) {
          this.#watchDeadline(batch.deadlineMs - now);
          return;
        }
        this.#expire(batch);
      }
    });
  }

  /** Past its deadline. In flight, or once in flight without an answer: nobody knows. */
  #expire(batch: Batch): void {
    if (this.#inFlight.has(batch)) batch.inDoubt = true;
    const refusal = batch.lastRefusal ?? this.#lastLoss;
    const code = !batch.inDoubt && refusal?.code === "OVERLOADED" ? "OVERLOADED" : "CONNECTION_LOST";
    this.#fail(batch, code, `no answer within ${this.#options.requestTimeoutMs} ms`, refusal);
  }

  #fail(batch: Batch, code: ErrorCode, message: string, cause?: QuipuError): void {
    if (this.#inFlight.has(batch)) batch.inDoubt = true;
    this.#forget(batch);
    batch.fail(code, message, cause);
  }

  #forget(batch: Batch): void {
    this.#unsettled.delete(batch);
    this.#operations -= batch.operations;
    this.#bytes -= batch.bytes;
    this.#closeNumber(batch);
  }

  /** The number's reply will not be asked for again. */
  #closeNumber(batch: Batch): void {
    if (batch.session === undefined) return;
    batch.session.close(batch.number);
    batch.session = undefined;
    this.#numbered--;
  }
}

/** The same batch may pass in a moment. */
function isTemporary(code: ErrorCode): boolean {
  return code === "OVERLOADED" || code === "INDOUBT";
}
