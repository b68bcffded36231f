/** Everything that the appliers of commands share: the tables, log time, and where in the log we are. */
import { ByteWriter, type Int64, invariant, type Lsn } from "@quipu/core";
import { tableKeyBytesMax } from "./byte-table.ts";
import { CounterStore } from "./counter-store.ts";
import { HashSum } from "./hash.ts";
import { IdempotencyStore } from "./idempotency-store.ts";
import type { MachineLimits } from "./limits.ts";
import type { CounterMutation } from "./mutation.ts";
import type { OutcomeValue } from "./outcome.ts";
import { outcomeBytes } from "./outcomes.ts";
import { firstFeatureLevel } from "./record.ts";
import { SessionStore } from "./session-store.ts";
import { Writers } from "./writers.ts";

export class State {
  readonly limits: MachineLimits;
  readonly mutation: CounterMutation | undefined;
  /** A mutation that reads ask for: keys go when somebody reads, not at the start of a record. */
  readonly expiresLazily: boolean;
  /** Entries that change one by one; writers and log time are hashed when the state hash is asked for. */
  readonly sum: HashSum = new HashSum();
  readonly counters: CounterStore;
  readonly idempotency: IdempotencyStore;
  readonly sessions: SessionStore;
  readonly writers: Writers;
  /** Never decreases. */
  logTimeMs = 0;
  /** Of the highest record applied: the meaning of commands from there on, on every replica. Never decreases. */
  featureLevel: number = firstFeatureLevel;
  /** The record being applied, or applied last. */
  lsn: Lsn = 0 as Lsn;
  /** Index in the record of the operation being applied; 0 before the first. */
  index = 0;
  expiredKeys = 0;
  /** What the outcome of the command being applied may still take: see {@link MachineLimits.outcomeBytesMax}. */
  outcomeBytesLeft = 0;

  constructor(limits: MachineLimits, seed: number, mutation: CounterMutation | undefined) {
    this.limits = limits;
    this.mutation = mutation;
    this.expiresLazily = mutation === "expire-lazily-on-read";
    invariant(limits.keyBytesMax <= tableKeyBytesMax, `keyBytesMax ${limits.keyBytesMax} > ${tableKeyBytesMax}`);
    const writer = new ByteWriter(1_024);
    this.counters = new CounterStore(seed, writer, this.sum);
    this.idempotency = new IdempotencyStore(seed, writer, this.sum);
    this.sessions = new SessionStore(seed, writer, this.sum);
    this.writers = new Writers(limits.writersMax, mutation);
  }

  /** What {@link MachineLimits.storedBytesMax} limits. Session ids have their own limits, 25 MB together. */
  get storedBytes(): number {
    return this.counters.storedBytes + this.idempotency.idBytes;
  }

  /** Whether so many bytes more may be stored. What frees memory, or needs none, always may. */
  hasRoomFor(bytes: number): boolean {
    return bytes <= 0 || this.storedBytes + bytes <= this.limits.storedBytesMax;
  }

  /** Why a live key `id` may not come to hold `next`, or a new key of `keyBytes` be created with it (`id` < 0). */
  refusalOfStoring(id: number, keyBytes: number, next: Int64 | Uint8Array): "OVERLOADED" | null {
    const valueBytes = typeof next === "object" ? next.length : 0;
    if (id >= 0) return this.hasRoomFor(valueBytes - this.counters.textBytes(id)) ? null : "OVERLOADED";
    if (this.counters.size >= this.limits.keysMax) return "OVERLOADED";
    return this.hasRoomFor(keyBytes + valueBytes) ? null : "OVERLOADED";
  }

  /**
   * Whether `outcome` still fits the outcome of the command being applied; asked before anything is changed. Else a
   * few bytes of reads could ask for gigabytes, in a record that every start would apply again.
   */
  takesOutcome(outcome: OutcomeValue): boolean {
    const bytes = outcomeBytes(outcome);
    if (bytes > this.outcomeBytesLeft) return false;
    this.outcomeBytesLeft -= bytes;
    return true;
  }
}
