/** A VirtualLog in memory whose appends and tails the test decides one by one: the worst log that the contract allows. */
import { type Lsn, lsn, QuipuError } from "@quipu/core";
import type { Appended, Chain, LogDelivery, Subscription, Tail, VirtualLog } from "@quipu/log";

/** What becomes of one append. `lost` and `kept` both reject as unknown; only `kept` is in the log. */
export type AppendFate = "kept-and-acknowledged" | "lost" | "kept" | "refused";

interface PendingAppend {
  readonly records: readonly Uint8Array[];
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: unknown) => void;
}

export class ScriptedLog implements VirtualLog {
  readonly records: Uint8Array[] = [];
  readonly pending: PendingAppend[] = [];
  /** While true every append is kept and acknowledged in a microtask. */
  automatic = true;
  /** Whether tailNow answers; without it reads wait for {@link releaseTails}. */
  knowsTail = true;
  #tailWaiters: (() => void)[] = [];
  #readers: { from: number; onDelivery: (delivery: LogDelivery) => void }[] = [];

  append(records: readonly Uint8Array[]): Promise<Appended> {
    return new Promise((resolve, reject) => {
      this.pending.push({ records, resolve, reject });
      if (this.automatic) queueMicrotask(() => this.settle("kept-and-acknowledged"));
    });
  }

  /** Decides the oldest pending append. */
  settle(fate: AppendFate): void {
    const append = this.pending.shift();
    if (append === undefined) throw new Error("no append is pending");
    if (fate === "kept" || fate === "kept-and-acknowledged") this.insert(append.records);
    const last = lsn(this.records.length);
    if (fate === "kept-and-acknowledged") append.resolve({ first: last, last });
    else if (fate === "refused") append.reject(new QuipuError("DISK_FULL", "no space"));
    else append.reject(new QuipuError("LOG_APPEND_UNKNOWN", "the connection broke"));
  }

  /** Puts records at the tail, as another node (or an append that came late) would. */
  insert(records: readonly Uint8Array[]): void {
    this.records.push(...records);
    this.#deliver();
  }

  async tail(): Promise<Tail> {
    if (!this.knowsTail) await new Promise<void>((resolve) => this.#tailWaiters.push(resolve));
    return { tail: lsn(this.records.length + 1), sealed: false };
  }

  tailNow(): Tail | undefined {
    return this.knowsTail ? { tail: lsn(this.records.length + 1), sealed: false } : undefined;
  }

  releaseTails(): number {
    const waiters = this.#tailWaiters;
    this.#tailWaiters = [];
    for (const waiter of waiters) waiter();
    return waiters.length;
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    const reader = { from: from as number, onDelivery };
    this.#readers.push(reader);
    queueMicrotask(() => this.#deliver());
    return {
      close: () => {
        this.#readers = this.#readers.filter((other) => other !== reader);
      },
    };
  }

  #deliver(): void {
    for (const reader of this.#readers) {
      while (reader.from <= this.records.length) {
        const first = lsn(reader.from);
        const records = this.records.slice(reader.from - 1);
        reader.from = this.records.length + 1;
        reader.onDelivery({ type: "records", first, records });
      }
    }
  }

  trim(): Promise<void> {
    return Promise.resolve();
  }

  chain(): Chain {
    return { version: 1, segments: [{ base: lsn(1), engine: "scripted", parameters: "" }] };
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

  close(): Promise<void> {
    return Promise.resolve();
  }
}
