/**
 * Sends the batches of one session, several in flight, and sends them again until each is answered (RIFL; DESIGN §4.5).
 *
 * A batch keeps its session and number through every repetition, on whatever endpoint, so the cell applies it once. What
 * ended a former attempt without an answer makes the batch `inDoubt`: from then on it is never moved to another session
 * and never called definite.
 *
 * Order: a link gets batch n + 1 only after batch n, or after n was answered. So whichever link is first to bring each
 * batch into the cell's log, the first occurrences are in the order of the numbers; later ones are recognised.
 */
import { type ErrorCode, QuipuError } from "@quipu/core";
import { type ReplyError, type ReplyValue, RespWriter } from "@quipu/protocol";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import { Backoff } from "./backoff.ts";
import { Batch, type OperationKind, type Reject, type Resolve } from "./batch.ts";
import { BatchQueue } from "./batch-queue.ts";
import { writeNumbered, writeReads } from "./batch-writer.ts";
import type { Connection } from "./connection.ts";
import type { Link } from "./link.ts";
import type { OpenOperations } from "./open-operations.ts";
import { batchesInFlightMax, operationOverheadBytes, type ResolvedOptions } from "./options.ts";
import type { AttemptResult, Pool } from "./pool.ts";
import { isTemporary, replyErrorCode, replyQuipuError } from "./reply-errors.ts";
import { Route } from "./route.ts";
import { SessionSource } from "./session-source.ts";

/** Operations that share a batch while it cannot be sent share its deadline; they differ by this share of it. */
const deadlineSpread = 1 / 16;

/** Node's timers count whole milliseconds. */
const timerStepMs = 1;

export class Dispatcher implements AttemptOwner {
  readonly #options: ResolvedOptions;
  readonly #pool: Pool;
  readonly #open: OpenOperations;
  readonly #route: Route;
  readonly #queue = new BatchQueue();
  readonly #sessions: SessionSource;
  readonly #backoff: Backoff;
  readonly #out = new RespWriter(3, (bytes) => Buffer.allocUnsafe(bytes));
  /** Why the last connection was lost. */
  #lastLoss: QuipuError | undefined = undefined;
  /** Whose latest attempt has no answer, in order of sending; all on the route's link. At most batchesInFlightMax. */
  readonly #inFlight = new Set<Batch>();
  /** Not settled, by sequence. */
  readonly #unsettled = new Set<Batch>();
  /** Unsettled batches that have a number. While there are any, reads ride behind them. */
  #numbered = 0;
  #flushScheduled = false;
  /** Where everything refuses, nothing is sent for a while. */
  #cancelPause: (() => void) | undefined = undefined;
  /** The next repetitions come after a pause: it bounds them, the retry budget need not. */
  #rested = false;
  /** The present link refused something and another is worth trying: what is in flight goes there too. */
  #moveDue = false;
  #cancelDeadline: (() => void) | undefined = undefined;
  #cancelOverdue: (() => void) | undefined = undefined;
  #closed = false;

  constructor(options: ResolvedOptions, pool: Pool, open: OpenOperations) {
    this.#options = options;
    this.#pool = pool;
    this.#open = open;
    this.#route = new Route(pool);
    this.#backoff = new Backoff(options.backoffFirstMs, options.backoffMaxMs, options.ports.random);
    this.#sessions = new SessionSource(options.sessionTtlMs, options.ports.clock);
  }

