/**
 * What a member hands to its readers: the records of its committed log, in order, up to the seal. No-ops and
 * configurations are holes between them. All of it comes out of the core's log, which is in memory.
 */
import { type LogIndex, logIndex } from "@quipu/consensus";
import { type Clock, invariant } from "@quipu/core";
import { Readers, type ReaderSource } from "../reader.ts";
import type { GroupHost } from "./group-host.ts";

/** A reader that is behind by no more than this catches up at once; further back it gives way between two pieces. */
const entriesAtOnceMax = 1024;

export class Delivery implements ReaderSource {
  readonly readers: Readers = new Readers(this);
  readonly #host: GroupHost;
  readonly #clock: Pick<Clock, "endOfTurn">;
  readonly #onFailure: (error: unknown) => void;
  /** The log begins after it. */
  #startIndex: number;
  /** Up to here the log is committed, durable here, and was given to the readers. Never decreases. */
  #delivered: number;
  /** Position of the last record up to `#delivered`; where the log begins after it, the start. */
  #lastRecord: number;
  #sealedAt: LogIndex | undefined;

  constructor(
    host: GroupHost,
    clock: Pick<Clock, "endOfTurn">,
    startIndex: LogIndex,
    onFailure: (error: unknown) => void,
  ) {
    this.#host = host;
    this.#clock = clock;
    this.#onFailure = onFailure;
    this.#startIndex = startIndex;
    this.#delivered = startIndex;
    this.#lastRecord = startIndex;
  }

  get delivered(): number {
    return this.#delivered;
  }

  get sealedAt(): LogIndex | undefined {
    return this.#sealedAt;
  }

  /** One past the last record that was delivered: whoever reads everything gets to right below it. */
  get tail(): number {
    return this.#lastRecord + 1;
  }

  /** Everything up to `upTo` is committed and durable here. */
  advance(upTo: LogIndex): void {
    let run: Uint8Array[] = [];
    let bytes = 0;
    const flush = (last: number): void => {
      if (run.length === 0) return;
      const records = run;
      run = [];
      bytes = 0;
      // Before anybody hears of the records: whoever looks meanwhile sees a tail behind them.
      this.#lastRecord = last;
      this.#delivered = last;
      this.readers.deliver(last - records.length + 1, records);
    };
    for (let index = this.#delivered + 1; index <= upTo; index++) {
      const entry = this.#host.entry(logIndex(index));
      invariant(entry !== undefined, `entry ${index} is committed up to ${upTo} and not there`);
      if (entry.kind === "record" && this.#readable(index)) {
        run.push(entry.data);
        bytes += entry.data.length;
        if (bytes < this.#host.settings.readBytesMax && run.length < entriesAtOnceMax) continue;
        flush(index);
      } else {
        flush(index - 1);
        if (entry.kind === "seal") this.#sealedAt ??= entry.index;
      }
    }
    flush(upTo);
    this.#delivered = Math.max(this.#delivered, upTo);
  }

  /** The log begins after `index` now: what was up to there is gone. */
  begins(index: LogIndex): void {
    this.#startIndex = Math.max(this.#startIndex, index);
    if (index <= this.#delivered) return;
    this.#delivered = index;
    this.#lastRecord = index;
    this.readers.skip(index);
  }

  // Where readers find what was delivered before they came.

  get end(): number {
    const last = this.#host.mutation === "reader-passes-seal" ? undefined : this.#sealedAt;
    return Math.min(this.#delivered, last ?? this.#delivered) + 1;
  }

  get first(): number {
    return this.#startIndex + 1;
  }

  positionFrom(from: number): number {
    const { end } = this;
    let position = from;
    while (position < end && this.#record(position) === undefined) position++;
    return position;
  }

  recent(from: number): readonly Uint8Array[] | undefined {
    return this.end - from > entriesAtOnceMax ? undefined : this.#piece(from);
  }

  older(from: number): Promise<readonly Uint8Array[] | undefined> {
    return new Promise((resolve) => {
      this.#clock.endOfTurn(() => resolve(from < this.first ? undefined : this.#piece(from)));
    });
  }

  fail(error: unknown): void {
    this.#onFailure(error);
  }

  /** Records from `from` on that lie next to each other. */
  #piece(from: number): readonly Uint8Array[] | undefined {
    const { end } = this;
    const records: Uint8Array[] = [];
    let bytes = 0;
    for (let index = from; index < end && records.length < entriesAtOnceMax; index++) {
      const record = this.#record(index);
      if (record === undefined || bytes > this.#host.settings.readBytesMax) break;
      records.push(record);
      bytes += record.length;
    }
    return records.length === 0 ? undefined : records;
  }

  #record(index: number): Uint8Array | undefined {
    const entry = this.#host.entry(logIndex(index));
    return entry?.kind === "record" ? entry.data : undefined;
  }

  #readable(index: number): boolean {
    return this.#sealedAt === undefined || index < this.#sealedAt || this.#host.mutation === "reader-passes-seal";
  }
}
