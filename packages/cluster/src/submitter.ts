/**
 * Numbers this node's records, keeps a bounded number of appends in flight and repeats what the log may have
 * lost: go-back-N over record ids (DESIGN §4.5).
 *
 * A record is resolved when it comes back in log order and is applied, not when its append resolves. The state
 * machine accepts only last + 1 of an incarnation, so repeating a record is always safe; skipping one never is.
 */
import { type Clock, invariant, QuipuError } from "@quipu/core";
import type { VirtualLog } from "@quipu/log";
import type { Batch } from "./batch.ts";
import type { ReplicaLimits } from "./limits.ts";
import type { ReplicaMutation } from "./mutation.ts";

export interface WriterIdentity {
  /** This node, unique in the cell for ever. */
  readonly node: number;
  /** Raised and made durable at each start, so that numbers begin at 1 again without meeting old ones. */
  readonly incarnation: number;
}

export interface SubmitterHooks {
  /** Surely not in the log, now or later: the callers may be told so. */
  refused(batch: Batch, error: QuipuError): void;
  /** Room for another record. */
  ready(): void;
}

export class Submitter {
  readonly #log: VirtualLog;
  readonly #clock: Clock;
  readonly #identity: WriterIdentity;
  readonly #limits: ReplicaLimits;
  readonly #hooks: SubmitterHooks;
  readonly #mutation: ReplicaMutation | undefined;
  /** Unresolved records in the order of their numbers, which are consecutive. */
  readonly #unresolved: Batch[] = [];
  #nextNumber = 1;
  /** Appends whose promise has not settled. */
  #appending = 0;
  /** Set by a failed append: nothing new is appended until all have settled and the rest was repeated. */
  #failure: QuipuError | undefined;
  #retryTimer: (() => void) | undefined;
  /** Repetitions since a record was last resolved. */
  #repetitions = 0;
  #closed = false;

  constructor(
    log: VirtualLog,
    clock: Clock,
    identity: WriterIdentity,
    limits: ReplicaLimits,
    hooks: SubmitterHooks,
    mutation?: ReplicaMutation,
  ) {
    this.#log = log;
    this.#clock = clock;
    this.#identity = identity;
    this.#limits = limits;
    this.#hooks = hooks;
    this.#mutation = mutation;
  }

  get inFlight(): number {
    return this.#unresolved.length;
  }

  /** Oldest first. Changed by any call. */
  get unresolved(): readonly Batch[] {
    return this.#unresolved;
  }

  /** True if {@link submit} may be called. */
  get hasRoom(): boolean {
    return !this.#closed && this.#failure === undefined && this.#unresolved.length < this.#limits.recordsInFlightMax;
  }

  /** Finishes the batch's record and appends it. */
  submit(batch: Batch, stampMs: number, featureLevel: number): void {
    invariant(this.hasRoom, `no room: ${this.#unresolved.length} records in flight`);
    batch.number = this.#nextNumber++;
    batch.record = batch.builder.finish({ ...this.#identity, number: batch.number }, stampMs, featureLevel);
    this.#unresolved.push(batch);
    this.#append(batch);
  }

  /** The batch whose record is `number`, which must be the oldest unresolved one; it counts as resolved from here. */
  resolve(number: number): Batch {
    const batch = this.#unresolved.shift();
    invariant(
      batch !== undefined && batch.number === number,
      `applied own record ${number}, expected ${batch?.number ?? "none"}`,
    );
    this.#repetitions = 0;
    return batch;
  }

  /** Takes nothing more. Returns what is unresolved, oldest first: each may be in the log, or appear in it. */
  close(): readonly Batch[] {
    this.#closed = true;
    this.#retryTimer?.();
    return this.#unresolved.splice(0);
  }

  #append(batch: Batch): void {
    const { number } = batch;
    this.#appending += 1;
    this.#log.append([batch.record]).then(
      () => this.#settled(batch, number, undefined),
      (error: unknown) => this.#settled(batch, number, asQuipuError(error)),
    );
  }

  #settled(batch: Batch, number: number, error: QuipuError | undefined): void {
    this.#appending -= 1;
    if (this.#closed) return;
    // Deliveries come before promises, so it is normally applied by now, and the batch may be in use again for another
    // record. Where an engine is late the record stays unresolved until it is read.
    if (batch.number === number && error?.outcome !== "definite") batch.maybeInLog = true;
    if (error !== undefined) this.#failure ??= error;
    if (this.#failure !== undefined && this.#appending === 0) this.#recover(this.#failure);
  }

  /** All appends have settled and at least one failed. */
  #recover(failure: QuipuError): void {
    // Only all together: one that may be in the log must be filled, and so must every number before it; and a refusal
    // behind it would overtake its replies, which callers get in the order of submission.
    if (this.#unresolved.every((batch) => !batch.maybeInLog)) {
      const refused = this.#unresolved.splice(0);
      this.#nextNumber = refused[0]?.number ?? this.#nextNumber;
      this.#failure = undefined;
      for (const batch of refused) this.#hooks.refused(batch, failure);
      this.#hooks.ready();
      return;
    }
    const { retryDelayMs, retryDelayMsMax } = this.#limits;
    const delayMs = Math.min(retryDelayMs * 2 ** Math.min(this.#repetitions, 16), retryDelayMsMax);
    this.#repetitions += 1;
    this.#retryTimer = this.#clock.setTimer(delayMs, () => this.#repeat());
  }

  /** Tests only: a repeat that its log cannot recognise as one. */
  #renumber(): void {
    for (const batch of this.#unresolved) {
      batch.number = this.#nextNumber++;
      batch.record = batch.record.slice();
      new DataView(batch.record.buffer).setFloat64(12, batch.number, true);
    }
  }

  /** Go-back-N: every unresolved record again, in order, the same bytes under the same numbers. */
  #repeat(): void {
    this.#retryTimer = undefined;
    this.#failure = undefined;
    if (this.#mutation === "resubmit-with-new-number") this.#renumber();
    for (const batch of this.#unresolved) this.#append(batch);
    this.#hooks.ready();
  }
}

function asQuipuError(error: unknown): QuipuError {
  return error instanceof QuipuError
    ? error
    : new QuipuError("LOG_APPEND_UNKNOWN", "the log failed without saying how", { cause: error });
}
