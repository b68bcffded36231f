/**
 * Appends of one handle. One batch is on its way; what comes meanwhile goes together into the next one. Nothing is sent while
 * the outcome of an earlier batch is open and its callers wait, so appends take effect in call order.
 *
 * A batch is written on the condition that the head is still the one that was seen, so however often it is sent, it is
 * done once at most, and as soon as the head has moved it is clear whether it was: the follower meets its id, or never will.
 */
import { type Clock, invariant, lsn, QuipuError, type Random } from "@quipu/core";
import type { Appended } from "../../loglet.ts";
import { type Batch, batchBytesMax, drawId, drawWord, encodeBatch } from "./batch.ts";
import { type Follower, isUnreachable } from "./follower.ts";
import type { ExternalMutation } from "./mutation.ts";
import { backOffMs } from "./pauses.ts";
import type { ExternalLog, LogHead } from "./service.ts";
import type { ExternalEngineSettings } from "./settings.ts";
import { Turns } from "./turns.ts";

export interface AppendsOptions {
  readonly log: ExternalLog;
  readonly follower: Follower;
  readonly describe: string;
  readonly checksumSeed: number;
  readonly valueBytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: ExternalEngineSettings;
  readonly mutation: ExternalMutation | undefined;
}

interface Pending {
  readonly records: readonly Uint8Array[];
  readonly bytes: number;
  readonly sinceMs: number;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: QuipuError) => void;
}

/** The batch on its way. */
interface Sent {
  readonly batch: Batch;
  readonly bytes: Uint8Array;
  readonly appends: readonly Pending[];
  /** The head that it is conditional on. */
  readonly at: LogHead;
  /** An attempt got no answer: it may be in the log, or come to be. */
  maybeIn: boolean;
  /** Its callers have their outcome. */
  isDecided: boolean;
}

/** How a step ended: the batch is in; somebody else's came first; nobody is there; the log takes nothing. */
type Result = "appended" | "moved" | "unreachable" | "refused";

export class Appends {
  readonly #options: AppendsOptions;
  #queue: Pending[] = [];
  #queuedBytes = 0;
  #sent: Sent | undefined;
  #isRunning = false;
  /** The head is not what the newest known one says. */
  #mustLook = false;
  /** Somebody else's batch has the number of ours, surely: there is a newer head. */
  #lostNumber: number | undefined;
  #closed: QuipuError | undefined;
  /** How long an append takes, smoothed: the measure of a turn. */
  #appendMs = 5;

  readonly #writer: string;
  readonly #turns: Turns;
  /** Ends the wait for this node's turn. */
  #wake: (() => void) | undefined;

