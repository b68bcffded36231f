/**
 * The replicated state machine: records in, outcomes out. Deterministic and total: whatever the bytes, every replica
 * comes to the same state and the same answers.
 *
 * A record is applied command by command, so that its writer can answer each caller as it goes:
 * beginRecord, applyNext until remainingCommands is 0, endRecord. Replay uses apply.
 */
import { ByteReader, DecodeError, type Int64, invariant, type Lsn, QuipuError } from "@quipu/core";
import { nextDueMs, removeDue, removeDueKeys } from "./apply-expiry.ts";
import { applyEncodedOnce } from "./apply-once.ts";
import { applyOperation } from "./apply-operation.ts";
import { applyEncodedRun } from "./apply-run.ts";
import { applySession } from "./apply-session.ts";
import { applyTransaction } from "./apply-transaction.ts";
import {
  beginLoad,
  dirtyCountOf,
  finishLoad,
  type FrozenChanges,
  FrozenSet,
  hasHashBacklog,
  hashBacklog,
  hashPendingCountOf,
  loadEntry,
  snapshotEntries,
  stateHashOf,
  type StoreEntry,
} from "./checkpoint.ts";
import { readCommand } from "./codec.ts";
import { systemDatabase } from "./codec-fields.ts";
import { defaultLimits, type MachineLimits } from "./limits.ts";
import type { CounterMutation } from "./mutation.ts";
import { Lookahead } from "./lookahead.ts";
import { opcodeOnce, opcodeRun } from "./opcodes.ts";
import type { ReadOperation } from "./operations.ts";
import { type OutcomeValue, RunOutcome } from "./outcome.ts";
import { failure, nil } from "./outcomes.ts";
import { evaluateRead } from "./reads.ts";
import { featureLevelMax as versionsFeatureLevelMax, RecordHeader } from "./record.ts";
import { State } from "./state.ts";
import type { Admission } from "./writers.ts";

/** What applyNext returns: where the outcome is. */
export const commandWasRun = 0;
export const commandHasOutcome = 1;

/** Limits must be equal on all replicas: they decide outcomes. */
export interface MachineOptions extends Partial<MachineLimits> {
  /** Of the hash tables, unknown to clients. Influences speed only. */
  readonly seed?: number;
  /** The highest level understood; tests stand in for other versions with it. By default this version's. */
  readonly featureLevelMax?: number;
  /** Tests only. */
  readonly mutation?: CounterMutation;
}

export interface MachineStatistics {
  readonly keys: number;
  readonly keysWithExpiry: number;
  readonly expiredKeys: number;
  readonly sessions: number;
  readonly idempotencyEntries: number;
  readonly writers: number;
  /** Bytes of keys, byte strings and idempotency keys. */
  readonly storedBytes: number;
}

export class CounterMachine {
  readonly #state: State;
  readonly featureLevelMax: number;
  readonly #reader = new ByteReader();
  readonly #header = new RecordHeader();
  #remaining = 0;
  #inRecord = false;
  readonly #lookahead = new Lookahead();
  /** Commands that come next and were looked at. */
  #looked = 0;
  /** The rest of the record cannot be read: where its commands begin is not known. */
  #broken = false;
  #appliedLsn = 0 as Lsn;
  #frozen: FrozenSet | undefined;
  #loadedEntries = 0;
  #metaLoaded = false;
  readonly run: RunOutcome = new RunOutcome();
  /** Of the command applied last, if applyNext said so. */
  outcome: OutcomeValue = nil;

  constructor(options: MachineOptions = {}) {
    const { seed = 0, mutation, featureLevelMax = versionsFeatureLevelMax, ...limits } = options;
    this.featureLevelMax = featureLevelMax;
    this.#state = new State({ ...defaultLimits, ...limits }, seed, mutation);
  }

  get remainingCommands(): number {
    return this.#remaining;
  }

  get logTimeMs(): number {
    return this.#state.logTimeMs;
  }

  /** In force from the record on that raised it. */
  get featureLevel(): number {
    return this.#state.featureLevel;
  }

