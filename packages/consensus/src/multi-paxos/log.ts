/**
 * The slots in memory: what this member has accepted in each, which persist wrote it, and what is chosen. Slots may be
 * empty beyond the chosen prefix. Knows nothing of disks, messages or roles.
 */
import { invariant } from "@quipu/core";
import type { Entry, LogStart, RestoredState } from "../contract.ts";
import { entryBytes, lower, moved } from "../entries.ts";
import type { LogIndex, Term } from "../quantities.ts";

export class PaxosLog {
  #start: LogStart;
  /** Slot i stands at `start.index + 1 + i`; the last is not empty. */
  #entries: (Entry | undefined)[] = [];
  /** By whose token it was given to the disk; 0: it was there at the start. */
  #tokens: number[] = [];
  /** Of the lowest slot that holds a seal, chosen or not. */
  #sealIndex: LogIndex | undefined;
  /**
   * The chosen prefix: start.index <= committed <= last; never decreases, and ends with the first seal. Each of its
   * entries stands in a ballot no lower than that in which it was chosen.
   */
  #committed: LogIndex;
  /** Without a hole, everything up to this is durable as it stands now. */
  #persisted: LogIndex;
  #completedToken = 0;
  #retainedBytes = 0;
  /** Beyond the chosen prefix. */
  #windowBytes = 0;

