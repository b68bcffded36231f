/** A group as a loglet. Positions are those of its log; no-ops, configurations and the seal are holes. */
import { logIndex, type MemberId } from "@quipu/consensus";
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import { decodeLogStart, encodeLogStart, type GroupEngine } from "@quipu/protocol";
import type { Appended, LogDelivery, Loglet, LogReplication, Subscription, Tail } from "../../loglet.ts";
import type { AnyGroup } from "./group.ts";

export class GroupLoglet implements Loglet {
  readonly engine: GroupEngine;
  readonly replication: LogReplication;
  readonly #group: AnyGroup;

  constructor(group: AnyGroup) {
    this.engine = group.engine;
    this.#group = group;
    this.replication = replicationOf(group);
  }

  isOf(group: AnyGroup): boolean {
    return group === this.#group;
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    invariant(records.length > 0, "an append of no records");
    return this.#group.isOpen ? this.#group.appends.append(records) : Promise.reject(closed());
  }

  tail(): Promise<Tail> {
    return this.#group.isOpen ? this.#group.barriers.tail() : Promise.reject(closed());
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    return this.#group.isOpen ? this.#group.delivery.readers.add(from, onDelivery) : { close: () => undefined };
  }

  /** Here it means: the state up to `upTo` is durable on this node. The group trims when a majority has said so. */
  trim(upTo: Lsn): Promise<void> {
    // Known to be below the tail of the log, not of what this member has: after a restart its state is ahead of that.
    this.#group.checkpointed(logIndex(upTo));
    return Promise.resolve();
  }

  seal(): Promise<void> {
    return this.#group.isOpen ? this.#group.appends.seal() : Promise.reject(closed());
  }

  close(): Promise<void> {
    this.#group.close();
    return Promise.resolve();
  }
}

function replicationOf(group: AnyGroup): LogReplication {
  return {
    startAt(position: Lsn): Uint8Array | undefined {
      const start = group.startAt(logIndex(position));
      return start === undefined ? undefined : encodeLogStart(start);
    },
    installed(bytes: Uint8Array): Promise<void> {
      const start = decodeLogStart(bytes);
      if (start === undefined) {
        return Promise.reject(new QuipuError("LOG_CORRUPT", "where the log goes on does not decode"));
      }
      return group.isOpen ? group.stepDurably({ type: "installed", start }) : Promise.reject(closed());
    },
    agreedUpTo: () => lsn(group.agreedUpTo()),
    configuration: () => group.inspect().configuration,
    onSnapshotNeeded(handler: (source: number, atLeast: Lsn) => void): void {
      group.onSnapshotNeeded((source: MemberId, atLeast) => handler(source, lsn(atLeast)));
    },
  };
}

function closed(): QuipuError {
  return new QuipuError("SHUTTING_DOWN", "the log is closed");
}
