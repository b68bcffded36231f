/** The reference engine: the contract in as little code as it takes. Nothing survives the process. */
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import type { Appended, LogDelivery, Loglet, LogletEngine, Subscription, Tail } from "../loglet.ts";
import { Readers, type ReaderSource } from "./reader.ts";

/** Runs an action later: when the simulated I/O completes. In order. */
type Complete = (action: () => void) => void;

const inMicrotask: Complete = (action) => void Promise.resolve().then(action);

/** What outlives a handle: the "disk" of the memory engine. */
class MemoryLog implements ReaderSource {
  readonly records: Uint8Array[] = [];
  first = 1;
  sealed = false;
  readonly readers: Readers = new Readers(this);

  get end(): number {
    return this.records.length + 1;
  }

  recent(from: number): readonly Uint8Array[] {
    return this.records.slice(from - 1);
  }

  older(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  fail(error: unknown): void {
    throw error;
  }
}

/** A handle on one in-memory log. */
class MemoryLoglet implements Loglet {
  readonly engine = "memory";
  readonly #log: MemoryLog;
  readonly #complete: Complete;
  #closed = false;
  readonly #subscriptions: Subscription[] = [];

  constructor(log: MemoryLog, complete: Complete) {
    this.#log = log;
    this.#complete = complete;
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    invariant(records.length > 0, "an append of no records");
    if (this.#closed) return Promise.reject(new QuipuError("SHUTTING_DOWN", "the log is closed"));
    return this.#later(() => {
      if (this.#log.sealed) throw new QuipuError("LOG_SEALED", "the log is sealed");
      const first = this.#log.end;
      this.#log.records.push(...records);
      this.#log.readers.deliver(first, records);
      return { first: lsn(first), last: lsn(first + records.length - 1) };
    });
  }

  tail(): Promise<Tail> {
    return this.#later(() => this.tailNow());
  }

  tailNow(): Tail {
    return { tail: lsn(this.#log.end), sealed: this.#log.sealed };
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    const subscription = this.#log.readers.add(from, onDelivery);
    this.#subscriptions.push(subscription);
    return subscription;
  }

  trim(upTo: Lsn): Promise<void> {
    return this.#later(() => {
      invariant(upTo < this.#log.end, `trim to ${upTo}, but the tail is ${this.#log.end}`);
      this.#log.first = Math.max(this.#log.first, upTo + 1);
    });
  }

  seal(): Promise<void> {
    return this.#later(() => {
      this.#log.sealed = true;
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    for (const subscription of this.#subscriptions) subscription.close();
    return Promise.resolve();
  }

  #later<Result>(action: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#complete(() => {
        try {
          resolve(action());
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }
}

/** `complete` decides when operations take effect; they do so in order. Default: the next microtask. */
export function memoryEngine(complete: Complete = inMicrotask): LogletEngine<Loglet> {
  const logs = new Map<string, MemoryLog>();
  let prepared = 0;
  return {
    prepare(): Promise<string> {
      const parameters = String(++prepared);
      logs.set(parameters, new MemoryLog());
      return Promise.resolve(parameters);
    },
    open(parameters: string): Promise<Loglet> {
      const log = logs.get(parameters);
      invariant(log !== undefined, `no memory log ${parameters}`);
      return Promise.resolve(new MemoryLoglet(log, complete));
    },
    discard(parameters: string): Promise<void> {
      logs.delete(parameters);
      return Promise.resolve();
    },
  };
}
