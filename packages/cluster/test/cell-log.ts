/**
 * One log that several nodes share, in memory: positions have holes as Raft's have (no-ops, configurations), each node's
 * handle may be cut off or trimmed on its own, and keeps to the faces of an engine that replicates.
 */
import { type Configuration, foundingConfiguration, memberId } from "@quipu/consensus";
import { type Lsn, lsn, QuipuError } from "@quipu/core";
import type { Appended, Chain, LogDelivery, LogReplication, Subscription, Tail, VirtualLog } from "@quipu/log";

interface Reader {
  from: number;
  readonly onDelivery: (delivery: LogDelivery) => void;
}

/** What all nodes agree on: position - 1 is the index; undefined is an entry without a record. */
export class CommonLog {
  readonly entries: (Uint8Array | undefined)[] = [];
  readonly handles: CellLog[] = [];

  push(record: Uint8Array | undefined): number {
    this.entries.push(record);
    for (const handle of this.handles) handle.deliver();
    return this.entries.length;
  }

  /** One past the last record. */
  get tail(): number {
    return this.entries.findLastIndex((entry) => entry !== undefined) + 2;
  }
}

export class CellLog implements VirtualLog, LogReplication {
  readonly #common: CommonLog;
  readers: Reader[] = [];
  /** False: no leader; appends are lost, tails refused, nothing is delivered. */
  connected = true;
  /** This node has nothing at or below it. */
  start = 0;
  /** Trims asked for. */
  readonly trims: number[] = [];
  /** What `installed` was called with. */
  readonly installs: number[] = [];
  /** Every n-th append is followed by an entry without a record; 0: none. */
  holes = 0;
  #appends = 0;
  #onSnapshotNeeded: (source: number, atLeast: Lsn) => void = () => undefined;

  constructor(common: CommonLog) {
    this.#common = common;
    common.handles.push(this);
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    return Promise.resolve().then(() => {
      if (!this.connected) throw new QuipuError("LOG_APPEND_UNKNOWN", "no leader answered");
      const positions = records.map((record) => this.#common.push(record));
      if (this.holes > 0 && ++this.#appends % this.holes === 0) this.#common.push(undefined);
      return { first: lsn(positions[0] as number), last: lsn(positions.at(-1) as number) };
    });
  }

  async tail(): Promise<Tail> {
    await Promise.resolve();
    if (!this.connected) throw new QuipuError("OVERLOADED", "no quorum");
    return { tail: lsn(Math.max(this.#common.tail, this.start + 1)), sealed: false };
  }

  tailNow(): undefined {
    return undefined;
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    const reader: Reader = { from, onDelivery };
    this.readers.push(reader);
    queueMicrotask(() => this.deliver());
    return {
      close: () => {
        this.readers = this.readers.filter((other) => other !== reader);
      },
    };
  }

  /** Everything there is, to every reader, broken at holes. */
  deliver(): void {
    if (!this.connected) return;
    for (const reader of this.readers) {
      if (reader.from <= this.start) {
        reader.from = this.start + 1;
        reader.onDelivery({ type: "gap", trimmedUpTo: lsn(this.start) });
      }
      while (reader.from <= this.#common.entries.length && this.readers.includes(reader)) {
        const first = reader.from;
        const records: Uint8Array[] = [];
        for (; this.#common.entries[reader.from - 1] !== undefined; reader.from++) {
          records.push(this.#common.entries[reader.from - 1] as Uint8Array);
        }
        if (records.length === 0) reader.from++;
        else reader.onDelivery({ type: "records", first: lsn(first), records });
      }
    }
  }

  trim(upTo: Lsn): Promise<void> {
    this.trims.push(upTo);
    return Promise.resolve();
  }

  /** As an engine that trims what a majority has in snapshots; this node may lack it. */
  cut(upTo: number): void {
    this.start = Math.max(this.start, upTo);
    this.deliver();
  }

  needSnapshot(source: number, atLeast: number): void {
    this.#onSnapshotNeeded(source, lsn(atLeast));
  }

  startAt(position: Lsn): Uint8Array | undefined {
    const known = position >= this.start && position <= this.#common.entries.length;
    return known ? new TextEncoder().encode(`start ${position}`) : undefined;
  }

  installed(start: Uint8Array): Promise<void> {
    const text = new TextDecoder().decode(start);
    if (!text.startsWith("start ")) return Promise.reject(new QuipuError("LOG_CORRUPT", `not a start: ${text}`));
    const position = Number(text.slice(6));
    this.installs.push(position);
    this.start = Math.max(this.start, position);
    return Promise.resolve();
  }

  configuration(): Configuration {
    return foundingConfiguration(this.#common.handles.map((_, i) => memberId(i + 1)));
  }

  onSnapshotNeeded(handler: (source: number, atLeast: Lsn) => void): void {
    this.#onSnapshotNeeded = handler;
  }

  replication(): LogReplication {
    return this;
  }

  chain(): Chain {
    return { version: 1, segments: [{ base: lsn(1), engine: "cell", parameters: "1" }] };
  }

  reconfigure(): Promise<Chain> {
    return Promise.resolve(this.chain());
  }

  finishSealedChain(): Promise<void> {
    return Promise.resolve();
  }

  dropTrimmed(): Promise<void> {
    return Promise.resolve();
  }

  wearsOut(): boolean {
    return false;
  }

  agreedUpTo(): Lsn {
    return lsn(0);
  }

  close(): Promise<void> {
    this.readers = [];
    return Promise.resolve();
  }
}
