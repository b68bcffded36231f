/**
 * Publishes state snapshots in a repository as the log grows. Several nodes may do so: each looks at what is there, waits
 * for somebody who is at it, and only then makes one of its own.
 */
import { type Clock, lsn, type Lsn, QuipuError, type Random } from "@quipu/core";
import { Recurring } from "../recurring.ts";
import type { SnapshotRepository } from "./repository.ts";
import type { OfferedSnapshot } from "./source.ts";

export interface PublisherSettings {
  /**
   * Log since the newest snapshot, in bytes of records, that is worth another one. Where half of the snapshot is more, as
   * much as that.
   */
  readonly logBytesMin: number;
  /** The same in records, for many small ones take long to read; more in the same measure where the snapshot is large. */
  readonly logRecordsMin: number;
  /** Between two looks, half of it at least. */
  readonly lookMs: number;
}

const mebibyte = 1024 * 1024;

export const defaultPublisherSettings: PublisherSettings = {
  // A new node reads this in a second or two; ZooKeeper holds all of it in memory, twice.
  logBytesMin: 8 * mebibyte,
  logRecordsMin: 20_000,
  lookMs: 2_000,
};

export interface PublisherOptions {
  readonly repository: SnapshotRepository;
  readonly clock: Pick<Clock, "setTimer">;
  readonly random: Random;
  /** Where this node's state stands, and bytes of records that it has applied since it began. Undefined: it has none now. */
  readonly applied: () => { readonly position: Lsn; readonly recordBytes: number } | undefined;
  /** Undefined: not at present. Never rejects. */
  readonly make: () => Promise<OfferedSnapshot | undefined>;
  /** A snapshot of `position` is there, whoever made it: the log is needed above it only. */
  readonly onPublished: (position: Lsn) => Promise<void>;
  /** It could not be published, for now. */
  readonly onFailure?: (error: QuipuError) => void;
  /** A broken invariant. */
  readonly onFatal: (error: unknown) => void;
  readonly settings?: Partial<PublisherSettings>;
}

export class SnapshotPublisher {
  readonly #options: PublisherOptions;
  readonly #settings: PublisherSettings;
  /** Of the newest snapshot that this node has seen there; never decreases. */
  #publishedUpTo: Lsn = lsn(0);
  /** Bytes applied here when that was seen. */
  #recordBytesThen = 0;
  /** Of the last one made here. */
  #snapshotBytes = 0;
  #published = 0;
  readonly #looks: Recurring;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#settings = { ...defaultPublisherSettings, ...options.settings };
    const { clock, random } = options;
    this.#looks = new Recurring({ clock, random, everyMs: this.#settings.lookMs, run: () => this.#look() });
  }

  get publishedUpTo(): Lsn {
    return this.#publishedUpTo;
  }

  /** Published by this node. */
  get published(): number {
    return this.#published;
  }

  close(): Promise<void> {
    return this.#looks.close();
  }

  async #look(): Promise<void> {
    try {
      const stored = await this.#options.repository.survey();
      await this.#seen(stored.findLast(({ isPublished }) => isPublished)?.position ?? lsn(0));
      if (this.#looks.isClosed || !this.#isDue) return;
      if (stored.some((each) => this.#options.repository.isGrowing(each))) return;
      await this.#publish();
    } catch (error) {
      // Out of reach, or full: the next look may find it otherwise.
      if (error instanceof QuipuError) this.#options.onFailure?.(error);
      else this.#options.onFatal(error);
    }
  }

  get #isDue(): boolean {
    const applied = this.#options.applied();
    if (applied === undefined || applied.position <= this.#publishedUpTo) return false;
    const { logBytesMin, logRecordsMin } = this.#settings;
    const bytes = applied.recordBytes - this.#recordBytesThen;
    const records = applied.position - this.#publishedUpTo;
    // A large state is not written again for a little log.
    const factor = Math.max(1, this.#snapshotBytes / 2 / logBytesMin);
    return bytes >= logBytesMin * factor || records >= logRecordsMin * factor;
  }

  async #publish(): Promise<void> {
    const { repository, make } = this.#options;
    const snapshot = await make();
    if (snapshot === undefined || this.#looks.isClosed) return;
    this.#snapshotBytes = snapshot.bytes.totalBytes;
    if (!(await repository.publish(snapshot))) return;
    this.#published += 1;
    await this.#seen(snapshot.bytes.position);
    await repository.tidy();
  }

  async #seen(position: Lsn): Promise<void> {
    if (position <= this.#publishedUpTo) return;
    this.#publishedUpTo = position;
    this.#recordBytesThen = this.#options.applied()?.recordBytes ?? 0;
    await this.#options.onPublished(position);
  }
}
