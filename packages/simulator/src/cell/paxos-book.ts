/**
 * The invariants of one Multi-Paxos group (research/consensus.md §2), checked after every step of a core: agreement on each
 * slot, one value in each ballot, what is chosen stands on a quorum of disks, what is promised stays so.
 */
import type { Configuration, CoreView, MemberId } from "@quipu/consensus";
import { check } from "../failure.ts";
import type { BookOptions, ConsensusBook, ObservedGroup } from "./book.ts";
import { ChosenRegistry } from "./chosen-registry.ts";
import type { DurableTime } from "./durable-time.ts";
import { isSameContent } from "./entry-registry.ts";
import { checkTrim } from "./group-book.ts";
import { PaxosMemberBook } from "./paxos-member-book.ts";

export class PaxosBook implements ConsensusBook {
  readonly engine = "multi-paxos";
  readonly registry: ChosenRegistry = new ChosenRegistry();
  readonly #options: BookOptions;
  readonly #members = new Map<MemberId, PaxosMemberBook>();
  readonly #leaders = new Map<number, MemberId>();
  #founding: Configuration | undefined;

  constructor(options: BookOptions) {
    this.#options = options;
  }

  get configuration(): Configuration | undefined {
    return this.#founding;
  }

  member(member: MemberId): PaxosMemberBook | undefined {
    return this.#members.get(member);
  }

  leader(): CoreView | undefined {
    let found: CoreView | undefined;
    for (const { isAlive, view } of this.#members.values()) {
      if (isAlive && view?.role === "leader" && view.term > (found?.term ?? 0)) found = view;
    }
    return found;
  }

  died(member: MemberId): void {
    this.#members.get(member)?.died();
  }

  led(member: MemberId, ballot: number): void {
    const known = this.#leaders.get(ballot);
    if (known === undefined) this.#leaders.set(ballot, member);
    else
      check(
        known === member,
        "election-safety",
        () => `group ${this.#options.group}: members ${known} and ${member} lead ballot ${ballot}`,
      );
  }

  observe(group: ObservedGroup, time: DurableTime): CoreView {
    const view = group.inspect();
    let book = this.#members.get(view.member);
    if (book === undefined) {
      const name = `member ${view.member} (node ${view.member % 1024}) in group ${this.#options.group}`;
      this.#members.set(view.member, (book = new PaxosMemberBook(name, time)));
    }
    const before = book.isAlive ? book.view : undefined;
    this.#founding ??= view.start.configuration;
    checkOrder(book.name, view);
    check(
      JSON.stringify(view.configuration) === JSON.stringify(this.#founding),
      "configuration",
      () => `${book.name}: the members are ${view.configuration.voters.join()}`,
    );
    book.observe(group, view, this.registry, isSameContent);
    if (view.committed > (before?.committed ?? 0)) this.#takeChosen(group, book, view, before);
    if (before !== undefined && view.start.index > before.start.index && view.start.index <= before.delivered) {
      checkTrim(book.name, view, this.#options.storedUpTo);
    }
    const { sealedAt } = this.registry;
    check(
      sealedAt === undefined ||
        view.committed < sealedAt ||
        (view.committed === sealedAt && view.sealedAt === sealedAt),
      "seal",
      () => `${book.name} has the log end at ${view.sealedAt}, though ${sealedAt} sealed it`,
    );
    if (view.role === "leader") this.led(view.member, view.term);
    return view;
  }

  #takeChosen(group: ObservedGroup, book: PaxosMemberBook, view: CoreView, before: CoreView | undefined): void {
    const isLeader = view.role === "leader" || (before?.role === "leader" && before.term === view.term);
    const known = this.registry.committedUpTo;
    check(
      view.start.index <= known,
      "committed-changed",
      () => `${book.name}: the log begins after ${view.start.index}, only ${known} are chosen`,
    );
    for (let index = Math.max(before?.committed ?? 0, view.start.index) + 1; index <= view.committed; index++) {
      const entry = group.entry(index);
      check(entry !== undefined, "log-order", () => `${book.name}: slot ${index} is chosen and empty`);
      this.registry.chosen(book.name, entry, view.term, isLeader);
      if (index <= known) continue;
      const voters = view.configuration.voters;
      const holders = voters.filter((voter) => this.#members.get(voter)?.canHold(entry, isSameContent) === true);
      check(
        holders.length > voters.length / 2,
        "committed-without-quorum",
        () => `${book.name} takes ${index} for chosen; of ${voters.join()} only ${holders.join()} can have it on disk`,
      );
    }
  }
}

function checkOrder(name: string, view: CoreView): void {
  const { start, delivered, committed, persisted, last } = view;
  check(
    start.index <= delivered &&
      delivered <= committed &&
      committed <= last &&
      delivered <= persisted &&
      persisted <= last,
    "log-order",
    () =>
      `${name}: start ${start.index}, delivered ${delivered}, chosen ${committed}, persisted ${persisted}, last ${last}`,
  );
}