  /** Takes an operation; the caller appends its words (bulk strings) to the writer. Undefined: rejected. */
  begin(kind: OperationKind, key: string, words: number, resolve: Resolve, reject: Reject): RespWriter | undefined {
    if (this.#closed) {
      reject(new QuipuError("CONNECTION_LOST", "the client is closed", { outcome: "definite" }));
      return undefined;
    }
    const bytes = key.length + operationOverheadBytes;
    const refusal = this.#open.admit(bytes);
    if (refusal !== undefined) {
      reject(new QuipuError("OVERLOADED", refusal));
      return undefined;
    }
    if (!this.#flushScheduled) this.#scheduleFlush();
    const batch = this.#queue.openFor(key, this.#newBatch);
    batch.push(kind, key, words, resolve, reject);
    batch.bytes += bytes;
    return this.#queue.words;
  }

  /** Some link is ready; what is unanswered goes out first, in order. */
  linkReady(): void {
    this.#scheduleFlush();
  }

  /** Some link is lost, and what was under way on it has been told; there may be another. */
  linkLost(cause: QuipuError): void {
    this.#lastLoss = cause;
    this.#scheduleFlush();
  }

  /** Fails what is open and refuses the rest. */
  close(): void {
    this.#closed = true;
    this.#cancelPause?.();
    this.#cancelDeadline?.();
    this.#cancelOverdue?.();
    for (const batch of this.#unsettled) this.#fail(batch, "CONNECTION_LOST", "the client was closed");
  }

  /** Resolves when the first session is there; rejects if the server knows no sessions. */
  whenUsable(): Promise<void> {
    return this.#sessions.whenFirst();
  }

  answered(attempt: Attempt, replies: readonly ReplyValue[]): void {
    const { batch } = attempt;
    this.#ended(attempt, "succeeded");
    this.#inFlight.delete(batch);
    this.#backoff.reset();
    this.#route.succeeded();
    if (!batch.settled) {
      this.#forget(batch);
      batch.settle(replies);
    }
    if (this.#queue.length > 0) this.#scheduleFlush();
  }

  refused(attempt: Attempt, error: ReplyError): void {
    const { batch } = attempt;
    const code = replyErrorCode(error);
    const isPassing = isTemporary(code);
    this.#ended(attempt, isPassing ? "refused" : "succeeded");
    if (this.#queue.length > 0) this.#scheduleFlush();
    if (batch.settled) return;
    batch.lastRefusal = replyQuipuError(error);
    if (code === "INDOUBT") batch.inDoubt = true;
    if (this.#isUnderWay(batch)) return;
    if (isPassing) {
      this.#queue.putBack(batch);
      if (!this.#route.refused(attempt.link, this.#options.ports.clock.monotonicMs())) this.#pause();
      else {
        this.#moveDue = true;
        this.#scheduleFlush();
      }
      return;
    }
    // An older attempt may still bring the true answer.
    if (batch.pending > 0) return;
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

  lost(attempt: Attempt, cause: QuipuError | undefined): void {
    const { batch } = attempt;
    this.#ended(attempt, "lost");
    batch.inDoubt = true;
    batch.lastRefusal = cause ?? batch.lastRefusal;
    if (!batch.settled && !this.#isUnderWay(batch)) this.#queue.putBack(batch);
  }

  #ended(attempt: Attempt, result: AttemptResult): void {
    const { batch, link, sentAtMs } = attempt;
    batch.pending--;
    if (batch.attempt === attempt) this.#inFlight.delete(batch);
    // What comes after the answer, from an endpoint that was not waited for, does not make slowness usual.
    this.#pool.finished(link, sentAtMs, result, !batch.settled);
  }

  /** By a later attempt, or about to be. */
  #isUnderWay(batch: Batch): boolean {
    return batch.queued || this.#inFlight.has(batch);
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
    if (this.#closed) return;
    if (this.#moveDue || this.#route.isCut) this.#moveOn();
    const nowMs = this.#pool.balanced ? this.#options.ports.clock.monotonicMs() : 0;
    const link = this.#cancelPause === undefined ? this.#route.choose(this.#inFlight.size > 0, nowMs) : undefined;
    const connection = link?.connection;
    if (link === undefined || connection === undefined) {
      const { requestTimeoutMs, ports } = this.#options;
      // Later operations must not inherit much of this one's age.
      this.#queue.sealDueBefore(ports.clock.monotonicMs() + requestTimeoutMs * (1 - deadlineSpread));
      return;
    }
    if (this.#sessions.wanted()) this.#requestSession(connection);
    while (this.#inFlight.size < batchesInFlightMax) {
      const batch = this.#queue.first();
      if (batch === undefined) break;
      if (!this.#mayWrite(batch)) break;
      if (!this.#countSending(batch, nowMs)) {
        this.#pause();
        break;
      }
      this.#write(batch, link, connection, nowMs);
      this.#queue.shift();
      this.#inFlight.add(batch);
    }
    this.#rested = false;
    if (this.#out.length > 0) connection.send(this.#out.take());
    if (this.#pool.balanced && this.#cancelOverdue === undefined) this.#watchOverdue(this.#pool.hedgeDelayMs);
  }

  /** Gives the batch what it is sent under. False: there is no session yet. */
  #mayWrite(batch: Batch): boolean {
    if (batch.session !== undefined) return true;
    if (batch.readKeys !== undefined && (batch.plain || this.#numbered === 0)) {
      batch.plain = true;
      return true;
    }
    const session = this.#sessions.usable();
    if (session === undefined) return false;
    batch.session = session;
    batch.number = session.open();
    batch.lowestOpen = session.lowestOpen;
    this.#numbered++;
    return true;
  }

  /** False: it is a repetition and the retry budget is spent, so it waits for a pause. */
  #countSending(batch: Batch, nowMs: number): boolean {
    if (!this.#pool.balanced) return true;
    if (batch.attempt !== undefined) return this.#rested || this.#pool.budget.withdraw(nowMs);
    this.#pool.budget.deposit();
    return true;
  }

  #write(batch: Batch, link: Link, connection: Connection, nowMs: number): void {
    if (batch.plain && batch.readKeys !== undefined) writeReads(this.#out, batch.readKeys);
    else writeNumbered(this.#out, batch);
    const attempt = new Attempt(batch, link, nowMs, this);
    batch.attempt = attempt;
    batch.pending++;
    this.#pool.started(link);
    connection.expect(attempt);
  }

  /** What is in flight is to be sent again, in order, before anything newer; earlier attempts may still answer. */
  #moveOn(): void {
    this.#moveDue = false;
    for (const batch of this.#inFlight) if (!batch.settled) this.#queue.putBack(batch);
    this.#inFlight.clear();
    this.#sessions.abandonRequest();
  }

  /** A hedge: an endpoint that hangs is not waited for, and one that is merely slow may still be the first to answer. */
  #watchOverdue(delayMs: number): void {
    const { clock } = this.#options.ports;
    this.#cancelOverdue = clock.setTimer(delayMs, () => {
      // If this process itself stood still, replies are waiting to be read: only after them silence means anything.
      clock.endOfTurn(() => {
        this.#cancelOverdue = undefined;
        if (!this.#closed) this.#checkOverdue(clock.monotonicMs());
      });
    });
  }

  #checkOverdue(nowMs: number): void {
    const [oldest] = this.#inFlight;
    const sinceMs = Math.min(oldest?.attempt?.sentAtMs ?? Infinity, this.#sessions.requestedAtMs ?? Infinity);
    if (sinceMs === Infinity) return;
    const delayMs = this.#pool.hedgeDelayMs;
    const dueMs = sinceMs + delayMs;
    // Not less than a timer can tell: a rest that is lost in rounding would be waited for without end.
    if (nowMs < dueMs) this.#watchOverdue(Math.max(timerStepMs, dueMs - nowMs));
    else if (this.#route.overdue(this.#inFlight.size, nowMs)) {
      this.#moveOn();
      this.#scheduleFlush();
    } else this.#watchOverdue(delayMs);
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
      this.#rested = true;
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

  /** Past its deadline. With an attempt under way, or once ended without an answer: nobody knows. */
  #expire(batch: Batch): void {
    const refusal = batch.lastRefusal ?? this.#lastLoss;
    const isDefinite = !batch.inDoubt && batch.pending === 0;
    const code = isDefinite && refusal?.code === "OVERLOADED" ? "OVERLOADED" : "CONNECTION_LOST";
    this.#fail(batch, code, `no answer within ${this.#options.requestTimeoutMs} ms`, refusal);
  }

  #fail(batch: Batch, code: ErrorCode, message: string, cause?: QuipuError): void {
    this.#forget(batch);
    batch.fail(code, message, cause);
  }

  #forget(batch: Batch): void {
    this.#unsettled.delete(batch);
    this.#open.release(batch.operations, batch.bytes);
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
