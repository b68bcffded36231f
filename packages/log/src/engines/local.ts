/** The engine of a single process: one group of the node's write-ahead log. Acknowledged = synced here. */
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import type { Appended, LogDelivery, Loglet, LogletEngine, Subscription, Tail } from "../loglet.ts";
import { RecordWindow } from "../record-window.ts";
import type { WriteAheadLog } from "../write-ahead-log/write-ahead-log.ts";
import { Readers, type ReaderSource } from "./reader.ts";

/** Per log. What a reader misses while it reads a chunk from disk is far less, so it always gets across. */
const windowBytesMax = 4 * 1024 * 1024;

/** The group's hard state is one byte. */
const openState = Uint8Array.of(0);
const sealedState = Uint8Array.of(1);

class LocalLoglet implements Loglet, ReaderSource {
  readonly engine = "local";
  readonly #wal: WriteAheadLog;
  readonly #group: number;
  readonly #window: RecordWindow = new RecordWindow(windowBytesMax);
  readonly #readers: Readers = new Readers(this);
  #sealed: boolean;
  #sealing: Promise<void> | undefined;
  #closed = false;

  constructor(wal: WriteAheadLog, group: number) {
    this.#wal = wal;
    this.#group = group;
    this.#sealed = wal.hardState(group)?.[0] === sealedState[0];
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    if (this.#closed) return Promise.reject(new QuipuError("SHUTTING_DOWN", "the log is closed"));
    if (this.#sealed) return Promise.reject(new QuipuError("LOG_SEALED", "the log is sealed"));
    // Behind a seal under way: whether it is refused depends on how that ends.
    if (this.#sealing !== undefined) {
      const again = (): Promise<Appended> => this.append(records);
      return this.#sealing.then(again, again);
    }
    return new Promise((resolve, reject) => {
      const first = this.#wal.append(this.#group, records, (error) => {
        if (error !== undefined) {
          reject(error);
          return;
        }
        this.#window.push(first, records);
        this.#readers.deliver(first, records);
        resolve({ first: lsn(first), last: lsn(first + records.length - 1) });
      });
    });
  }

  tail(): Promise<Tail> {
    return Promise.resolve(this.tailNow());
  }

  tailNow(): Tail {
    return { tail: lsn(this.#wal.nextIndex(this.#group)), sealed: this.#sealed };
  }

  read(from: Lsn, onDelivery: (delivery: LogDelivery) => void): Subscription {
    return this.#readers.add(from, onDelivery);
  }

  async trim(upTo: Lsn): Promise<void> {
    await durably((done) => this.#wal.trim(this.#group, upTo, done));
    this.#window.trim(upTo);
  }

  seal(): Promise<void> {
    if (this.#sealed) return Promise.resolve();
    // Everything appended before is queued before, so it lies below the sealed tail.
    this.#sealing ??= durably((done) => this.#wal.saveHardState(this.#group, sealedState, done))
      .then(() => {
        this.#sealed = true;
      })
      .finally(() => {
        this.#sealing = undefined;
      });
    return this.#sealing;
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#readers.closeAll();
    return Promise.resolve();
  }

  // Where the readers find what was written before they came.

  get end(): number {
    return this.#wal.nextIndex(this.#group);
  }

  get first(): number {
    return this.#wal.firstIndex(this.#group);
  }

  recent(from: number): readonly Uint8Array[] | undefined {
    return this.#window.batchFrom(from);
  }

  older(from: number): Promise<readonly Uint8Array[] | undefined> {
    return this.#wal.read(this.#group, from);
  }

  fail(error: unknown): void {
    this.#wal.fail(error);
  }
}

function durably(start: (done: (error: QuipuError | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === undefined ? resolve() : reject(error)));
  });
}

export interface LocalEngine extends LogletEngine<Loglet> {
  /** Makes the loglet with these parameters, whose group number the caller has chosen, unless it is there. */
  make(parameters: string): Promise<void>;
}

/** Loglets on one write-ahead log; their parameters are group numbers. The log's owner closes it. */
export function localEngine(wal: WriteAheadLog): LocalEngine {
  // Numbers being given out whose first entry is not yet durable.
  let last = 0;
  const make = (group: number): Promise<void> => durably((done) => wal.saveHardState(group, openState, done));
  return {
    async prepare(): Promise<string> {
      last = Math.max(last, ...wal.groups()) + 1;
      const group = last;
      await make(group);
      return String(group);
    },
    async make(parameters: string): Promise<void> {
      if (wal.hardState(Number(parameters)) === undefined) await make(Number(parameters));
    },
    open(parameters: string): Promise<Loglet> {
      const group = Number(parameters);
      invariant(wal.hardState(group) !== undefined, `the write-ahead log has no group ${parameters}`);
      return Promise.resolve(new LocalLoglet(wal, group));
    },
    async discard(parameters: string): Promise<void> {
      const group = Number(parameters);
      if (wal.hardState(group) === undefined) return;
      await durably((done) => wal.removeGroup(group, done));
    },
  };
}
