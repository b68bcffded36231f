/**
 * The invariants of one group (research/consensus.md §1.2), checked after every step of a core: only the member that
 * stepped is looked at, and of its log only what is new.
 */
import type { Configuration, CoreView, MemberId } from "@quipu/consensus";
import { check } from "../failure.ts";
import type { BookOptions, ConsensusBook, ObservedGroup } from "./book.ts";
import type { DurableTime } from "./durable-time.ts";
import { EntryRegistry } from "./entry-registry.ts";
import { MemberBook } from "./member-book.ts";

export class GroupBook implements ConsensusBook {
  readonly engine = "raft";
  readonly registry: EntryRegistry;
  readonly #group: number;
  readonly #storedUpTo: (member: MemberId) => number;
  readonly #members = new Map<MemberId, MemberBook>();
  /** ElectionSafety: at most one leader in a term (Raft §5.2). */
  readonly #leaders = new Map<number, MemberId>();
  /** The configuration before the first entry. */
  #founding: Configuration | undefined;

  constructor({ group, storedUpTo, onCommitted }: BookOptions) {
    this.#group = group;
    this.#storedUpTo = storedUpTo;
    this.registry = new EntryRegistry(onCommitted);
  }

  get founding(): Configuration | undefined {
    return this.#founding;
  }

  /** The last one that is committed. */
  get configuration(): Configuration | undefined {
    return this.registry.committedConfiguration?.configuration ?? this.#founding;
  }

  member(member: MemberId): MemberBook | undefined {
    return this.#members.get(member);
  }

  /** The living member that leads in the highest term, if any does. */
  leader(): CoreView | undefined {
    let found: CoreView | undefined;
    for (const book of this.#members.values()) {
      const { view } = book;
      if (book.isAlive && view?.role === "leader" && view.term > (found?.term ?? 0)) found = view;
    }
    return found;
  }

  died(member: MemberId): void {
    this.#members.get(member)?.died();
  }

  observe(group: ObservedGroup, time: DurableTime): CoreView {
    const view = group.inspect();
    let book = this.#members.get(view.member);
    if (book === undefined) {
      const name = `member ${view.member} (node ${view.member % 1024}) in group ${this.#group}`;
      this.#members.set(view.member, (book = new MemberBook(name, time)));
    }
    const before = book.isAlive ? book.view : undefined;
    if (view.start.index === 0 && view.start.configuration.voters.length > 0)
      this.#founding ??= view.start.configuration;
    checkOrder(book.name, view);
    const from = book.observe(group, view, this.registry);
    if (view.committed > (before?.committed ?? 0)) this.#takeCommits(group, book, view, before);
    if (view.start.index > (before?.start.index ?? 0)) this.#checkStart(book, view);
    if (before !== undefined && view.start.index > before.start.index && view.start.index <= before.delivered) {
      checkTrim(book.name, view, this.#storedUpTo);
    }
    const { sealedAt } = this.registry;
    check(
      sealedAt === undefined || view.committed < sealedAt || view.sealedAt === sealedAt,
      "seal",
      () => `${book.name} has the log end at ${view.sealedAt}, though ${sealedAt} sealed it`,
    );
    if (view.role === "leader") {
      this.#checkLeader(group, book, view, before);
      this.#checkOpened(group, book, view, from);
    }
    return view;
  }

  #checkLeader(group: ObservedGroup, book: MemberBook, view: CoreView, before: CoreView | undefined): void {
    this.led(view.member, view.term);
    for (const { member, match, next } of view.progress) {
      check(
        match >= 0 && match < next && match <= view.last,
        "progress",
        () => `${book.name}: member ${member} has match ${match}, next ${next}, of ${view.last}`,
      );
    }
    this.#checkOneChange(group, book, view);
    if (before?.role === "leader" && before.term === view.term) return;
    // LeaderCompleteness (§5.4): what earlier leaders have committed stands in the log of each later one.
    const upTo = this.registry.committedBefore(view.term);
    if (upTo <= view.start.index) return;
    const found = group.entry(upTo)?.term;
    check(
      found === this.registry.committedTerm(upTo),
      "leader-completeness",
      () => `${book.name} leads term ${view.term} with term ${found} at ${upTo}, which is committed otherwise`,
    );
  }

  /** Somebody says to others that `member` leads `term`. */
  led(member: MemberId, term: number): void {
    const known = this.#leaders.get(term);
    if (known === undefined) this.#leaders.set(term, member);
    else
      check(
        known === member,
        "election-safety",
        () => `group ${this.#group}: members ${known} and ${member} lead term ${term}`,
      );
  }

