/**
 * The replica: gathers commands into batches, appends them as records, sees every record come back in log order,
 * applies it and answers its own callers (DESIGN §3, §4.5, §4.6).
 *
 * Synchronous between two callbacks: a call adds to the open batch; the end of the turn, or a finished record,
 * closes it; a delivery applies and answers. No await stands between a check and its use.
 */
import { type Clock, type Int64, InvariantViolation, invariant, type Lsn, lsn, QuipuError } from "@quipu/core";
import { type Command, type CounterMachine, type ReadOperation, readRecordId, type RecordId } from "@quipu/counters";
import type { LogDelivery, Subscription, VirtualLog } from "@quipu/log";
import { Answerer } from "./answerer.ts";
import { type Batch, placeRide } from "./batch.ts";
import { BatchQueue } from "./batch-queue.ts";
import type { Caller, ReplicaDoor } from "./caller.ts";
import { defaultReplicaLimits, type ReplicaLimits } from "./limits.ts";
import { LogClock } from "./log-clock.ts";
import type { ReplicaMutation } from "./mutation.ts";
import { ReadQueue } from "./read-queue.ts";
import { Submitter, type WriterIdentity } from "./submitter.ts";

export interface ReplicaOptions {
  readonly log: VirtualLog;
  /** Loaded from the state store, or new. The replica is its only writer from here on. */
  readonly machine: CounterMachine;
  readonly clock: Clock;
  readonly identity: WriterIdentity;
  readonly limits?: Partial<ReplicaLimits>;
  /** Of the hash tables of open batches, unknown to clients. Influences speed only. */
  readonly seed?: number;
  /** A broken invariant or a lost log: the owner ends the process. The replica has already stopped. */
  readonly onFatal: (error: unknown) => void;
  /** Tests only. */
  readonly mutation?: ReplicaMutation;
}

/** A full disk is not asked again at once. */
const refusedTickDelayMs = 1_000;

export class Replica implements ReplicaDoor {
  readonly machine: CounterMachine;
  readonly #log: VirtualLog;
  readonly #clock: Clock;
  #logClock: LogClock;
  readonly #identity: WriterIdentity;
  readonly #limits: ReplicaLimits;
  readonly #onFatal: (error: unknown) => void;
  readonly #submitter: Submitter;
  readonly #answerer: Answerer;
  readonly #reads: ReadQueue;
  #subscription: Subscription | undefined;
  readonly #batches: BatchQueue;
  /** The slower reasons to refuse, looked at once per batch and not per command. */
  #refusing = false;
  #endOfTurnScheduled = false;
  /** First position that has not been delivered to us: everything below is applied. */
  #nextPosition: number;
  #deliveringLsn: Lsn = lsn(0);
  #cancelTick: (() => void) | undefined;
  #tickDueMs = Number.POSITIVE_INFINITY;
  /** False while the log is replayed: the first record must be the one that announces this incarnation. */
  #ticks = false;
  #onIdle: (() => void) | undefined;
  #stopped = false;
  #recordsApplied = 0;
  #startFailed: ((error: unknown) => void) | undefined;

