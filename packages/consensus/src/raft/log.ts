/**
 * The log in memory: entries behind a start, what is committed of it, and what its entries mean for the group itself:
 * the configuration in force and the seal. Knows nothing of disks, messages or roles.
 *
 * Here and in `durability.ts`, what every message checks makes its text only if it is needed: put together at every
 * call, the texts took a fifth of a step.
 */
import { invariant } from "@quipu/core";
import type { Entry, LogStart, RestoredState } from "../contract.ts";
import { entryBytes, moved } from "../entries.ts";
import type { Configuration, LogIndex, Term } from "../quantities.ts";
import type { RaftMutation } from "./mutation.ts";

interface PlacedConfiguration {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

export class RaftLog {
  readonly #mutation: RaftMutation | undefined;
  #start: LogStart;
  /** Entry i stands at `start.index + 1 + i`. */
  #entries: Entry[] = [];
  /** Never empty: first that of the start, then those of the log, ascending. The last is in force. */
  #configurations: PlacedConfiguration[];
  /** The first seal in the log, committed or not. */
  #sealIndex: LogIndex | undefined;
  /** start.index <= committed <= last; never decreases. */
  #committed: LogIndex;
  #retainedBytes = 0;
  #uncommittedBytes = 0;

  constructor(restored: RestoredState, mutation: RaftMutation | undefined) {
    this.#mutation = mutation;
    this.#start = restored.start;
    this.#committed = restored.start.index;
    this.#configurations = [{ index: restored.start.index, configuration: restored.start.configuration }];
    this.append(restored.entries);
  }

  get start(): LogStart {
    return this.#start;
  }

  get last(): LogIndex {
    return moved(this.#start.index, this.#entries.length);
  }

  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#start.term;
  }

  get committed(): LogIndex {
    return this.#committed;
  }

  get retainedBytes(): number {
    return this.#retainedBytes;
  }

  get uncommittedBytes(): number {
    return this.#uncommittedBytes;
  }

  /** In force as soon as it is in the log, committed or not (Raft §6). */
  get configuration(): Configuration {
    return this.#newestConfiguration().configuration;
  }

  get configurationIndex(): LogIndex {
    return this.#newestConfiguration().index;
  }

  /** Configurations that may yet turn out to be the group's: the last committed one and all behind it, ascending. */
  possibleConfigurations(): readonly Configuration[] {
    const committed = this.#configurations.findLastIndex((placed) => placed.index <= this.#committed);
    return this.#configurations.slice(committed).map((placed) => placed.configuration);
  }

  /** The first seal in the log, committed or not. */
  get sealIndex(): LogIndex | undefined {
    return this.#sealIndex;
  }

