/** Where a connection's reads may be evaluated, by its read mode (DESIGN §4.6). */
import type { ReplicaDoor } from "@quipu/cluster";
import { type Lsn, lsn } from "@quipu/core";
import type { CounterMachine, Operation, ReadOperation } from "@quipu/counters";
import type { ClientState } from "./connection-face.ts";

const readTypes: Readonly<Record<ReadOperation["type"], true>> = {
  get: true,
  getMany: true,
  exists: true,
  typeOf: true,
  timeToLive: true,
  databaseSize: true,
  scan: true,
  keys: true,
  randomKey: true,
  describe: true,
  versionOf: true,
};

export function isRead(operation: Operation): operation is ReadOperation {
  return operation.type in readTypes;
}

export class Reading {
  /** The newest record that a reply of this connection came from. */
  seenLsn: Lsn = lsn(0);
  readonly #replica: ReplicaDoor;
  readonly #client: ClientState;
  /** For linearizable reads of this turn; undefined: not asked yet, null: they must wait. */
  #linearizable: CounterMachine | null | undefined;

  constructor(replica: ReplicaDoor, client: ClientState) {
    this.#replica = replica;
    this.#client = client;
  }

  /** Other turns may have changed what is readable. */
  beginTurn(): void {
    this.#linearizable = undefined;
  }

  /** The machine for a read now, if none has to wait for the log or a tail; else null. */
  machineNow(): CounterMachine | null {
    const replica = this.#replica;
    switch (this.#client.readMode.type) {
      case "stale":
        return replica.machine;
      case "session":
        return replica.machine.appliedLsn >= this.position() ? replica.machine : null;
      default:
        if (this.#linearizable === undefined) this.#linearizable = replica.readableNow() ?? null;
        return this.#linearizable;
    }
  }

  /** What `session` reads wait for. */
  position(): Lsn {
    const { readMode } = this.#client;
    return readMode.type === "session" && readMode.position > this.seenLsn ? readMode.position : this.seenLsn;
  }
}
