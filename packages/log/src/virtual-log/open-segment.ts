/** A segment of the chain with its loglet open: translates between the log's positions and the loglet's. */
import { lsn, type Lsn } from "@quipu/core";
import type { Appended, ChainSegment, LogDelivery, Loglet, LogReplication, Subscription, Tail } from "../loglet.ts";

export class OpenSegment {
  readonly loglet: Loglet;
  readonly parameters: string;
  readonly engine: string;
  readonly base: Lsn;
  /** Set once, when the chain says so. */
  end: Lsn | undefined;
  /** Position p of the loglet is `p + offset` in the log. */
  readonly #offset: number;
  /** Appends without an outcome; a successor takes none before these have one, to keep the order. */
  appending = 0;
  #onIdle: (() => void)[] = [];

  constructor(segment: ChainSegment, loglet: Loglet) {
    this.loglet = loglet;
    this.parameters = segment.parameters;
    this.engine = segment.engine;
    this.base = segment.base;
    this.end = segment.end;
    this.#offset = segment.base - 1;
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    const appended = this.loglet.append(records);
    if (this.#offset === 0) return appended;
    return appended.then(({ first, last }) => ({ first: this.#toLog(first), last: this.#toLog(last) }));
  }

  /** The owner counts up `appending` when it begins one, and calls this when that has its outcome. */
  appendEnded(): void {
    this.appending--;
    if (this.appending === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Resolves when every append that was begun has its outcome. */
  idle(): Promise<void> {
    if (this.appending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  async tail(): Promise<Tail> {
    return this.#tailToLog(await this.loglet.tail());
  }

  tailNow(): Tail | undefined {
    const tail = this.loglet.tailNow?.();
    return tail === undefined ? undefined : this.#tailToLog(tail);
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    return this.loglet.read(lsn(from - this.#offset), (delivery) => {
      if (this.#offset === 0) onDelivery(delivery);
      else if (delivery.type === "records") onDelivery({ ...delivery, first: this.#toLog(delivery.first) });
      else onDelivery({ ...delivery, trimmedUpTo: this.#toLog(delivery.trimmedUpTo) });
    });
  }

  /** Trims to `upTo`, which may lie past this segment. */
  async trim(upTo: Lsn): Promise<void> {
    const last = Math.min(upTo, (this.end ?? Infinity) - 1);
    if (last >= this.base) await this.loglet.trim(lsn(last - this.#offset));
  }

  /** What the engine has, in positions of the log. */
  replication(): LogReplication | undefined {
    const inner = this.loglet.replication;
    if (inner === undefined) return undefined;
    return {
      // Below the base stands the end of the segment before; a state from there says nothing of this one's beginning.
      startAt: (position) => (position < this.base - 1 ? undefined : inner.startAt(lsn(position - this.#offset))),
      installed: (start) => inner.installed(start),
      agreedUpTo: () => this.#toLog(inner.agreedUpTo()),
      configuration: () => inner.configuration(),
      onSnapshotNeeded: (handler) => inner.onSnapshotNeeded((source, atLeast) => handler(source, this.#toLog(atLeast))),
    };
  }

  #toLog(position: Lsn): Lsn {
    return lsn(position + this.#offset);
  }

  #tailToLog(tail: Tail): Tail {
    return this.#offset === 0 ? tail : { tail: this.#toLog(tail.tail), sealed: tail.sealed };
  }
}
