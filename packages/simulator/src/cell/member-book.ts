/**
 * What the simulator knows of one member in one group: its log as last seen, since when each entry can be durable, how
 * far its terms, votes and positions had come. Kept over restarts, and after the disk is gone.
 */
import type { Configuration, CoreView } from "@quipu/consensus";
import { check } from "../failure.ts";
import type { BookedMember, ObservedGroup } from "./book.ts";
import type { DurableTime } from "./durable-time.ts";
import type { EntryRegistry } from "./entry-registry.ts";

/** Seen on the disk at a start: durable for sure. */
const sinceEver = -1;

export class MemberBook implements BookedMember {
  readonly name: string;
  readonly #time: DurableTime;
  /** While the process is dead, or its disk gone: the syncs that were over by then. */
  #doneAtDeath: number | undefined;
  #isNewLife = true;
  /** The log from #first on: terms, and the sync that was under way when each entry was first seen. */
  #first = 1;
  #terms: number[] = [];
  #seenAt: number[] = [];
  /** Indexes of configuration entries in the log, ascending. */
  #configurations: number[] = [];
  /** How far the log reached at most since it began after #begunAfter. */
  #reached = 0;
  #begunAfter = 0;
  #hardStateSeenAt = sinceEver;
  #last: CoreView | undefined;
  /** The highest term that others have seen this member vote in. */
  #promisedTerm = 0;

  constructor(name: string, time: DurableTime) {
    this.name = name;
    this.#time = time;
  }

  get view(): CoreView | undefined {
    return this.#last;
  }

  get isAlive(): boolean {
    return this.#doneAtDeath === undefined && this.#last !== undefined;
  }

  died(): void {
    this.#doneAtDeath ??= this.#time.done;
    this.#isNewLife = true;
  }

  /** As {@link durableTerm}, and the living member itself agrees. */
  heldTerm(index: number): number | undefined {
    return this.isAlive && index > (this.#last?.persisted ?? 0) ? undefined : this.durableTerm(index);
  }

  /** The term of the entry at `index` if it can be durable here, or was when this member was last heard of. */
  durableTerm(index: number): number | undefined {
    const start = this.#last?.start;
    if (start !== undefined && index <= start.index) return index === start.index ? start.term : undefined;
    const at = index - this.#first;
    const seenAt = this.#seenAt[at];
    return seenAt !== undefined && seenAt < this.#done ? this.#terms[at] : undefined;
  }

  /** True where the whole log up to `index` can be durable here, because it stands below the log's start. */
  isBelowStart(index: number): boolean {
    return this.#last !== undefined && index <= this.#last.start.index;
  }

  get isHardStateDurable(): boolean {
    return this.#hardStateSeenAt < this.#done;
  }

  promised(term: number): void {
    this.#promisedTerm = Math.max(this.#promisedTerm, term);
  }

  get #done(): number {
    return this.#doneAtDeath ?? this.#time.done;
  }

  /** Takes what a step has left; returns the new entries' first index (`view.last + 1` if there are none). */
  observe(group: ObservedGroup, view: CoreView, registry: EntryRegistry): number {
    const before = this.#last;
    if (this.#isNewLife) {
      if (before !== undefined) this.#checkRestored(group, view, before);
      this.#begin(group, view);
    } else if (before !== undefined) this.#checkForward(view, before);
    if (before === undefined || view.term !== before.term || view.vote !== before.vote) {
      this.#hardStateSeenAt = this.#isNewLife ? sinceEver : this.#time.now;
    }
    const from = this.#takeLog(group, view, registry);
    // A restored log, and one that a snapshot has replaced, begin to count anew.
    const isAnew = this.#isNewLife || view.start.index > (before?.delivered ?? 0);
    this.#reached = isAnew ? view.last : Math.max(this.#reached, view.last);
    if (isAnew) this.#begunAfter = view.start.index;
    this.#last = view;
    this.#isNewLife = false;
    this.#checkPersisted(view, before?.persisted ?? 0);
    this.#checkConfiguration(group, view);
    return from;
  }