  get sealedAt(): LogIndex | undefined {
    if (this.#mutation === "seal-not-final") return undefined;
    return this.#sealIndex !== undefined && this.#sealIndex <= this.#committed ? this.#sealIndex : undefined;
  }

  entry(index: LogIndex): Entry | undefined {
    return this.#entries[index - this.#start.index - 1];
  }

  /** Of an entry in the log or the one before its first; else undefined. */
  termAt(index: LogIndex): Term | undefined {
    return index === this.#start.index ? this.#start.term : this.entry(index)?.term;
  }

  /**
   * The last index up to `index` whose term is at most `term`; undefined if it would lie before the start. Terms never
   * decrease along a log, so the search halves.
   */
  lastOfTermAtMost(index: LogIndex, term: Term): LogIndex | undefined {
    if (index < this.#start.index || this.#start.term > term) return undefined;
    let low = 0; // Entries kept: at `low` the term is surely small enough.
    let high = Math.min(index, this.last) - this.#start.index;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#entries[middle - 1]?.term ?? this.#start.term) <= term) low = middle;
      else high = middle - 1;
    }
    return moved(this.#start.index, low);
  }

  /** Entries from `from` on within both limits, at least one if there is one. */
  slice(from: LogIndex, entriesMax: number, bytesMax: number): { readonly entries: readonly Entry[]; bytes: number } {
    const begin = from - this.#start.index - 1;
    if (!(begin >= 0)) invariant(false, `entries from ${from} are trimmed, the log begins after ${this.#start.index}`);
    let bytes = 0;
    let end = begin;
    for (const limit = Math.min(this.#entries.length, begin + entriesMax); end < limit; end++) {
      const size = entryBytes(this.#entries[end] as Entry);
      if (end > begin && bytes + size > bytesMax) break;
      bytes += size;
    }
    return { entries: this.#entries.slice(begin, end), bytes };
  }

  append(entries: readonly Entry[]): void {
    let expected = this.last + 1;
    let term = this.lastTerm;
    for (const entry of entries) {
      if (entry.index !== expected || entry.term < term) {
        invariant(false, `append of ${entry.index} (term ${entry.term}) behind ${expected - 1} (term ${term})`);
      }
      expected += 1;
      term = entry.term;
      const size = entryBytes(entry);
      this.#retainedBytes += size;
      this.#uncommittedBytes += size;
      this.#entries.push(entry);
      if (entry.kind === "configuration") {
        this.#configurations.push({ index: entry.index, configuration: entry.configuration });
      } else if (entry.kind === "seal") {
        this.#sealIndex ??= entry.index;
      }
    }
  }

  /** Entries from `from` on are gone, and what they meant with them. */
  truncateFrom(from: LogIndex): void {
    invariant(from > this.#committed, `truncates from ${from}, but ${this.#committed} is committed`);
    invariant(from <= this.last, `truncates from ${from} beyond the last, ${this.last}`);
    const keep = from - this.#start.index - 1;
    for (let at = keep; at < this.#entries.length; at++) {
      const size = entryBytes(this.#entries[at] as Entry);
      this.#retainedBytes -= size;
      this.#uncommittedBytes -= size;
    }
    this.#entries.length = keep;
    if (this.#sealIndex !== undefined && this.#sealIndex >= from) this.#sealIndex = undefined;
    if (this.#mutation === "configuration-kept-after-truncation") return;
    this.#configurations = this.#configurations.filter((placed, at) => at === 0 || placed.index < from);
  }

  commitTo(to: LogIndex): void {
    if (!(to >= this.#committed)) invariant(false, `commit went back: ${this.#committed} -> ${to}`);
    if (!(to <= this.last)) invariant(false, `commits ${to}, but the log ends at ${this.last}`);
    const begin = this.#committed - this.#start.index;
    const end = to - this.#start.index;
    for (let at = begin; at < end; at++) this.#uncommittedBytes -= entryBytes(this.#entries[at] as Entry);
    this.#committed = to;
  }

  /**
   * How the log would begin after `index`; undefined if it does not reach there, or if the configuration of that time
   * is not known: a member that joined has entries that are older than its first configuration.
   */
  startAt(index: LogIndex): LogStart | undefined {
    const term = this.termAt(index);
    if (term === undefined) return undefined;
    const configuration = this.#configurations.findLast((placed) => placed.index <= index)?.configuration;
    return configuration === undefined || configuration.voters.length === 0
      ? undefined
      : { index, term, configuration };
  }

  /** The log begins after `upTo`, which is committed; undefined if it cannot. */
  trim(upTo: LogIndex): LogStart | undefined {
    invariant(upTo <= this.#committed, `trims up to ${upTo}, but only ${this.#committed} is committed`);
    const start = this.startAt(upTo);
    if (start === undefined) return undefined;
    const gone = upTo - this.#start.index;
    for (let at = 0; at < gone; at++) this.#retainedBytes -= entryBytes(this.#entries[at] as Entry);
    this.#entries = this.#entries.slice(gone);
    this.#configurations = [
      { index: upTo, configuration: start.configuration },
      ...this.#configurations.filter((placed) => placed.index > upTo),
    ];
    this.#start = start;
    return start;
  }

  /** The log is empty and begins after `start`: a state snapshot has taken the place of what was. */
  restart(start: LogStart): void {
    invariant(start.index > this.#committed, `restarts at ${start.index}, but ${this.#committed} is committed`);
    // The membership belongs to the snapshot, never to the log that it replaces (P11).
    const forgets = this.#mutation === "restart-forgets-configuration";
    this.#start = forgets ? { ...start, configuration: this.configuration } : start;
    this.#entries = [];
    this.#configurations = [{ index: start.index, configuration: this.#start.configuration }];
    this.#sealIndex = undefined;
    this.#committed = start.index;
    this.#retainedBytes = 0;
    this.#uncommittedBytes = 0;
  }

  #newestConfiguration(): PlacedConfiguration {
    return this.#configurations.at(-1) as PlacedConfiguration;
  }
}
