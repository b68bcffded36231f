/**
 * One reader of a log that lives in this process: catches up from wherever the records are, then is fed
 * live. The step from one to the other happens within one turn, so it neither skips nor repeats.
 */
import { invariant, lsn } from "@quipu/core";
import type { LogDelivery, Subscription } from "../loglet.ts";

/** Where a reader finds what was written before it came. */
export interface ReaderSource {
  /** First unwritten position. */
  readonly end: number;
  /** First position that was not trimmed. */
  readonly first: number;
  /** Records from `from` (not trimmed, below the tail) on, at least one, without I/O; else undefined. */
  recent(from: number): readonly Uint8Array[] | undefined;
  /** The same with I/O. Undefined: trimmed meanwhile. */
  older(from: number): Promise<readonly Uint8Array[] | undefined>;
  /**
   * The first position from `from` (not trimmed, below the tail) on that holds a record; `end` if there is none. Absent:
   * `from`, because positions are dense.
   */
  positionFrom?(from: number): number;
  /** A reader threw, or older records cannot be read. */
  fail(error: unknown): void;
}

export class Readers {
  readonly #source: ReaderSource;
  readonly #readers: Set<Reader> = new Set();

  constructor(source: ReaderSource) {
    this.#source = source;
  }

  add(from: number, onDelivery: (delivery: LogDelivery) => void): Subscription {
    invariant(from >= 1, `read from position ${from}`);
    const reader = new Reader(this.#source, from, onDelivery, () => this.#readers.delete(reader));
    this.#readers.add(reader);
    void reader.catchUp();
    return reader;
  }

  /** These records just became durable; the source's tail is already behind them. */
  deliver(first: number, records: readonly Uint8Array[]): void {
    for (const reader of this.#readers) reader.onDurable(first, records);
  }

  /** Positions up to `upTo` are gone before they came here: live readers that wait for them go on above. */
  skip(upTo: number): void {
    for (const reader of this.#readers) reader.onSkipped(upTo);
  }

  closeAll(): void {
    for (const reader of this.#readers) reader.close();
  }
}

class Reader implements Subscription {
  readonly #source: ReaderSource;
  readonly #onDelivery: (delivery: LogDelivery) => void;
  readonly #onClose: () => void;
  /** Everything below was delivered or is trimmed. */
  #next: number;
  #live = false;
  #closed = false;

  constructor(source: ReaderSource, from: number, onDelivery: (delivery: LogDelivery) => void, onClose: () => void) {
    this.#source = source;
    this.#next = from;
    this.#onDelivery = onDelivery;
    this.#onClose = onClose;
  }

  close(): void {
    this.#closed = true;
    this.#onClose();
  }

  onDurable(first: number, records: readonly Uint8Array[]): void {
    if (!this.#live || this.#closed) return;
    const skipped = this.#next - first;
    // A reader may begin above the tail; then it lets pass what comes before.
    if (skipped >= records.length) return;
    this.#deliver(skipped > 0 ? records.slice(skipped) : records, first + Math.max(0, skipped));
  }

  /** One that is not live finds out by itself. */
  onSkipped(upTo: number): void {
    if (this.#live && !this.#closed && this.#next <= upTo) this.#gap(upTo);
  }

  async catchUp(): Promise<void> {
    // Never before `read` has returned to its caller.
    await Promise.resolve();
    try {
      while (!this.#closed && this.#next < this.#source.end) {
        if (this.#next < this.#source.first) {
          this.#gap(this.#source.first - 1);
          continue;
        }
        const position = this.#source.positionFrom?.(this.#next) ?? this.#next;
        if (position > this.#next) {
          this.#next = position;
          continue;
        }
        const records = this.#source.recent(this.#next) ?? (await this.#source.older(this.#next));
        if (this.#closed) return;
        if (records !== undefined) this.#deliver(records, this.#next);
      }
      this.#live = true;
    } catch (error) {
      this.#source.fail(error);
    }
  }

  #gap(upTo: number): void {
    this.#next = upTo + 1;
    this.#onDelivery({ type: "gap", trimmedUpTo: lsn(upTo) });
  }

  #deliver(records: readonly Uint8Array[], first: number): void {
    invariant(first >= this.#next, `position ${first} after ${this.#next - 1}`);
    this.#next = first + records.length;
    this.#onDelivery({ type: "records", first: lsn(first), records });
  }
}
