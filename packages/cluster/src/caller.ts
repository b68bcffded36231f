/**
 * The seam between front doors and a replica: who asks ({@link Caller}) and what can be asked ({@link ReplicaDoor}).
 *
 * Order: everything one caller submits is answered in the order of submission, so a RESP connection needs no
 * reply queue of its own, provided that it keeps the rules of {@link ReplicaDoor.read}.
 */
import type { Int64, Lsn, QuipuError } from "@quipu/core";
import type { Command, CounterMachine, OutcomeValue, ReadOperation } from "@quipu/counters";

/** A connection, an HTTP request, an embedded call. `tag` is the caller's own 32-bit integer: it comes back unchanged. */
export interface Caller {
  /** The reply to one add. The hot path: no object is made for it. */
  deliverInteger(tag: number, value: Int64): void;
  /** The reply to anything else, a refused add included. Valid only during the call. */
  deliver(tag: number, outcome: OutcomeValue): void;
  /** The command got no answer from the state machine; `error.outcome` tells whether it may have been applied. */
  fail(tag: number, error: QuipuError): void;
  /** The place of a {@link ReplicaDoor.ride} is reached. */
  ride(tag: number): void;
  /** Called once after the last of a series of deliveries to this caller: send what has piled up. */
  flush(): void;
}

export interface ReplicaDoor {
  /** An add, folded with equal ones of this batch. The key is copied out of `bytes` before the call returns. */
  add(caller: Caller, tag: number, database: number, bytes: Uint8Array, start: number, end: number, delta: Int64): void;
  /** Q.ONCE around a single add; the same as `write` with a once command, without its objects. */
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
  ): void;
  /** Any other command that is logged; encoded before the call returns, so it may hold views of a buffer. Reads inside a transaction, once or session are logged with it. */
  write(caller: Caller, tag: number, command: Command): void;
  /** A reply of the caller's own making (PING) at its place behind the caller's unfinished commands. */
  ride(caller: Caller, tag: number): void;
  /** A read at its place behind the caller's own unfinished writes: not logged, evaluated where it stands. */
  readInOrder(caller: Caller, tag: number, operation: ReadOperation): void;
  /**
   * A linearizable read for a caller with no unfinished write: waits until applied >= a tail begun after this call.
   * One tail serves all reads then waiting. A caller must not submit a write, ride or readInOrder before its
   * pending reads are answered (it would overtake them).
   */
  read(caller: Caller, tag: number, operation: ReadOperation): void;
  /** A `session` read: waits until `position` is applied; OVERLOADED if that does not come in a few seconds. */
  readAfter(caller: Caller, tag: number, position: Lsn, operation: ReadOperation): void;
  /**
   * The machine, where a linearizable read may be evaluated on it right now, without waiting: the engine knows its
   * tail without I/O and everything below it is applied. Else undefined: use {@link read}.
   */
  readableNow(): CounterMachine | undefined;
  /** The machine for `stale` reads and for statistics, whatever its position. Do not change it. */
  readonly machine: CounterMachine;
  /** During `deliver` and `deliverInteger`: the record that the outcome comes from. */
  readonly deliveringLsn: Lsn;
  /** True while the replica takes no more (P9): a door stops reading its socket, or answers OVERLOADED. */
  readonly overloaded: boolean;
  /** Log time as a new record would be stamped now, ms since the epoch. */
  stampNowMs(): number;
}