  constructor(options: AppendsOptions) {
    this.#options = options;
    this.#writer = drawWord(options.random);
    this.#turns = new Turns(this.#writer, options.clock);
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    invariant(records.length > 0, "an append of no records");
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const { settings, valueBytesMax, clock } = this.#options;
    const bytes = batchBytesMax(records);
    if (bytes > valueBytesMax) {
      return Promise.reject(this.#error("VALUE_TOO_LARGE", `an append of ${bytes} bytes, at most ${valueBytesMax}`));
    }
    const waiting = this.#queue.length + (this.#sent?.appends.length ?? 0);
    if (waiting >= settings.appendsMax || this.#queuedBytes + bytes > settings.appendsBytesMax) {
      return Promise.reject(this.#error("OVERLOADED", `${waiting} appends wait, with ${this.#queuedBytes} bytes`));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ records, bytes, sinceMs: clock.monotonicMs(), resolve, reject });
      this.#queuedBytes += bytes;
      if (!this.#isRunning) void this.#run();
    });
  }

  /** The follower has delivered `batch`; if it is the one on its way, its callers hear. */
  delivered(batch: Batch): void {
    this.#turns.appended(batch.id);
    this.#wake?.();
    const sent = this.#sent;
    if (sent === undefined || sent.batch.id !== batch.id || sent.isDecided) return;
    sent.isDecided = true;
    let first = batch.first;
    for (const { records, resolve } of sent.appends) {
      resolve({ first: lsn(first), last: lsn(first + records.length - 1) });
      first += records.length;
    }
  }

  /** Everything that waits gets `error`, unknown where it may be in the log. */
  close(error: QuipuError): void {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    this.#wake?.();
    const sent = this.#sent;
    if (sent !== undefined) {
      this.#reject(sent, new QuipuError(error.code, error.message, { outcome: "unknown", cause: error.cause }));
    }
    this.#refuse(this.#queue.splice(0), error);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      // What the same turn brings goes together.
      await Promise.resolve();
      let failures = 0;
      while (this.#closed === undefined && this.#queue.length > 0) {
        await this.#awaitTurn();
        const result = await this.#step();
        failures = result === "unreachable" ? failures + 1 : 0;
        await this.#pauseAfter(result, failures);
      }
    } catch (error) {
      this.#options.follower.fail(error);
    } finally {
      this.#isRunning = false;
    }
  }

  /** Sends one batch and sees it through to its outcome. */
  async #step(): Promise<Result> {
    const { follower } = this.#options;
    if (this.#mustLook || !follower.isAtHead) {
      try {
        await (this.#lostNumber === undefined ? follower.refresh() : follower.refreshBeyond(this.#lostNumber));
        this.#mustLook = false;
        this.#lostNumber = undefined;
      } catch (error) {
        return this.#unreachable(error);
      }
      // Somebody was faster than this look; or it is closed.
      if (!follower.isAtHead || this.#closed !== undefined) return "moved";
    }
    const at = follower.heads.newest;
    if (at.sealed) {
      this.#refuse(this.#queue.splice(0), this.#error("LOG_SEALED", "the log is sealed"));
      return "refused";
    }
    const sent = this.#take(at);
    this.#sent = sent;
    try {
      return await this.#seeThrough(sent);
    } finally {
      this.#sent = undefined;
    }
  }

  /** What waits, as much as one batch holds. */
  #take(at: LogHead): Sent {
    const { settings, valueBytesMax, random, checksumSeed } = this.#options;
    const appends: Pending[] = [];
    const records: Uint8Array[] = [];
    let bytes = batchBytesMax([]);
    for (const pending of this.#queue) {
      const more = pending.bytes - batchBytesMax([]);
      const isFull = bytes + more > valueBytesMax || records.length + pending.records.length > settings.batchRecordsMax;
      if (isFull && appends.length > 0) break;
      appends.push(pending);
      for (const record of pending.records) records.push(record);
      bytes += more;
    }
    this.#queue = this.#queue.slice(appends.length);
    for (const pending of appends) this.#queuedBytes -= pending.bytes;
    const batch: Batch = { id: drawId(random, this.#writer), number: at.nextBatch, first: at.tail, records };
    const encoded = encodeBatch(batch, checksumSeed);
    return { batch, bytes: encoded, appends, at, maybeIn: false, isDecided: false };
  }

  async #seeThrough(sent: Sent): Promise<Result> {
    const { random, settings, follower } = this.#options;
    for (let attempts = 1; this.#closed === undefined; attempts++) {
      const result = await this.#attempt(sent);
      if (result !== undefined) return result;
      // No answer. It may be in the log, or come to be.
      const head = await this.#look(sent);
      if (sent.isDecided || head === undefined) break;
      if (head.firstBatch > sent.at.nextBatch) {
        // Trimmed before it came here: whose it was nobody can say any more.
        this.#reject(sent, this.#error("LOG_APPEND_UNKNOWN", "the batch with its number is trimmed already"));
        return "moved";
      }
      // No attempt can succeed any more, and none has.
      if (head.token !== sent.at.token || head.sealed) return this.#putBack(sent, "moved");
      // As if it had never been sent; on the same condition, so that one attempt succeeds at most.
      await follower.pauses.pause(backOffMs(attempts, settings.retryMs, settings.retryMsMax, random));
    }
    return sent.isDecided ? "appended" : "unreachable";
  }

  /** Undefined: what became of it is open. */
  async #attempt(sent: Sent): Promise<Result | undefined> {
    const { log, follower, mutation } = this.#options;
    const tail = lsn(sent.batch.first + sent.batch.records.length);
    follower.isAppending = true;
    try {
      const head = await this.#timed(() => log.append(sent.at, sent.bytes, tail));
      if (this.#closed !== undefined) return "refused";
      if (head !== undefined) {
        follower.appended(sent.batch, head);
        return "appended";
      }
      this.#mustLook = true;
      // It may have been an earlier attempt that moved the head.
      if (sent.maybeIn && mutation !== "moved-batch-resent-without-check") return undefined;
      this.#lostNumber = sent.at.nextBatch;
      return this.#putBack(sent, "moved");
    } catch (error) {
      if (this.#closed !== undefined) return "refused";
      if (!(error instanceof QuipuError)) throw error;
      if (error.outcome === "unknown") sent.maybeIn = true;
      if (mutation === "unknown-taken-for-failure" && sent.maybeIn) return this.#putBack(sent, "moved");
      if (mutation === "unknown-taken-for-success" && sent.maybeIn) {
        follower.appended(sent.batch, { ...sent.at, nextBatch: sent.at.nextBatch + 1, tail });
        return "appended";
      }
      if (error.code === "LOG_CORRUPT") follower.fail(error);
      if (sent.maybeIn) return this.#isGivenUp(sent, error) ? "unreachable" : undefined;
      if (isUnreachable(error)) {
        this.#putBack(sent, undefined);
        return this.#unreachable(error);
      }
      this.#reject(sent, error);
      return "refused";
    } finally {
      follower.isAppending = false;
    }
  }

  /** A head from after the last attempt, with every batch below it delivered. Undefined: given up, or closed. */
  async #look(sent: Sent): Promise<LogHead | undefined> {
    const { follower, random, settings } = this.#options;
    for (let failures = 1; this.#closed === undefined && !sent.isDecided; failures++) {
      try {
        const head = await follower.refresh();
        this.#mustLook = false;
        return follower.isClosed ? undefined : head;
      } catch (error) {
        if (this.#isGivenUp(sent, error)) return undefined;
        await follower.pauses.pause(backOffMs(failures, settings.retryMs, settings.retryMsMax, random));
      }
    }
    return undefined;
  }

  /** Surely not in the log: its appends wait again, before all others. */
  #putBack<Then>(sent: Sent, result: Then): Then {
    if (sent.isDecided || this.#closed !== undefined) return result;
    sent.isDecided = true;
    this.#queue = [...sent.appends, ...this.#queue];
    for (const pending of sent.appends) this.#queuedBytes += pending.bytes;
    return result;
  }

  /** The service cannot be reached; what has waited for too long is refused, since it surely never left. */
  #unreachable(error: unknown): "unreachable" | "refused" {
    if (!(error instanceof QuipuError)) throw error;
    if (isUnreachable(error)) {
      const late = this.#queue.filter((pending) => this.#isLate(pending));
      this.#queue = this.#queue.slice(late.length);
      this.#refuse(late, new QuipuError("NOQUORUM", error.message, { cause: error }));
      return "unreachable";
    }
    this.#refuse(this.#queue.splice(0), error);
    return "refused";
  }

  /** True once its callers have waited too long: they hear that it may be in the log. */
  #isGivenUp(sent: Sent, error: unknown): boolean {
    if (!sent.appends.some((pending) => this.#isLate(pending))) return false;
    const why = error instanceof Error ? error.message : String(error);
    this.#reject(sent, this.#error("LOG_APPEND_UNKNOWN", `the append may still appear in the log: ${why}`, error));
    // Nothing follows it before the service shows a head again.
    this.#mustLook = true;
    return true;
  }

  #isLate({ sinceMs }: Pending): boolean {
    return this.#options.clock.monotonicMs() - sinceMs >= this.#options.settings.deadlineMs;
  }

  #reject(sent: Sent, error: QuipuError): void {
    if (sent.isDecided) return;
    sent.isDecided = true;
    for (const { reject } of sent.appends) reject(error);
  }

  /** `pendings` were taken out of the queue. */
  #refuse(pendings: readonly Pending[], error: QuipuError): void {
    for (const { bytes, reject } of pendings) {
      this.#queuedBytes -= bytes;
      reject(error);
    }
  }

