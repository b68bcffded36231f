/** Who had which state hash at which position, and what follows from it. Pure. */
import { type Configuration, isQuorum, type MemberId } from "@quipu/consensus";
import type { StateHash } from "@quipu/protocol";

/** Where replicas have another state than ours. */
export interface Difference {
  readonly position: number;
  readonly own: string;
  /** All that have said what they had there, but us. */
  readonly others: readonly { readonly member: MemberId; readonly hash: string }[];
}

export type Verdict =
  /** Nothing to compare yet. */
  | { readonly type: "unknown" }
  /** A majority holds what we hold at the newest position that can be judged; `strangers` do not. */
  | { readonly type: "agreed"; readonly position: number; readonly strangers: readonly MemberId[] }
  /** A majority, `holders`, agrees on another state. */
  | ({ readonly type: "diverged"; readonly holders: readonly MemberId[] } & Difference)
  /** Some differ, and no majority has spoken: nobody knows who is wrong. */
  | ({ readonly type: "undecided" } & Difference);

/** Positions remembered of each replica: a minute, in which a slow replica comes to where the others were. */
const hashesMax = 64;
/** Replicas remembered: twice what a configuration may hold, for members come and go. */
const membersRemembered = 64;

interface Words {
  readonly incarnation: number;
  readonly hashes: Map<number, string>;
}

export class HashBook {
  /** By position, ascending. */
  readonly #own: Map<number, string> = new Map();
  readonly #others: Map<MemberId, Words> = new Map();

  /** Our state is another from here on. */
  begin(): void {
    this.#own.clear();
  }

  addOwn(position: number, hash: string): void {
    remember(this.#own, position, hash);
  }

  /** What came late of an earlier replica of that member no longer counts. */
  addOther(member: MemberId, incarnation: number, hashes: readonly StateHash[]): void {
    let words = this.#others.get(member);
    if (words !== undefined && incarnation < words.incarnation) return;
    if (words === undefined || incarnation > words.incarnation) words = { incarnation, hashes: new Map() };
    // Whoever spoke last is last.
    this.#others.delete(member);
    this.#others.set(member, words);
    for (const { position, hash } of hashes) remember(words.hashes, position, hash);
    const [oldest] = this.#others.keys();
    if (this.#others.size > membersRemembered && oldest !== undefined) this.#others.delete(oldest);
  }

  get newestOwn(): number {
    return [...this.#own.keys()].at(-1) ?? 0;
  }

  /** The newest of ours, ascending. */
  newest(count: number): readonly StateHash[] {
    return [...this.#own].slice(-count).map(([position, hash]) => ({ position, hash }));
  }

  /** From the newest position back to one at which a majority agrees: what is older is settled by it. */
  judge(configuration: Configuration, self: MemberId): Verdict {
    let undecided: Verdict | undefined;
    for (const [position, own] of [...this.#own].reverse()) {
      const difference = { position, own, others: this.#othersAt(position, self) };
      const holdersOf = (hash: string): readonly MemberId[] => [
        ...(hash === own ? [self] : []),
        ...difference.others.filter((other) => other.hash === hash).map(({ member }) => member),
      ];
      const strange = difference.others.filter(({ hash }) => hash !== own);
      for (const hash of new Set([own, ...strange.map((other) => other.hash)])) {
        const holders = holdersOf(hash);
        if (!isQuorum(configuration, (member) => holders.includes(member))) continue;
        if (hash !== own) return { type: "diverged", holders, ...difference };
        return undecided ?? { type: "agreed", position, strangers: strange.map(({ member }) => member) };
      }
      if (strange.length > 0) undecided ??= { type: "undecided", ...difference };
    }
    return undecided ?? { type: "unknown" };
  }

  #othersAt(position: number, self: MemberId): Difference["others"] {
    const others: { member: MemberId; hash: string }[] = [];
    for (const [member, { hashes }] of this.#others) {
      const hash = hashes.get(position);
      if (hash !== undefined && member !== self) others.push({ member, hash });
    }
    return others;
  }
}

function remember(hashes: Map<number, string>, position: number, hash: string): void {
  hashes.set(position, hash);
  if (hashes.size <= hashesMax) return;
  hashes.delete(Math.min(...hashes.keys()));
}
