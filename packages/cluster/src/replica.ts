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
import { firstTail } from "./first-tail.ts";
import { defaultReplicaLimits, type ReplicaLimits, sharedReplicaLimits } from "./limits.ts";
import { LogClock } from "./log-clock.ts";
import { gapWithoutPeers, logTooShort, recordNotUnderstood, tooLarge } from "./log-errors.ts";
import type { ReplicaMutation } from "./mutation.ts";
import { ReadQueue } from "./read-queue.ts";
import { Submitter, type WriterIdentity } from "./submitter.ts";
import { Ticker } from "./ticker.ts";

export interface ReplicaOptions {
  readonly log: VirtualLog;
  /** Loaded from the state store, or new. The replica is its only writer from here on. */
  readonly machine: CounterMachine;
  readonly clock: Clock;
  readonly identity: WriterIdentity;
  readonly limits?: Partial<ReplicaLimits>;
  /** Of the hash tables of open batches, unknown to clients. Influences speed only. */
  readonly seed?: number;
  /** Other nodes append to this log too: stamps heed their clocks, and one tick for all of them is enough. */
  readonly isShared?: boolean;
  /**
   * The log was trimmed past what this replica has applied; it has stopped, and the owner fetches a state snapshot.
   * Absent: a broken invariant, because nobody else has the state.
   */
  readonly onGap?: (trimmedUpTo: Lsn) => void;
  /** Behind each record, whether it changed anything or not. */
  readonly onApplied?: (position: Lsn) => void;
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
  readonly #onGap: ((trimmedUpTo: Lsn) => void) | undefined;
  readonly #onApplied: ((position: Lsn) => void) | undefined;
  readonly #isShared: boolean;
  /** Records say that their readers have to know this one, where it is above the level in force. */
  #raisedLevel = 0;
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
  readonly #ticker: Ticker;
  #cancelWatch: (() => void) | undefined;
  /** False while the log is replayed: the first record must be the one that announces this incarnation. */
  #isStarted = false;
  #onIdle: (() => void) | undefined;
  #stoppedBecause: QuipuError | undefined;
  #recordsApplied = 0;
  #recordBytesApplied = 0;
  #startFailed: ((error: unknown) => void) | undefined;