  /** A start: what was surely durable must be there, and nothing that was promised may be forgotten. */
  #checkRestored(group: ObservedGroup, view: CoreView, before: CoreView): void {
    check(
      view.term >= this.#promisedTerm,
      "durable-lost",
      () => `${this.name} starts in term ${view.term}, it had voted in ${this.#promisedTerm}`,
    );
    check(
      view.start.index < this.#begunAfter || view.last <= this.#reached,
      "log-order",
      () => `${this.name} starts with a log up to ${view.last}, it reached only ${this.#reached}`,
    );
    const upTo = Math.min(before.persisted, this.#first + this.#terms.length - 1);
    for (let index = Math.max(view.start.index + 1, this.#first); index <= upTo; index++) {
      const term = this.durableTerm(index);
      if (term === undefined) continue;
      const found = group.entry(index)?.term;
      check(
        found === term,
        "durable-lost",
        () => `${this.name} starts with term ${found} at ${index}, ${term} was durable there`,
      );
    }
  }

  /** A member takes nothing for durable that cannot be (research/consensus.md P3, P6). */
  #checkPersisted(view: CoreView, before: number): void {
    for (let index = Math.max(before, view.start.index) + 1; index <= view.persisted; index++) {
      const isDurable = this.durableTerm(index) !== undefined;
      check(isDurable, "promise-not-durable", () => `${this.name} takes ${index} for durable, which cannot be`);
    }
  }

  /** The last configuration in the log is in force, committed or not (Raft §6). */
  #checkConfiguration(group: ObservedGroup, view: CoreView): void {
    const { start, last } = view;
    this.#configurations = this.#configurations.filter((index) => index > start.index && index <= last);
    const index = this.#configurations.at(-1) ?? start.index;
    const entry = group.entry(index);
    const expected = index > start.index && entry?.kind === "configuration" ? entry.configuration : start.configuration;
    check(
      view.configurationIndex === index && (view.configuration === expected || isSame(view.configuration, expected)),
      "configuration",
      () =>
        `${this.name} goes by the configuration of ${view.configurationIndex}, its log has the last one at ${index}`,
    );
  }

  #begin(group: ObservedGroup, view: CoreView): void {
    this.#doneAtDeath = undefined;
    this.#first = view.start.index + 1;
    this.#terms = [];
    this.#seenAt = [];
    this.#configurations = [];
    for (let index = this.#first; index <= view.persisted; index++) {
      this.#terms.push(group.entry(index)?.term ?? 0);
      this.#seenAt.push(sinceEver);
    }
  }

  #checkForward(view: CoreView, before: CoreView): void {
    check(view.term >= before.term, "went-back", () => `${this.name}: term ${before.term} -> ${view.term}`);
    const keepsVote = view.term > before.term || before.vote === undefined || view.vote === before.vote;
    check(keepsVote, "went-back", () => `${this.name}: vote in term ${view.term}: ${before.vote} -> ${view.vote}`);
    for (const what of ["committed", "delivered"] as const) {
      check(view[what] >= before[what], "went-back", () => `${this.name}: ${what} ${before[what]} -> ${view[what]}`);
    }
    check(
      view.start.index >= before.start.index,
      "went-back",
      () => `${this.name}: start ${before.start.index} -> ${view.start.index}`,
    );
  }

  /** Entries that are new here are compared with what others have there; from the end down to the first known one. */
  #takeLog(group: ObservedGroup, view: CoreView, registry: EntryRegistry): number {
    const { last, start } = view;
    if (start.index >= this.#first + this.#terms.length || last < this.#first) {
      this.#first = start.index + 1;
      this.#terms = [];
      this.#seenAt = [];
    }
    let kept = Math.min(last, this.#first + this.#terms.length - 1);
    while (kept > start.index && kept >= this.#first && group.entry(kept)?.term !== this.#terms[kept - this.#first])
      kept--;
    const from = this.#isNewLife ? start.index + 1 : kept + 1;
    const before = this.#last;
    if (!this.#isNewLife && before !== undefined && start.index < before.committed) {
      check(
        kept >= Math.min(before.committed, last) && last >= before.committed,
        "committed-changed",
        () => `${this.name}: the log changed from ${kept + 1} on, ${before.committed} was committed`,
      );
    }
    this.#configurations = this.#configurations.filter((index) => index < from);
    this.#terms.length = Math.max(0, kept + 1 - this.#first);
    this.#seenAt.length = this.#terms.length;
    let previousTerm: number = from - 1 === start.index ? start.term : (group.entry(from - 1)?.term ?? -1);
    for (let index = from; index <= last; index++) {
      const entry = group.entry(index);
      check(entry !== undefined, "log-order", () => `${this.name}: no entry ${index} in ${start.index}..${last}`);
      check(
        entry.index === index && entry.term >= previousTerm && entry.term <= view.term,
        "log-order",
        () => `${this.name}: at ${index} stands ${entry.index} of term ${entry.term} after term ${previousTerm}`,
      );
      registry.seen(this.name, entry, previousTerm);
      previousTerm = entry.term;
      if (entry.kind === "configuration") this.#configurations.push(index);
      if (index > kept) {
        this.#terms.push(entry.term);
        this.#seenAt.push(this.#time.now);
      }
    }
    return from;
  }
}

function isSame(left: Configuration, right: Configuration): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
