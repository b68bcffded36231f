/**
 * The way from a client to a node: requests take time, keep their order, wait in the socket of a paused process, and
 * still arrive when their client has gone away. Replies come back at once.
 */
import type { Caller, ReplicaDoor } from "@quipu/cluster";
import type { Int64, Lsn, Random } from "@quipu/core";
import type { Command, CounterMachine, ReadOperation } from "@quipu/counters";
import type { ProcessLife, Scheduler } from "../scheduler.ts";

export interface RemoteDoorOptions {
  readonly door: ReplicaDoor;
  readonly life: ProcessLife;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly latencyUs: number;
}

export class RemoteDoor implements ReplicaDoor {
  readonly #options: RemoteDoorOptions;
  /** Requests of one connection arrive in order, also when a process goes on and finds them all at once. */
  readonly #underWay: ((door: ReplicaDoor) => void)[] = [];

  constructor(options: RemoteDoorOptions) {
    this.#options = options;
  }

  get life(): ProcessLife {
    return this.#options.life;
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
    const key = bytes.slice(start, end);
    this.#later((door) => door.add(caller, tag, database, key, 0, key.length, delta));
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
    const key = bytes.slice(start, end);
    const idBytes = id.bytes.slice(id.start, id.end);
    const idRange = { bytes: idBytes, start: 0, end: idBytes.length };
    this.#later((door) =>
      door.onceAdd(caller, tag, idRange, retentionMs, bornAtMs, database, key, 0, key.length, delta),
    );
  }

  write(caller: Caller, tag: number, command: Command): void {
    this.#later((door) => door.write(caller, tag, command));
  }

  ride(caller: Caller, tag: number): void {
    this.#later((door) => door.ride(caller, tag));
  }

  readInOrder(caller: Caller, tag: number, operation: ReadOperation): void {
    this.#later((door) => door.readInOrder(caller, tag, operation));
  }

  read(caller: Caller, tag: number, operation: ReadOperation): void {
    this.#later((door) => door.read(caller, tag, operation));
  }

  readAfter(caller: Caller, tag: number, position: Lsn, operation: ReadOperation): void {
    this.#later((door) => door.readAfter(caller, tag, position, operation));
  }

  /** Nobody runs in a paused process. */
  readableNow(): CounterMachine | undefined {
    const { life, door } = this.#options;
    return life.held === undefined ? door.readableNow() : undefined;
  }

  get machine(): CounterMachine {
    return this.#options.door.machine;
  }

  get deliveringLsn(): Lsn {
    return this.#options.door.deliveringLsn;
  }

  get overloaded(): boolean {
    return this.#options.door.overloaded;
  }

  stampNowMs(): number {
    return this.#options.door.stampNowMs();
  }

  #later(request: (door: ReplicaDoor) => void): void {
    const { scheduler, life, random, latencyUs, door } = this.#options;
    this.#underWay.push(request);
    scheduler.schedule(random.below(latencyUs + 1), life, () => this.#underWay.shift()?.(door));
  }
}