  constructor(options: ReplicaOptions) {
    this.machine = options.machine;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#identity = options.identity;
    this.#limits = { ...(options.isShared === true ? sharedReplicaLimits : defaultReplicaLimits), ...options.limits };
    this.#batches = new BatchQueue(this.#limits, options.seed ?? 0, options.isShared === true);
    this.#onFatal = options.onFatal;
    this.#onGap = options.onGap;
    this.#onApplied = options.onApplied;
    this.#isShared = options.isShared === true;
    this.#logClock = new LogClock(options.clock, options.machine.logTimeMs);
    const hooks = {
      refused: (batch: Batch, error: QuipuError): void => {
        this.#refuse(batch, error);
        // It may have been a tick, and nothing else may come that would schedule the next.
        this.#ticker.schedule(refusedTickDelayMs);
      },
      ready: (): void => this.#closeBatches(),
    };
    const { log, clock, identity, mutation } = options;
    this.#submitter = new Submitter(log, clock, identity, this.#limits, hooks, mutation);
    this.#answerer = new Answerer(options.machine);
    const tail = (): Promise<{ readonly tail: Lsn }> =>
      mutation === "read-ignores-tail" ? Promise.resolve({ tail: lsn(0) }) : log.tail();
    this.#reads = new ReadQueue(options.machine, clock, tail, this.#limits.requestDeadlineMs);
    this.#nextPosition = options.machine.appliedLsn + (mutation === "snapshot-position-off-by-one" ? 2 : 1);
    this.#ticker = new Ticker({
      clock,
      machine: options.machine,
      nowMs: () => this.#logClock.nowMs(),
      tick: () => this.#tick(),
      ...(this.#isShared ? { shared: { turn: identity.node, knowsTime: () => this.#logClock.knowsCell } } : {}),
    });
  }

  /**
   * Replays the log above the machine's position, then announces this incarnation with a first, empty record,
   * which voids whatever an older incarnation may still have under way. Resolves once that record is applied, or
   * refused: on a full disk reads go on. A log without a quorum is waited for. Rejects where log and machine do
   * not belong together, and with what {@link Replica.close} was given if that comes first.
   */
  start(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      // What breaks meanwhile rejects, instead of being fatal.
      this.#startFailed = reject;
      this.#start().then(resolve, reject);
    });
  }

  async #start(): Promise<void> {
    const tail = await firstTail(this.#log, this.#clock, () => this.#throwIfStopped());
    if (tail < this.#nextPosition) throw logTooShort(tail, this.machine.appliedLsn);
    await new Promise<void>((resolve) => {
      this.#subscription = this.#log.read(lsn(this.#nextPosition), (delivery) => this.#delivered(delivery));
      this.#reads.whenApplied(tail, resolve);
    });
    this.#throwIfStopped();
    // Now that log time is known: stamps below it would let it stand still.
    this.#logClock = new LogClock(this.#clock, this.machine.logTimeMs);
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      // On a shared log it makes no claim about the time: our clock may be the one that is wrong.
      this.#submit(this.#batches.spare(), this.#isShared ? this.machine.logTimeMs : this.#logClock.nowMs());
    });
    this.#throwIfStopped();
    this.#startFailed = undefined;
    this.#isStarted = true;
    this.#ticker.start();
  }

  #throwIfStopped(): void {
    if (this.#stoppedBecause !== undefined) throw this.#stoppedBecause;
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
    if (this.#stoppedBecause !== undefined) return undefined;
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

  /** Every member understands `level`: the next record raises it; where none is under way, an empty one. */
  raiseFeatureLevel(level: number): void {
    invariant(level <= this.machine.featureLevelMax, `feature level ${level} > ${this.machine.featureLevelMax}`);
    if (!this.#isStarted || this.#stoppedBecause !== undefined) return;
    this.#raisedLevel = level;
    this.#tick();
  }

  // Life cycle and statistics

  /** Every position below this is applied. */
  get nextPosition(): Lsn {
    return lsn(this.#nextPosition);
  }

  get statistics(): {
    readonly queuedBytes: number;
    readonly queuedItems: number;
    readonly recordsApplied: number;
    readonly recordBytesApplied: number;
  } {
    return {
      queuedBytes: this.#batches.queuedBytes,
      queuedItems: this.#batches.queuedItems,
      recordsApplied: this.#recordsApplied,
      recordBytesApplied: this.#recordBytesApplied,
    };
  }

  /** Resolves once everything submitted so far is answered. Doors have stopped submitting by then. */
  async drain(): Promise<void> {
    this.#closeBatches();
    if (this.#isIdle || this.#stoppedBecause !== undefined) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Stops. What is unanswered fails: INDOUBT where its record may be in the log, else with `reason`, a definite error. */
  close(reason: QuipuError = new QuipuError("SHUTTING_DOWN", "the server is stopping")): void {
    this.#stop(reason);
  }

  // Batches

  get #isIdle(): boolean {
    return this.#submitter.inFlight === 0 && this.#batches.isEmpty;
  }

  #overload(caller: Caller, tag: number): void {
    const error =
      this.#stoppedBecause ??
      new QuipuError("OVERLOADED", "too much is waiting for the log; nothing was changed, retry later");
    this.#batches.open.pushFailure(caller, tag, error);
    this.#submitted();
  }

  #submitted(): void {
    const batch = this.#batches.open;
    if (batch.itemCount === 1) {
      batch.openedMs = this.#clock.monotonicMs();
      this.#watchDeadlines();
    }
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
      if (this.#stoppedBecause !== undefined) {
        // Submitted after the end: refused, but still answered, and still in order.
        this.#refuse(this.#batches.take(), this.#stoppedBecause);
        continue;
      }
      if (batch.logs && !this.#submitter.hasRoom) return;
      // A batch that logs nothing still waits behind those in flight: its callers' replies have an order.
      if (!batch.logs && this.#submitter.inFlight > 0) return;
      this.#batches.take();
      if (batch.logs) this.#submit(batch, this.#logClock.nowMs());
      else this.#finish(batch, () => this.#answerer.answerWithoutRecord(batch));
    }
  }

  #lookAtLimits(): void {
    this.#refusing =
      this.#stoppedBecause !== undefined ||
      this.#batches.hasTooManyBytes ||
      this.machine.dirtyCount > this.#limits.dirtyEntriesMax;
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

  /** `ofReads`: definite, as a read changes nothing. */
  #refuse(batch: Batch, error: QuipuError, ofReads: QuipuError = error): void {
    this.#finish(batch, () => this.#answerer.failAll(batch, error, ofReads));
  }

  // Deadlines

  /** Callers are not kept waiting by a log that makes no progress (promises P7, P9). */
  #watchDeadlines(): void {
    if (this.#cancelWatch !== undefined || this.#stoppedBecause !== undefined) return;
    // Looked at now and then only: an exact timer for each batch would cost more than it is worth.
    this.#cancelWatch = this.#clock.setTimer(this.#limits.requestDeadlineMs / 4, () => {
      this.#cancelWatch = undefined;
      this.#giveUpLate();
      if (!this.#isIdle) this.#watchDeadlines();
    });
  }

  /** Oldest first, so that each caller's replies keep their order. The records go on: a number left out voids the rest. */
  #giveUpLate(): void {
    const openedBeforeMs = this.#clock.monotonicMs() - this.#limits.requestDeadlineMs;
    const text = `the log made no progress within ${this.#limits.requestDeadlineMs} ms`;
    for (const batch of [...this.#submitter.unresolved]) {
      if (batch.isEmpty || batch.openedMs > openedBeforeMs) continue;
      const ofReads = new QuipuError("OVERLOADED", text);
      this.#answerer.failAll(batch, new QuipuError("INDOUBT", `${text}; the change may have been made`), ofReads);
      this.#batches.giveUp(batch);
    }
    for (let next = this.#batches.next(); next !== undefined; next = this.#batches.next()) {
      if (next.openedMs > openedBeforeMs) break;
      this.#refuse(this.#batches.take(), new QuipuError("OVERLOADED", `${text}; nothing was changed`));
    }
  }

  // The log

  get #isOver(): boolean {
    return this.#stoppedBecause !== undefined;
  }

  #delivered(delivery: LogDelivery): void {
    if (this.#stoppedBecause !== undefined) return;
    try {
      if (delivery.type === "gap") {
        const isStarting = this.#startFailed !== undefined;
        if (this.#onGap === undefined) throw gapWithoutPeers(delivery.trimmedUpTo, this.machine.appliedLsn, isStarting);
        this.#stop(new QuipuError("OVERLOADED", "this node lacks a part of the log and fetches the state instead"));
        this.#onGap(delivery.trimmedUpTo);
        return;
      }
      let position: number = delivery.first;
      for (const record of delivery.records) {
        this.#apply(lsn(position++), record);
        // Whoever looked at the state behind that record may have found that it is no good.
        if (this.#isOver) return;
      }
      if (this.#isShared && this.#isStarted) this.#logClock.observe(this.machine.logTimeMs);
      this.#reads.advance(this.#nextPosition);
      this.#closeBatches();
      this.#ticker.schedule();
    } catch (error) {
      // Half an applied record must never be answered from: the replica is over (DESIGN §4.4, research §8.12).
      const startFailed = this.#startFailed;
      startFailed?.(error);
      this.#startFailed = undefined;
      this.#stop(new QuipuError("SHUTTING_DOWN", "the replica stopped on an internal error", { cause: error }));
      if (startFailed === undefined) this.#onFatal(error);
    }
  }

  #apply(position: Lsn, record: Uint8Array): void {
    invariant(position >= this.#nextPosition, `the log went back: ${this.#nextPosition} -> ${position}`);
    this.#deliveringLsn = position;
    const id = readRecordId(record, this.machine.featureLevelMax);
    // Passing over what somebody acknowledged would lose it: a later version of Quipu has written here.
    if (id === undefined) throw recordNotUnderstood(position, record, this.machine.featureLevelMax);
    const verdict = this.machine.beginRecord(position, record);
    const own = this.#ownNumber(id);
    if (verdict === "apply") {
      if (own === undefined) {
        this.#applyUnanswered();
        if (this.#isStarted && id.number === 1) this.#ticker.tellNewcomer();
      } else {
        const batch = this.#submitter.resolve(own);
        // Its callers may have been answered long ago.
        this.#finish(batch, () => (batch.isGivenUp ? this.#applyUnanswered() : this.#answerer.applyAndAnswer(batch)));
      }
    }
    if (this.machine.currentIncarnation(this.#identity.node) > this.#identity.incarnation) {
      throw new InvariantViolation(
        `another process writes as node ${this.#identity.node} with an incarnation above ${this.#identity.incarnation}`,
      );
    }
    this.#nextPosition = position + 1;
    this.#recordsApplied += 1;
    this.#recordBytesApplied += record.length;
    this.#onApplied?.(position);
  }

  #tick(): boolean {
    if (!this.#isIdle || !this.#submitter.hasRoom) return false;
    this.#submit(this.#batches.spare(), this.#logClock.nowMs());
    return true;
  }

  #submit(batch: Batch, stampMs: number): void {
    this.#submitter.submit(batch, stampMs, Math.max(this.machine.featureLevel, this.#raisedLevel));
  }

  #applyUnanswered(): void {
    while (this.machine.remainingCommands > 0) this.machine.applyNext();
    this.machine.endRecord();
  }

  #ownNumber(id: RecordId): number | undefined {
    const { node, incarnation } = this.#identity;
    return id.node === node && id.incarnation === incarnation ? id.number : undefined;
  }

  #stop(error: QuipuError): void {
    if (this.#stoppedBecause !== undefined) return;
    this.#stoppedBecause = error;
    this.#refusing = true;
    this.#ticker.stop();
    this.#cancelWatch?.();
    this.#subscription?.close();
    const indoubt = new QuipuError("INDOUBT", `${error.message}; the change may have been made`, { cause: error });
    for (const batch of this.#submitter.close()) this.#refuse(batch, indoubt, error);
    // First taken, then answered: whoever submits again when refused must not keep this going.
    const waiting: Batch[] = [];
    while (this.#batches.next() !== undefined) waiting.push(this.#batches.take());
    for (const batch of waiting) this.#refuse(batch, error);
    this.#reads.close(error);
    this.#startFailed?.(error);
    this.#onIdle?.();
  }
}