  /** At most one change of the configuration is under way (Raft §6). */
  #checkOneChange(group: ObservedGroup, book: MemberBook, view: CoreView): void {
    if (view.configurationIndex <= this.registry.committedUpTo) return;
    for (let index = this.registry.committedUpTo + 1; index < view.configurationIndex; index++) {
      const isChange = group.entry(index)?.kind === "configuration";
      check(!isChange, "configuration", () => `${book.name}: changes at ${index} and ${view.configurationIndex}`);
    }
  }

  /** A log that begins anew knows its members as of there (research/consensus.md P11). */
  #checkStart(book: MemberBook, { start }: CoreView): void {
    const expected = this.registry.configurationAt(start.index) ?? this.#founding;
    check(
      expected === undefined || JSON.stringify(start.configuration) === JSON.stringify(expected),
      "configuration",
      () => `${book.name} begins after ${start.index} with ${start.configuration.voters.join()} for voters`,
    );
  }

  /** A leader changes the configuration only once an entry of its own term is committed (Ongaro, raft-dev 2015). */
  #checkOpened(group: ObservedGroup, book: MemberBook, view: CoreView, from: number): void {
    if (view.configurationIndex < from || view.configurationIndex <= view.start.index) return;
    const isOwn = group.entry(view.configurationIndex)?.term === view.term;
    check(
      !isOwn || this.registry.committedTerm(view.committed) === view.term,
      "configuration",
      () => `${book.name} changes the configuration before it has committed anything in term ${view.term}`,
    );
  }

  #takeCommits(group: ObservedGroup, book: MemberBook, view: CoreView, before: CoreView | undefined): void {
    const { registry } = this;
    // Who commits a configuration without itself steps down in the same step (Raft §6).
    const isLeader = view.role === "leader" || (before?.role === "leader" && before.term === view.term);
    const known = registry.committedUpTo;
    check(
      view.start.index <= known,
      "committed-changed",
      () => `${book.name}: the log begins after ${view.start.index}, only ${known} are committed`,
    );
    for (let index = Math.max(before?.committed ?? 0, view.start.index) + 1; index <= view.committed; index++) {
      registry.committed(book.name, index, group.entry(index)?.term ?? 0, view.term, isLeader);
    }
    if (view.committed <= known) return;
    const { committed } = view;
    const term = registry.committedTerm(committed);
    check(
      term === view.term,
      "committed-old-term",
      () => `${book.name} committed ${committed} of term ${term} by counting in term ${view.term} (§5.4.2)`,
    );
    this.#checkQuorum(book, view.configuration, committed, term);
  }

  /** CommittedOnQuorum, judged by what the simulated disks can hold at present. */
  #checkQuorum(book: MemberBook, configuration: Configuration, index: number, term: number): void {
    for (const voters of [configuration.voters, configuration.outgoing]) {
      const holders = voters.filter((voter) => {
        const holder = this.#members.get(voter);
        return holder !== undefined && (holder.heldTerm(index) === term || holder.isBelowStart(index));
      });
      check(
        voters.length === 0 || holders.length > voters.length / 2,
        "committed-without-quorum",
        () => `${book.name} committed ${index}; of ${voters.join(", ")} only ${holders.join(", ")} can have it on disk`,
      );
    }
  }
}

/** What is trimmed stands in durable checkpoints of a majority (DESIGN §4.2). */
export function checkTrim(
  name: string,
  { start, configuration }: CoreView,
  storedUpTo: (member: MemberId) => number,
): void {
  for (const voters of [configuration.voters, configuration.outgoing]) {
    const holders = voters.filter((voter) => storedUpTo(voter) >= start.index);
    check(
      voters.length === 0 || holders.length > voters.length / 2,
      "trimmed-too-far",
      () => `${name} trims to ${start.index}, checkpointed by ${holders.join(", ")} of ${voters.join(", ")}`,
    );
  }
}

function checkOrder(name: string, view: CoreView): void {
  const { start, delivered, committed, persisted, last, configuration } = view;
  check(
    start.index <= delivered &&
      delivered <= committed &&
      committed <= last &&
      delivered <= persisted &&
      persisted <= last,
    "log-order",
    () =>
      `${name}: start ${start.index}, delivered ${delivered}, committed ${committed}, ` +
      `persisted ${persisted}, last ${last}`,
  );
  const { voters, outgoing, learners } = configuration;
  const isApart = learners.every((learner) => !voters.includes(learner) && !outgoing.includes(learner));
  check(isApart, "configuration", () => `${name}: ${learners.join(", ")} both learn and vote`);
}