  constructor(options: ReplicaOptions) {
    this.machine = options.machine;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#identity = options.identity;
    this.#limits = { ...defaultReplicaLimits, ...options.limits };
    this.#batches = new BatchQueue(this.#limits, options.seed ?? 0);
    this.#onFatal = options.onFatal;
    this.#logClock = new LogClock(options.clock, options.machine.logTimeMs);
    const hooks = {
      refused: (batch: Batch, error: QuipuError): void => {
        this.#refuse(batch, error);
        // It may have been a tick, and nothing else may come that would schedule the next.
        this.#scheduleTick(refusedTickDelayMs);
      },
      ready: (): void => this.#closeBatches(),
    };
    const { log, clock, identity, mutation } = options;
    this.#submitter = new Submitter(log, clock, identity, this.#limits, hooks, mutation);
    this.#answerer = new Answerer(options.machine);
    this.#reads = new ReadQueue(options.machine, clock, () =>
      mutation === "read-ignores-tail" ? Promise.resolve({ tail: lsn(0) }) : log.tail(),
    );
    this.#nextPosition = options.machine.appliedLsn + 1;
  }

  /**
   * Replays the log above the machine's position, then announces this incarnation with a first, empty record,
   * which voids whatever an older incarnation may still have under way. Resolves once that record is applied, or
   * refused: on a full disk reads go on. Rejects where log and machine do not belong together.
   */
  async start(): Promise<void> {
    const { tail } = await this.#log.tail();
    if (tail < this.#nextPosition) throw logTooShort(tail, this.machine.appliedLsn);
    await this.#startStep((done) => {
      this.#subscription = this.#log.read(lsn(this.#nextPosition), (delivery) => this.#delivered(delivery));
      this.#reads.whenApplied(tail, done);
    });
    // Now that log time is known: stamps below it would let it stand still.
    this.#logClock = new LogClock(this.#clock, this.machine.logTimeMs);
    await this.#startStep((done) => {
      this.#onIdle = done;
      this.#submitter.submit(this.#batches.spare(), this.#logClock.nowMs());
    });
    this.#ticks = true;
    this.#scheduleTick();
  }

  /** What breaks meanwhile rejects, instead of being fatal. */
  #startStep(begin: (done: () => void) => void): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#startFailed = reject;
      begin(() => {
        this.#startFailed = undefined;
        resolve();
      });
    });
  }

  // ReplicaDoor

  add(
    caller: Caller,
    tag: number,
    database: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    delta: Int64,
  ): void {
    if (this.overloaded) return this.#overload(caller, tag);
    const batch = this.#batches.open;
    batch.push(caller, tag, batch.builder.add(database, bytes, start, end, delta));
    this.#submitted();
  }

  onceAdd(
    caller: Caller,
    tag: number,
    id: { readonly bytes: Uint8Array; readonly start: number; readonly end: number },
    retentionMs: number,
    bornAtMs: number | null,
    database: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    delta: Int64,
  ): void {
    if (this.overloaded) return this.#overload(caller, tag);
    const batch = this.#batches.open;
    const place = batch.builder.onceAdd(
      id.bytes,
      id.start,
      id.end,
      retentionMs,
      bornAtMs,
      database,
      bytes,
      start,
      end,
      delta,
    );
    batch.push(caller, tag, place);
    this.#submitted();
  }

  write(caller: Caller, tag: number, command: Command): void {
    if (this.overloaded) return this.#overload(caller, tag);
    const { commandBytesMax } = this.#limits;
    const batch = this.#batches.open;
    const place = batch.builder.command(command, commandBytesMax);
    if (place >= 0) batch.push(caller, tag, place);
    else batch.pushFailure(caller, tag, tooLarge(commandBytesMax));
    this.#submitted();
  }

  ride(caller: Caller, tag: number): void {
    this.#batches.open.push(caller, tag, placeRide);
    this.#submitted();
  }

  readInOrder(caller: Caller, tag: number, operation: ReadOperation): void {
    if (this.overloaded) return this.#overload(caller, tag);
    this.#batches.open.pushRead(caller, tag, operation);
    this.#submitted();
  }

  read(caller: Caller, tag: number, operation: ReadOperation): void {
    this.#reads.add(caller, tag, operation);
  }

  readAfter(caller: Caller, tag: number, position: Lsn, operation: ReadOperation): void {
    this.#reads.addAfter(caller, tag, position, operation);
  }

  readableNow(): CounterMachine | undefined {
    if (this.#stopped) return undefined;
    const tail = this.#log.tailNow();
    return tail !== undefined && this.#nextPosition >= tail.tail ? this.machine : undefined;
  }

  get deliveringLsn(): Lsn {
    return this.#deliveringLsn;
  }

  get overloaded(): boolean {
    return this.#refusing || this.#batches.hasTooManyItems;
  }

  stampNowMs(): number {
    return this.#logClock.nowMs();
  }

  // Life cycle and statistics

  /** Every position below this is applied. */
  get nextPosition(): Lsn {
    return lsn(this.#nextPosition);
  }

  get statistics(): { readonly queuedBytes: number; readonly queuedItems: number; readonly recordsApplied: number } {
    return {
      queuedBytes: this.#batches.queuedBytes,
      queuedItems: this.#batches.queuedItems,
      recordsApplied: this.#recordsApplied,
    };
  }

  /** Resolves once everything submitted so far is answered. Doors have stopped submitting by then. */
  async drain(): Promise<void> {
    this.#closeBatches();
    if (this.#isIdle || this.#stopped) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Stops. What is unanswered fails: INDOUBT where its record may be in the log, else definitely. */
  close(): void {
    this.#stop(new QuipuError("SHUTTING_DOWN", "the server is stopping"));
  }

  // Batches

  get #isIdle(): boolean {
    return this.#submitter.inFlight === 0 && this.#batches.isEmpty;
  }

  #overload(caller: Caller, tag: number): void {
    const error = this.#stopped
      ? new QuipuError("SHUTTING_DOWN", "the server is stopping")
      : new QuipuError("OVERLOADED", "too much is waiting for the log; nothing was changed, retry later");
    this.#batches.open.pushFailure(caller, tag, error);
    this.#submitted();
  }

  #submitted(): void {
    if (this.#batches.pushed()) this.#lookAtLimits();
    if (this.#endOfTurnScheduled) return;
    this.#endOfTurnScheduled = true;
    this.#clock.endOfTurn(() => {
      this.#endOfTurnScheduled = false;
      this.#closeBatches();
    });
  }

  /** Sends as many batches on their way as there is room for. */
  #closeBatches(): void {
    for (;;) {
      const batch = this.#batches.next();
      if (batch === undefined) return;
      if (this.#stopped) {
        // Submitted after the end: refused, but still answered, and still in order.
        this.#refuse(this.#batches.take(), new QuipuError("SHUTTING_DOWN", "the server is stopping"));
        continue;
      }
      if (batch.logs && !this.#submitter.hasRoom) return;
      // A batch that logs nothing still waits behind those in flight: its callers' replies have an order.
      if (!batch.logs && this.#submitter.inFlight > 0) return;
      this.#batches.take();
      if (batch.logs) this.#submitter.submit(batch, this.#logClock.nowMs());
      else this.#finish(batch, () => this.#answerer.answerWithoutRecord(batch));
    }
  }

  #lookAtLimits(): void {
    this.#refusing =
      this.#stopped || this.#batches.hasTooManyBytes || this.machine.dirtyCount > this.#limits.dirtyEntriesMax;
  }

  #finish(batch: Batch, answer: () => void): void {
    this.#batches.finished(batch);
    this.#lookAtLimits();
    answer();
    this.#batches.recycle(batch);
    if (this.#onIdle !== undefined && this.#isIdle) {
      const idle = this.#onIdle;
      this.#onIdle = undefined;
      idle();
    }
  }

  #refuse(batch: Batch, error: QuipuError): void {
    this.#finish(batch, () => this.#answerer.failAll(batch, error));
  }

  // The log

  #delivered(delivery: LogDelivery): void {
    if (this.#stopped) return;
    try {
      if (delivery.type === "gap") {
        throw this.#gapError(delivery.trimmedUpTo);
      }
      let position: number = delivery.first;
      for (const record of delivery.records) this.#apply(lsn(position++), record);
      this.#reads.advance(this.#nextPosition);
      this.#closeBatches();
      this.#scheduleTick();
    } catch (error) {
      // Half an applied record must never be answered from: the replica is over (DESIGN §4.4, research §8.12).
      const startFailed = this.#startFailed;
      startFailed?.(error);
      this.#stop(new QuipuError("INDOUBT", "the replica stopped on an internal error", { cause: error }));
      if (startFailed === undefined) this.#onFatal(error);
    }
  }

  #gapError(trimmedUpTo: Lsn): Error {
    return this.#startFailed === undefined
      ? new InvariantViolation(`the log was trimmed to ${trimmedUpTo} under a reader at ${this.#nextPosition}`)
      : logBeginsTooLate(trimmedUpTo, this.machine.appliedLsn);
  }

  #apply(position: Lsn, record: Uint8Array): void {
    invariant(position >= this.#nextPosition, `the log went back: ${this.#nextPosition} -> ${position}`);
    this.#deliveringLsn = position;
    const id = readRecordId(record);
    // Passing over what somebody acknowledged would lose it: a later version of Quipu has written here.
    if (id === undefined) throw notUnderstood(position);
    const verdict = this.machine.beginRecord(position, record);
    const own = this.#ownNumber(id);
    if (verdict === "apply") {
      if (own === undefined) {
        while (this.machine.remainingCommands > 0) this.machine.applyNext();
        this.machine.endRecord();
      } else {
        const batch = this.#submitter.resolve(own);
        this.#finish(batch, () => this.#answerer.applyAndAnswer(batch));
      }
    }
    if (this.machine.currentIncarnation(this.#identity.node) > this.#identity.incarnation) {
      throw new InvariantViolation(
        `another process writes as node ${this.#identity.node} with an incarnation above ${this.#identity.incarnation}`,
      );
    }
    this.#nextPosition = position + 1;
    this.#recordsApplied += 1;
  }

  #ownNumber(id: RecordId): number | undefined {
    const { node, incarnation } = this.#identity;
    return id.node === node && id.incarnation === incarnation ? id.number : undefined;
  }

  #stop(error: QuipuError): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#refusing = true;
    this.#cancelTick?.();
    this.#subscription?.close();
    const indoubt = new QuipuError("INDOUBT", `${error.message}; the change may have been made`, { cause: error });
    for (const batch of this.#submitter.close()) this.#refuse(batch, batch.number > 0 ? indoubt : error);
    // First taken, then answered: whoever submits again when refused must not keep this going.
    const waiting: Batch[] = [];
    while (this.#batches.next() !== undefined) waiting.push(this.#batches.take());
    for (const batch of waiting) this.#refuse(batch, error);
    this.#reads.close();
    this.#onIdle?.();
  }

  // Log time

  /**
   * If something falls due and nothing is appended, an empty record carries the time (DESIGN §4.4). What one record
   * could not take of a storm is due still, so that the next tick follows it at once.
   */
  #scheduleTick(delayMinMs: number = 1): void {
    const dueMs = this.machine.nextDueMs;
    if (dueMs === this.#tickDueMs || this.#stopped || !this.#ticks) return;
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#tickDueMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    // Long waits are cut: the clock may be followed forward meanwhile.
    const delayMs = Math.min(Math.max(dueMs - this.#logClock.nowMs(), delayMinMs), 60_000);
    this.#cancelTick = this.#clock.setTimer(delayMs, () => this.#tick());
  }

  #tick(): void {
    this.#cancelTick = undefined;
    this.#tickDueMs = Number.POSITIVE_INFINITY;
    const isDue = this.machine.nextDueMs <= this.#logClock.nowMs();
    if (isDue && this.#isIdle && this.#submitter.hasRoom) {
      this.#submitter.submit(this.#batches.spare(), this.#logClock.nowMs());
    } else {
      this.#scheduleTick();
    }
  }
}

function tooLarge(bytesMax: number): QuipuError {
  return new QuipuError("VALUE_TOO_LARGE", `the command takes more than ${bytesMax} bytes in the log`);
}

function logTooShort(tail: Lsn, applied: Lsn): QuipuError {
  const message = `the state stands at position ${applied}, but the log ends before position ${tail}: its end is missing`;
  return new QuipuError("LOG_CORRUPT", message);
}

function logBeginsTooLate(trimmedUpTo: Lsn, applied: Lsn): QuipuError {
  const message =
    `the log begins after position ${trimmedUpTo}, but the state store ends at ${applied}: ` +
    "records between them are missing";
  return new QuipuError("LOG_CORRUPT", message);
}

function notUnderstood(position: Lsn): QuipuError {
  const message = `the record at position ${position} is of a format or feature level that this version does not know`;
  return new QuipuError("LOG_CORRUPT", message);
}