  /** The last record that was looked at, whether it was applied, a duplicate or void. */
  get appliedLsn(): Lsn {
    return this.#appliedLsn;
  }

  /** When something expires next, Infinity if nothing does. Not after log time: the last record could not take it all. */
  get nextDueMs(): number {
    return nextDueMs(this.#state);
  }

  get statistics(): MachineStatistics {
    const { counters, sessions, idempotency, writers, expiredKeys } = this.#state;
    return {
      keys: counters.size - counters.databaseSize(systemDatabase),
      keysWithExpiry: counters.expiry.size,
      expiredKeys,
      sessions: sessions.size,
      idempotencyEntries: idempotency.size,
      writers: writers.size,
      storedBytes: this.#state.storedBytes,
    };
  }

  /** 0 if that life of the node has no record yet, or is not the present one. */
  lastNumber(node: number, incarnation: number): number {
    return this.#state.writers.lastNumber(node, incarnation);
  }

  /** The life that the node is in: records of lower incarnations are void. 0 if it has written nothing yet. */
  currentIncarnation(node: number): number {
    return this.#state.writers.currentIncarnation(node);
  }

  /**
   * "duplicate": that record was applied before. "void": a gap, a superseded life, or a header that we do not
   * understand. Both change nothing. After "apply", log time is set, what is due is gone (as much of it as
   * one record takes), and applyNext follows.
   */
  beginRecord(position: Lsn, record: Uint8Array): Admission {
    invariant(!this.#inRecord, `record ${position} begins inside another`);
    invariant(position > this.#appliedLsn, `position went back: ${this.#appliedLsn} -> ${position}`);
    this.#appliedLsn = position;
    this.#reader.reset(record);
    if (!this.#header.read(this.#reader, this.featureLevelMax)) return "void";
    const state = this.#state;
    const admission = state.writers.admit(this.#header);
    if (admission !== "apply") return admission;
    state.lsn = position;
    state.index = 0;
    if (this.#header.featureLevel > state.featureLevel) state.featureLevel = this.#header.featureLevel;
    if (this.#header.stampMs > state.logTimeMs) state.logTimeMs = this.#header.stampMs;
    if (nextDueMs(state) <= state.logTimeMs) removeDue(state);
    this.#remaining = this.#header.commandCount;
    this.#inRecord = true;
    this.#broken = false;
    this.#looked = 0;
    return "apply";
  }

  /** Applies the next command: {@link commandWasRun} or {@link commandHasOutcome}. */
  applyNext(): 0 | 1 {
    invariant(this.#remaining > 0, "no command left in the record");
    this.#remaining--;
    if (this.#looked === 0) {
      this.#looked = this.#state.counters.look(
        this.#lookahead,
        this.#reader.source,
        this.#reader.position,
        this.#reader.end,
      );
    }
    this.#looked--;
    const hash = this.#lookahead.takeHash();
    if (!this.#broken) {
      try {
        return this.#applyEncoded(hash);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        this.#broken = true;
      }
    }
    this.#state.index++;
    this.outcome = failure("INVALID_ARGUMENT");
    return commandHasOutcome;
  }

  #applyEncoded(hash: number | undefined): 0 | 1 {
    const reader = this.#reader;
    this.#state.outcomeBytesLeft = this.#state.limits.outcomeBytesMax;
    const start = reader.position;
    const opcode = reader.u8();
    if (opcode === opcodeRun) {
      applyEncodedRun(this.#state, reader, this.run, hash);
      return commandWasRun;
    }
    if (opcode === opcodeOnce) {
      this.outcome = applyEncodedOnce(this.#state, reader);
      return commandHasOutcome;
    }
    reader.reset(reader.source, start, reader.end);
    const command = readCommand(reader);
    invariant(command.type !== "once", "a once read as an object");
    if (command.type === "session") this.outcome = applySession(this.#state, command);
    else if (command.type === "transaction") this.outcome = applyTransaction(this.#state, command);
    else this.outcome = applyOperation(this.#state, command);
    return commandHasOutcome;
  }

  endRecord(): void {
    invariant(this.#inRecord && this.#remaining === 0, `record ended with ${this.#remaining} commands left`);
    this.#inRecord = false;
  }

  /** The whole record, outcomes dropped. */
  apply(position: Lsn, record: Uint8Array): Admission {
    const admission = this.beginRecord(position, record);
    if (admission !== "apply") return admission;
    while (this.#remaining > 0) this.applyNext();
    this.endRecord();
    return admission;
  }

  /** Reads at this place: between records, or between the commands of one. Log time is that of the last record. */
  read(operation: ReadOperation): OutcomeValue {
    if (this.#state.expiresLazily) removeDueKeys(this.#state);
    return evaluateRead(this.#state, operation, this.#state.limits.readBytesMax);
  }

  /** GET without objects: -1 if absent, else a handle for valueOf, valid until the next change. */
  find(database: number, bytes: Uint8Array, start: number, end: number): number {
    if (this.#state.expiresLazily) removeDueKeys(this.#state);
    return this.#state.counters.find(database, bytes, start, end);
  }

  /** A byte string is the stored one: not to be changed. */
  valueOf(handle: number): Int64 | Uint8Array {
    return this.#state.counters.value(handle);
  }

  /** 16 hexadecimal digits; equal on replicas at the same position, whatever order entries came in. */
  stateHash(): string {
    return stateHashOf(this.#state);
  }

  /** Entries that {@link CounterMachine.stateHash} would hash now, about 0.1 µs each; beside the backlog of a load. */
  get hashPendingCount(): number {
    return hashPendingCountOf(this.#state);
  }

  /** All entries in key order. Nothing may be applied while this is read. */
  snapshot(): Generator<StoreEntry, void> {
    invariant(!this.#inRecord, "snapshot inside a record");
    return snapshotEntries(this.#state, this.#appliedLsn);
  }

  /**
   * Puts one entry of a snapshot or of the state store into a machine that has applied nothing; in any order.
   * Throws QuipuError STORE_CORRUPT for one that does not decode.
   */
  loadEntry(key: Uint8Array, value: Uint8Array): void {
    if (this.#loadedEntries === 0) beginLoad(this.#state);
    const position = loadEntry(this.#state, this.#reader, key, value);
    this.#loadedEntries++;
    if (position === undefined) return;
    if (this.#state.featureLevel > this.featureLevelMax) {
      const levels = `level ${this.#state.featureLevel}, this version knows ${this.featureLevelMax}`;
      throw new QuipuError("VERSION_TOO_OLD", `the state was written at feature ${levels}`);
    }
    this.#appliedLsn = position;
    this.#state.lsn = position;
    this.#metaLoaded = true;
  }

  /** `from`: "store" if the entries came out of this machine's own state store, so nothing is dirty. */
  finishLoad(from: "store" | "snapshot" = "store"): void {
    if (this.#loadedEntries > 0 && !this.#metaLoaded) {
      throw new QuipuError("STORE_CORRUPT", `${this.#loadedEntries} entries, but none that says at which position`);
    }
    if (this.#loadedEntries > 0) finishLoad(this.#state, from === "store");
  }

  /** True for a while after a load: a state hash would cost a pause in proportion to what was loaded. */
  get hasHashBacklog(): boolean {
    return hasHashBacklog(this.#state);
  }

  /** Hashes up to `count` loaded entries (about 0.1 µs each), to be called now and then while there is a backlog. */
  hashBacklog(count: number): void {
    hashBacklog(this.#state, count);
  }

  /** Entries changed since the last freeze; an upper bound. */
  get dirtyCount(): number {
    return dirtyCountOf(this.#state);
  }

  /** Freezes the entries changed since the last freeze, as of now. One freeze at a time: release it first. */
  freezeChanges(): FrozenChanges {
    invariant(!this.#inRecord, "frozen inside a record");
    invariant(this.#frozen === undefined, "frozen twice");
    this.#frozen = new FrozenSet(this.#state, this.#appliedLsn, () => {
      this.#frozen = undefined;
    });
    return this.#frozen;
  }
}
