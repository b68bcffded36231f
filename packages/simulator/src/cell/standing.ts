/**
 * Who is in which configuration, by what is committed: whether a disk may be lost now without a majority losing what
 * it acknowledged, whether a lost one has been replaced, and whether the cell is whole again. It must hold in every group
 * that matters: that of the metadata, those that keep the log or are about to, and sealed ones as long as the chain has them.
 */
import { type Configuration, type CoreView, type MemberId, nodeOf } from "@quipu/consensus";
import type { Random } from "@quipu/core";
import type { ConsensusBook } from "./book.ts";
import type { ChainBook } from "./chain-book.ts";
import type { CellHost } from "./host.ts";
import { shuffled } from "./partitions.ts";

export class Standing {
  readonly #hosts: readonly CellHost[];
  readonly #books: ReadonlyMap<number, ConsensusBook>;
  readonly #chain: ChainBook;

  constructor(hosts: readonly CellHost[], books: ReadonlyMap<number, ConsensusBook>, chain: ChainBook) {
    this.#hosts = hosts;
    this.#books = books;
    this.#chain = chain;
  }

  /** Something may have been committed: is a lost disk replaced? */
  stepped(): void {
    for (const host of this.#hosts) {
      if (host.isDamaged && this.#isVoter(host) && !this.#open.some(isJoint)) host.repaired();
    }
  }

  /** All disks are as they should be, and this host is one of the voters that the others can do without. */
  mayDamage(host: CellHost): boolean {
    if (this.#open.length === 0 || this.#hosts.some((other) => other.isDamaged)) return false;
    const others = this.#hosts.filter((other) => other !== host);
    return (
      this.isFull(this.#hosts.filter((other) => !other.isRetired)) &&
      this.#isVoter(host) &&
      !this.#isChanging() &&
      !this.#isPreparing() &&
      this.#sealed.every((book) => isMajority(others, book.configuration))
    );
  }

  /** A change that is not committed may already be in force somewhere, and need the very host that goes (Raft §6). */
  #isChanging(): boolean {
    return this.#open.some((book) =>
      this.#hosts.some((host) => {
        const view = this.#viewOf(book, host);
        return view === undefined || view.configurationIndex > book.registry.committedUpTo;
      }),
    );
  }

  /** Somebody makes ready a group that may be announced yet, with the voters that there were. */
  #isPreparing(): boolean {
    const named = [...this.#chain.openGroups, ...this.#chain.sealedGroups];
    const newest = Math.max(...named);
    return this.#hosts.some(({ process }) => process?.groups.some(({ group }) => group > newest));
  }

  /** In every group exactly these hosts' members vote, and that is committed. */
  isFull(hosts: readonly CellHost[]): boolean {
    const isRetiredMember = (member: MemberId): boolean =>
      this.#hosts.some((host) => host.isRetired && host.member === member);
    for (const book of this.#open) {
      const configuration = book.configuration;
      if (configuration === undefined || configuration.outgoing.length > 0) return false;
      const voters = configuration.voters.filter((voter) => !isRetiredMember(voter));
      const members = hosts.map(({ member }) => member);
      if (voters.length !== members.length || !voters.every((voter) => members.includes(voter))) return false;
    }
    return this.#open.length > 0;
  }

  /** Hosts that may stay dead for ever: the rest is a majority, whole, and has all that was acknowledged. */
  expendable(random: Random): readonly CellHost[] {
    const isWhole = this.isFull(this.#hosts) && !this.#hosts.some((host) => host.isDamaged) && !this.#isChanging();
    if (!isWhole || this.#isPreparing()) return [];
    const count = Math.floor((this.#hosts.length - 1) / 2);
    const chosen = shuffled(this.#hosts, random).slice(0, 1 + random.below(count));
    const rest = this.#hosts.filter((host) => !chosen.includes(host));
    return this.#sealed.every((book) => isMajority(rest, book.configuration)) ? chosen : [];
  }

  text(): string {
    return [...this.#books]
      .map(([group, book]) => `group ${group}: ${JSON.stringify(book.configuration)} led by ${book.leader()?.member}`)
      .join("; ");
  }

  get #open(): readonly ConsensusBook[] {
    return this.#booksOf(this.#chain.openGroups);
  }

  get #sealed(): readonly ConsensusBook[] {
    return this.#booksOf(this.#chain.sealedGroups);
  }

  #booksOf(groups: readonly number[]): readonly ConsensusBook[] {
    return groups.map((group) => this.#books.get(group)).filter((book) => book !== undefined);
  }

  #viewOf(book: ConsensusBook, host: CellHost): CoreView | undefined {
    return book.member(host.member as MemberId)?.view;
  }

  #isVoter(host: CellHost): boolean {
    return this.#open.every((book) => book.configuration?.voters.some((voter) => voter === host.member));
  }
}

/** These hosts, on the disks that their members have known from the beginning, are enough for the group. */
function isMajority(hosts: readonly CellHost[], configuration: Configuration | undefined): boolean {
  const voters = configuration?.voters ?? [];
  const present = voters.filter((voter) =>
    hosts.some(({ member, node }) => member === voter && node === nodeOf(voter)),
  );
  return voters.length === 0 || present.length > voters.length / 2;
}

function isJoint(book: ConsensusBook): boolean {
  return (book.configuration?.outgoing.length ?? 0) > 0;
}
