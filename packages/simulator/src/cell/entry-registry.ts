/**
 * Every entry that ever stood in any log of one group, by index and term, and which of them are committed.
 * LogMatching and CommittedImmutable (Raft figure 3) are checked entry by entry, as each is first seen somewhere.
 */
import type { Configuration, Entry } from "@quipu/consensus";
import { check } from "../failure.ts";
import type { CommittedLog } from "./book.ts";

interface Registered {
  readonly term: number;
  readonly previousTerm: number;
  readonly entry: Entry;
}

interface Commit {
  readonly term: number;
  /** Of the leader that committed it. */
  readonly inTerm: number;
}

export class EntryRegistry implements CommittedLog {
  readonly #entries = new Map<number, Registered[]>();
  /** From index 1. */
  readonly #commits: Commit[] = [];
  #sealedAt: number | undefined;
  /** Committed configuration entries, ascending. */
  readonly #configurations: { readonly index: number; readonly configuration: Configuration }[] = [];
  readonly #onCommitted: ((entry: Entry) => void) | undefined;

  /** `onCommitted` hears of every entry, in order, as soon as it is committed. */
  constructor(onCommitted?: (entry: Entry) => void) {
    this.#onCommitted = onCommitted;
  }

  get committedUpTo(): number {
    return this.#commits.length;
  }

  /** Where the log ends for ever, once that is committed. */
  get sealedAt(): number | undefined {
    return this.#sealedAt;
  }

  /** The last committed configuration entry. */
  get committedConfiguration(): { readonly index: number; readonly configuration: Configuration } | undefined {
    return this.#configurations.at(-1);
  }

  /** The configuration as of `index`, as far as an entry brought it. */
  configurationAt(index: number): Configuration | undefined {
    return this.#configurations.findLast((placed) => placed.index <= index)?.configuration;
  }

  committedTerm(index: number): number | undefined {
    return this.#commits[index - 1]?.term;
  }

  committedEntry(index: number): Entry | undefined {
    const term = this.committedTerm(index);
    return this.#entries.get(index)?.find((other) => other.term === term)?.entry;
  }

  /** The highest index that a leader of a term below `term` had committed. */
  committedBefore(term: number): number {
    let index = this.#commits.length;
    while (index > 0 && (this.#commits[index - 1] as Commit).inTerm >= term) index--;
    return index;
  }

  /** If two logs hold an entry with the same index and term, they are equal up to it (Raft §5.3). */
  seen(who: string, entry: Entry, previousTerm: number): void {
    const { index, term } = entry;
    let terms = this.#entries.get(index);
    if (terms === undefined) this.#entries.set(index, (terms = []));
    const known = terms.find((other) => other.term === term);
    if (known === undefined) {
      terms.push({ term, previousTerm, entry });
      return;
    }
    check(
      known.previousTerm === previousTerm && isSameContent(known.entry, entry),
      "log-matching",
      () => `${who}: entry ${index} of term ${term} is not what it is elsewhere`,
    );
  }

  /** A member says that `index`, where its log has an entry of `term`, is committed. */
  committed(who: string, index: number, term: number, inTerm: number, isLeader: boolean): void {
    const known = this.#commits[index - 1];
    if (known !== undefined) {
      check(
        known.term === term,
        "committed-changed",
        () => `${who}: committed entry ${index} is of term ${term}, it was of term ${known.term}`,
      );
      return;
    }
    check(
      isLeader && index === this.#commits.length + 1,
      "committed-without-quorum",
      () => `${who} takes ${index} for committed, which no leader has committed (${this.#commits.length})`,
    );
    this.#commits.push({ term, inTerm });
    const entry = this.#entries.get(index)?.find((other) => other.term === term)?.entry;
    if (entry?.kind === "seal") this.#sealedAt ??= index;
    if (entry?.kind === "configuration") {
      this.#configurations.push({ index, configuration: entry.configuration });
    }
    if (entry !== undefined) this.#onCommitted?.(entry);
  }
}

/** Whatever term they are of. */
export function isSameContent(left: Entry, right: Entry): boolean {
  if (left === right) return true;
  if (left.kind === "record") {
    return right.kind === "record" && isSameBytes(left.data, right.data);
  }
  if (left.kind === "configuration") {
    return right.kind === "configuration" && JSON.stringify(left.configuration) === JSON.stringify(right.configuration);
  }
  return left.kind === right.kind;
}

export function isSameBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left === right) return true;
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}
