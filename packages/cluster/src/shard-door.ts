/**
 * What front doors hold while replicas come and go: everything is passed to the present replica. One that has stopped
 * goes on refusing, in order, until its successor serves.
 */
import type { Int64, Lsn, QuipuError } from "@quipu/core";
import type { Command, CounterMachine, ReadOperation } from "@quipu/counters";
import type { Caller, ReplicaDoor } from "./caller.ts";

export class ShardDoor implements ReplicaDoor {
  /** The last replica that has served; undefined before the first. */
  target: ReplicaDoor | undefined;
  readonly #machine: () => CounterMachine;
  readonly #lsn: () => Lsn;
  readonly #refusal: () => QuipuError;

  /** What to answer before there is a replica. */
  constructor(machine: () => CounterMachine, position: () => Lsn, refusal: () => QuipuError) {
    this.#machine = machine;
    this.#lsn = position;
    this.#refusal = refusal;
  }

  add(
    caller: Caller,
    tag: number,
    database: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    delta: Int64,
  ): void {
    if (this.target === undefined) this.#refuse(caller, tag);
    else this.target.add(caller, tag, database, bytes, start, end, delta);
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
    if (this.target === undefined) this.#refuse(caller, tag);
    else this.target.onceAdd(caller, tag, id, retentionMs, bornAtMs, database, bytes, start, end, delta);
  }

  write(caller: Caller, tag: number, command: Command): void {
    if (this.target === undefined) this.#refuse(caller, tag);
    else this.target.write(caller, tag, command);
  }

  ride(caller: Caller, tag: number): void {
    if (this.target !== undefined) this.target.ride(caller, tag);
    else {
      caller.ride(tag);
      caller.flush();
    }
  }

  readInOrder(caller: Caller, tag: number, operation: ReadOperation): void {
    if (this.target === undefined) this.#refuse(caller, tag);
    else this.target.readInOrder(caller, tag, operation);
  }

  read(caller: Caller, tag: number, operation: ReadOperation): void {
    if (this.target === undefined) this.#refuse(caller, tag);
    else this.target.read(caller, tag, operation);
  }

  readAfter(caller: Caller, tag: number, position: Lsn, operation: ReadOperation): void {
    if (this.target === undefined) this.#refuse(caller, tag);
    else this.target.readAfter(caller, tag, position, operation);
  }

  readableNow(): CounterMachine | undefined {
    return this.target?.readableNow();
  }

  get machine(): CounterMachine {
    return this.target?.machine ?? this.#machine();
  }

  get deliveringLsn(): Lsn {
    return this.target?.deliveringLsn ?? this.#lsn();
  }

  get overloaded(): boolean {
    return this.target?.overloaded ?? true;
  }

  stampNowMs(): number {
    return this.target?.stampNowMs() ?? this.#machine().logTimeMs;
  }

  #refuse(caller: Caller, tag: number): void {
    caller.fail(tag, this.#refusal());
    caller.flush();
  }
}
