/**
 * Who is in which configuration, by what is committed: whether a disk may be lost now without a majority losing what
 * it acknowledged, whether a lost one has been replaced, and whether the cell is whole again.
 */
import type { Configuration, MemberId } from "@quipu/consensus";
import type { Random } from "@quipu/core";
import type { GroupBook } from "./group-book.ts";
import type { CellHost } from "./host.ts";
import { shuffled } from "./partitions.ts";

export class Standing {
  readonly #hosts: readonly CellHost[];
  readonly #books: ReadonlyMap<number, GroupBook>;

  constructor(hosts: readonly CellHost[], books: ReadonlyMap<number, GroupBook>) {
    this.#hosts = hosts;
    this.#books = books;
  }

  /** Something may have been committed: is a lost disk replaced? */
  stepped(): void {
    for (const host of this.#hosts) {
      if (host.isDamaged && this.#isVoter(host) && ![...this.#books.values()].some(isJoint)) host.repaired();
    }
  }

  /** All disks are as they should be, and this host is one of the voters that the others can do without. */
  mayDamage(host: CellHost): boolean {
    if (this.#books.size === 0 || this.#hosts.some((other) => other.isDamaged)) return false;
    return this.isFull(this.#hosts.filter((other) => !other.isRetired)) && this.#isVoter(host) && !this.#isChanging();
  }

  /** A change that is not committed may already be in force somewhere, and need the very host that goes (Raft §6). */
  #isChanging(): boolean {
    return [...this.#books.values()].some((book) =>
      this.#hosts.some((host) => {
        const view = book.member(host.member as MemberId)?.view;
        return view === undefined || view.configurationIndex > book.registry.committedUpTo;
      }),
    );
  }

  /** In every group exactly these hosts' members vote, and that is committed. */
  isFull(hosts: readonly CellHost[]): boolean {
    const isRetiredMember = (member: MemberId): boolean =>
      this.#hosts.some((host) => host.isRetired && host.member === member);
    for (const book of this.#books.values()) {
      const configuration = configurationOf(book);
      if (configuration === undefined || configuration.outgoing.length > 0) return false;
      const voters = configuration.voters.filter((voter) => !isRetiredMember(voter));
      const members = hosts.map(({ member }) => member);
      if (voters.length !== members.length || !voters.every((voter) => members.includes(voter))) return false;
    }
    return this.#books.size > 0;
  }

  /** Hosts that may stay dead for ever: the rest is a majority, whole, and has all that was acknowledged. */
  expendable(random: Random): readonly CellHost[] {
    const isWhole = this.isFull(this.#hosts) && !this.#hosts.some((host) => host.isDamaged) && !this.#isChanging();
    if (!isWhole) return [];
    const count = Math.floor((this.#hosts.length - 1) / 2);
    return shuffled(this.#hosts, random).slice(0, 1 + random.below(count));
  }

  text(): string {
    return [...this.#books]
      .map(
        ([group, book]) => `group ${group}: ${JSON.stringify(configurationOf(book))} led by ${book.leader()?.member}`,
      )
      .join("; ");
  }

  #isVoter(host: CellHost): boolean {
    return [...this.#books.values()].every((book) =>
      configurationOf(book)?.voters.some((voter) => voter === host.member),
    );
  }
}

function configurationOf(book: GroupBook): Configuration | undefined {
  return book.registry.committedConfiguration?.configuration ?? book.founding;
}

function isJoint(book: GroupBook): boolean {
  return (configurationOf(book)?.outgoing.length ?? 0) > 0;
}