  constructor(restored: RestoredState) {
    this.#start = restored.start;
    this.#committed = restored.start.index;
    this.#persisted = restored.start.index;
    for (const entry of restored.entries) this.put(entry, 0);
    this.#advancePersisted();
    const noted = restored.hardState.chosen ?? 0;
    if (noted > this.#committed) this.commitTo(lower(noted as LogIndex, this.#persisted));
  }

  get start(): LogStart {
    return this.#start;
  }

  /** The highest slot that is not empty. */
  get last(): LogIndex {
    return moved(this.#start.index, this.#entries.length);
  }

  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#start.term;
  }

  get committed(): LogIndex {
    return this.#committed;
  }

  get persisted(): LogIndex {
    return this.#persisted;
  }

  /** The persist with this token, and every one before it, is durable. */
  get completedToken(): number {
    return this.#completedToken;
  }

  get retainedBytes(): number {
    return this.#retainedBytes;
  }

  get windowBytes(): number {
    return this.#windowBytes;
  }

  get sealIndex(): LogIndex | undefined {
    return this.#sealIndex;
  }

  get sealedAt(): LogIndex | undefined {
    return this.#sealIndex !== undefined && this.#sealIndex <= this.#committed ? this.#sealIndex : undefined;
  }

  entry(index: LogIndex): Entry | undefined {
    return this.#entries[index - this.#start.index - 1];
  }

  /** What stands in this slot is on disk; of slots that are trimmed, too. */
  isDurable(index: LogIndex): boolean {
    if (index <= this.#persisted) return true;
    const token = this.#tokens[index - this.#start.index - 1];
    return token !== undefined && token <= this.#completedToken && this.entry(index) !== undefined;
  }

  /** Without holes from `from` on and within both limits, at least one if there is one. */
  run(from: LogIndex, entriesMax: number, bytesMax: number): { readonly entries: readonly Entry[]; bytes: number } {
    const begin = from - this.#start.index - 1;
    if (!(begin >= 0)) invariant(false, `slots from ${from} are trimmed, the log begins after ${this.#start.index}`);
    let bytes = 0;
    let end = begin;
    for (const limit = Math.min(this.#entries.length, begin + entriesMax); end < limit; end++) {
      const entry = this.#entries[end];
      if (entry === undefined) break;
      const size = entryBytes(entry);
      if (end > begin && bytes + size > bytesMax) break;
      bytes += size;
    }
    return { entries: this.#entries.slice(begin, end) as Entry[], bytes };
  }

  /** The same as one `put` after another; most often they stand behind the last, which is the hot path. */
  putAll(entries: readonly Entry[], token: number): void {
    const [kept, tokens] = [this.#entries, this.#tokens];
    let next = this.last + 1;
    let bytes = 0;
    for (const entry of entries) {
      if (entry.index !== next || entry.kind === "seal") {
        this.put(entry, token);
        next = this.last + 1;
        continue;
      }
      kept.push(entry);
      tokens.push(token);
      bytes += entryBytes(entry);
      next += 1;
    }
    this.#retainedBytes += bytes;
    this.#windowBytes += bytes;
  }

  /** Takes the place of what stood in its slot. Written by the persist with this token. */
  put(entry: Entry, token: number): void {
    const { index } = entry;
    if (!(index > this.#committed)) invariant(false, `slot ${index} is written, but ${this.#committed} is chosen`);
    const at = index - this.#start.index - 1;
    while (this.#entries.length < at) {
      this.#entries.push(undefined);
      this.#tokens.push(0);
    }
    let size = entryBytes(entry);
    if (at === this.#entries.length) {
      this.#entries.push(entry);
      this.#tokens.push(token);
    } else {
      const before = this.#entries[at];
      if (before !== undefined) size -= entryBytes(before);
      this.#entries[at] = entry;
      this.#tokens[at] = token;
      if (index <= this.#persisted) this.#persisted = moved(index, -1);
    }
    this.#retainedBytes += size;
    this.#windowBytes += size;
    if (entry.kind === "seal") {
      if (this.#sealIndex === undefined || index < this.#sealIndex) this.#sealIndex = index;
    } else if (index === this.#sealIndex) {
      this.#findSeal();
    }
  }

  /** Everything from `from` on is gone: none of it is chosen. */
  truncateFrom(from: LogIndex): void {
    if (!(from > this.#committed)) invariant(false, `truncates from ${from}, but ${this.#committed} is chosen`);
    const keep = from - this.#start.index - 1;
    for (let at = keep; at < this.#entries.length; at++) {
      const entry = this.#entries[at];
      if (entry !== undefined) {
        this.#retainedBytes -= entryBytes(entry);
        this.#windowBytes -= entryBytes(entry);
      }
    }
    this.#cutTo(keep);
    // What lies below may be empty: `last` is a slot that is not.
    let end = this.#entries.length;
    while (end > 0 && this.#entries[end - 1] === undefined) end--;
    this.#cutTo(end);
    this.#persisted = lower(this.#persisted, this.last);
    if (this.#sealIndex !== undefined && this.#sealIndex >= from) this.#sealIndex = undefined;
  }

  /** Up to `to` or the first seal, whichever comes first. */
  commitTo(to: LogIndex): void {
    if (!(to >= this.#committed && to <= this.last)) {
      invariant(false, `chosen prefix ${this.#committed} -> ${to}, the log ends at ${this.last}`);
    }
    if (this.sealedAt !== undefined) return;
    const end = this.#sealIndex === undefined ? to : lower(to, this.#sealIndex);
    for (let at = this.#committed - this.#start.index; at < end - this.#start.index; at++) {
      const entry = this.#entries[at];
      if (entry === undefined) invariant(false, `slot ${this.#start.index + 1 + at} is chosen, but empty`);
      else this.#windowBytes -= entryBytes(entry);
    }
    this.#committed = end;
  }

  /** The answer of the disk. */
  completed(token: number): void {
    if (token <= this.#completedToken) return;
    this.#completedToken = token;
    this.#advancePersisted();
  }

  /** How the log would begin after `index`; undefined if it does not reach there. */
  startAt(index: LogIndex): LogStart | undefined {
    if (index === this.#start.index) return this.#start;
    const term = this.entry(index)?.term;
    return term === undefined ? undefined : { index, term, configuration: this.#start.configuration };
  }

  /** The log begins after `upTo`, which is chosen. */
  trim(upTo: LogIndex): LogStart {
    const start = this.startAt(upTo);
    if (start === undefined || upTo > this.#committed) {
      return invariant(false, `trims up to ${upTo}, chosen is ${this.#committed}`) as never;
    }
    const gone = upTo - this.#start.index;
    for (let at = 0; at < gone; at++) this.#retainedBytes -= entryBytes(this.#entries[at] as Entry);
    this.#entries = this.#entries.slice(gone);
    this.#tokens = this.#tokens.slice(gone);
    this.#start = start;
    return start;
  }

  /**
   * A state snapshot has taken the place of everything up to `start.index`. What was accepted above stays accepted: an
   * acceptor must not forget. Those entries, to be written again with this token, behind the new start.
   */
  restart(start: LogStart, token: number, forgets: boolean): readonly Entry[] {
    invariant(start.index > this.#committed, `restarts at ${start.index}, but ${this.#committed} is chosen`);
    const above = this.#entries.slice(Math.max(0, start.index - this.#start.index));
    const kept = forgets ? [] : above.filter((entry) => entry !== undefined);
    this.#start = start;
    this.#entries = [];
    this.#tokens = [];
    this.#committed = start.index;
    this.#persisted = start.index;
    this.#retainedBytes = 0;
    this.#windowBytes = 0;
    this.#sealIndex = undefined;
    for (const entry of kept) this.put(entry, token);
    return kept;
  }

  #cutTo(length: number): void {
    this.#entries.length = length;
    this.#tokens.length = length;
  }

  #advancePersisted(): void {
    for (let at = this.#persisted - this.#start.index; at < this.#entries.length; at++) {
      if (this.#entries[at] === undefined || (this.#tokens[at] as number) > this.#completedToken) break;
      this.#persisted = moved(this.#start.index, at + 1);
    }
  }

  /** Rare: a slot that held a seal holds something else now. */
  #findSeal(): void {
    this.#sealIndex = this.#entries.find((entry) => entry?.kind === "seal")?.index;
  }
}