  async #timed<Result>(action: () => Promise<Result>): Promise<Result> {
    const { clock } = this.#options;
    const sinceMs = clock.monotonicMs();
    const result = await action();
    this.#appendMs += (clock.monotonicMs() - sinceMs - this.#appendMs) / 8;
    return result;
  }

  async #pauseAfter(result: Result, failures: number): Promise<void> {
    const { follower, random, settings } = this.#options;
    if (result === "unreachable") {
      await follower.pauses.pause(backOffMs(failures, settings.retryMs, settings.retryMsMax, random));
    } else if (result === "moved") {
      await follower.pauses.pause(random.below(this.#turnMs + 1));
    }
  }

  /** What an append takes, and for the next one to hear of it. */
  get #turnMs(): number {
    const { settings } = this.#options;
    return Math.min(Math.ceil(this.#appendMs * settings.turnFactor), settings.turnMsMax);
  }

  /** Where several nodes append: until the others whose turn comes first have had it, or have let it pass. */
  async #awaitTurn(): Promise<void> {
    const { clock } = this.#options;
    while (this.#closed === undefined) {
      const waitMs = this.#turns.waitMs(this.#turnMs);
      if (waitMs <= 0) return;
      await new Promise<void>((resolve) => {
        const cancel = clock.setTimer(waitMs, resolve);
        this.#wake = (): void => {
          cancel();
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }

  #error(
    code: "VALUE_TOO_LARGE" | "OVERLOADED" | "LOG_SEALED" | "LOG_APPEND_UNKNOWN",
    what: string,
    cause?: unknown,
  ): QuipuError {
    return new QuipuError(code, `${this.#options.describe}: ${what}`, { cause });
  }
}
