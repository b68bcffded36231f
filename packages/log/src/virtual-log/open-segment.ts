/** A segment of the chain with its loglet open: translates between the log's positions and the loglet's. */
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import type {
  Appended,
  ChainSegment,
  LogDelivery,
  Loglet,
  LogletName,
  LogReplication,
  Subscription,
  Tail,
} from "../loglet.ts";
import { nameOf } from "./chain.ts";

export class OpenSegment {
  readonly name: LogletName;
  readonly base: Lsn;
  /** Set once, when the chain says so. */
  end: Lsn | undefined;
  /** Undefined: this node keeps no part of it. */
  readonly #loglet: Loglet | undefined;
  /** Position p of the loglet is `p + offset` in the log. */
  readonly #offset: number;
  /** Up to here this node has asked for trimming, in positions of the log. */
  #trimmedUpTo: number;
  /** Appends without an outcome; a successor takes none before these have one, to keep the order. */
  #appending = 0;
  #onIdle: (() => void)[] = [];

  constructor(segment: Pick<ChainSegment, "base" | "end">, name: LogletName, loglet: Loglet | undefined) {
    this.name = name;
    this.base = segment.base;
    this.end = segment.end;
    this.#loglet = loglet;
    this.#offset = segment.base - 1;
    this.#trimmedUpTo = this.#offset;
  }

  get isHere(): boolean {
    return this.#loglet !== undefined;
  }

  get wearsOut(): boolean {
    return this.#loglet?.wearsOut === true;
  }

  is(name: LogletName): boolean {
    return nameOf(name) === nameOf(this.name);
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    if (this.#loglet === undefined) return Promise.reject(this.#elsewhere());
    const appended = this.#loglet.append(records);
    if (this.#offset === 0) return appended;
    return appended.then(({ first, last }) => ({ first: this.#toLog(first), last: this.#toLog(last) }));
  }

  /** To be called before an append, and {@link OpenSegment.appendEnded} when that has its outcome. */
  appendBegun(): void {
    this.#appending++;
  }

  appendEnded(): void {
    this.#appending--;
    if (this.#appending === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Resolves when every append that was begun has its outcome. */
  idle(): Promise<void> {
    if (this.#appending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  async tail(): Promise<Tail> {
    if (this.#loglet === undefined) throw this.#elsewhere();
    return this.#tailToLog(await this.#loglet.tail());
  }

  tailNow(): Tail | undefined {
    const tail = this.#loglet?.tailNow?.();
    return tail === undefined ? undefined : this.#tailToLog(tail);
  }

  /** Only where it is here. */
  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    invariant(this.#loglet !== undefined, `no part of the segment at ${this.base} is kept here`);
    return this.#loglet.read(lsn(from - this.#offset), (delivery) => {
      if (this.#offset === 0) onDelivery(delivery);
      else if (delivery.type === "records") onDelivery({ ...delivery, first: this.#toLog(delivery.first) });
      else onDelivery({ ...delivery, trimmedUpTo: this.#toLog(delivery.trimmedUpTo) });
    });
  }

  /** Trims to `upTo`, which may lie past this segment. */
  async trim(upTo: Lsn): Promise<void> {
    const last = Math.min(upTo, (this.end ?? Infinity) - 1);
    if (last < this.base) return;
    await this.#loglet?.trim(lsn(last - this.#offset));
    this.#trimmedUpTo = Math.max(this.#trimmedUpTo, last);
  }

  /** Seals it and returns its final tail. */
  async seal(): Promise<Lsn> {
    if (this.#loglet === undefined) throw this.#elsewhere();
    await this.#loglet.seal();
    const { tail, sealed } = await this.tail();
    invariant(sealed, `the segment at ${this.base} is not sealed after its seal`);
    return tail;
  }

  /** Sealed, and this node needs nothing of it any more. */
  get isTrimmed(): boolean {
    return this.end !== undefined && this.#loglet !== undefined && this.#trimmedUpTo >= this.end - 1;
  }

  /** Sealed, and nobody needs anything of it any more, as far as this node can know. */
  get isNeededNoMore(): boolean {
    if (this.end === undefined || this.#loglet === undefined) return false;
    const { replication } = this.#loglet;
    return replication === undefined ? this.isTrimmed : this.#toLog(replication.agreedUpTo()) >= this.end - 1;
  }

  /** What the engine has; positions are its own. */
  get replication(): LogReplication | undefined {
    return this.#loglet?.replication;
  }

  /** As {@link LogReplication.startAt}. A log that is not kept by members needs no words. */
  startAt(position: Lsn): Uint8Array | undefined {
    // Below the base stands the end of the segment before; a state from there says nothing of this one's beginning.
    if (position < this.base - 1 || this.#loglet === undefined) return undefined;
    const { replication } = this.#loglet;
    if (replication !== undefined) return replication.startAt(lsn(position - this.#offset));
    return position < this.#trimmedUpTo ? undefined : new Uint8Array();
  }

  toLog(position: number): Lsn {
    return this.#toLog(position);
  }

  async close(): Promise<void> {
    await this.#loglet?.close();
  }

  #elsewhere(): QuipuError {
    return new QuipuError("OVERLOADED", "this node has no part in the log yet; it is about to be taken in");
  }

  #toLog(position: number): Lsn {
    return lsn(position + this.#offset);
  }

  #tailToLog(tail: Tail): Tail {
    return this.#offset === 0 ? tail : { tail: this.#toLog(tail.tail), sealed: tail.sealed };
  }
}
