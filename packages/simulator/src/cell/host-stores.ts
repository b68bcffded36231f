/**
 * What a host has on its disk of state and metadata, and what it may do without for it: no log begins later than what
 * stands there; and the chain by which its node goes is one that was committed, never an older one than before.
 */
import type { CoreView, MemberId } from "@quipu/consensus";
import type { Chain } from "@quipu/log";
import type { SimulatedDisk } from "../disk.ts";
import { check } from "../failure.ts";
import type { SimulatedKeyValueStore } from "../key-value-store.ts";
import type { ChainBook } from "./chain-book.ts";
import { durableMetadataPosition, generationOf, metadataGroup } from "./metadata-book.ts";
import { durablePosition } from "./stored-position.ts";

export interface HostStoresOptions {
  readonly node: number;
  readonly chain: ChainBook;
  readonly note: (text: string) => void;
  /** The member that runs here, or ran last. */
  readonly member: () => MemberId | undefined;
  readonly disk: () => SimulatedDisk;
  readonly store: () => SimulatedKeyValueStore;
}

export class HostStores {
  readonly #options: HostStoresOptions;
  /** After which position each group's log begins, as last seen in this life. */
  readonly #logBegins = new Map<number, number>();
  /** Version of the chain that each member has shown last. */
  readonly #chainVersions = new Map<number, number>();
  /** Up to where members of this node had the state in their store, by their own word, which {@link CellLog} checks. */
  readonly #statesUpTo = new Map<number, number>();
  /** Up to where they had the metadata in their file. */
  readonly #metadataUpTo = new Map<number, number>();

  constructor(options: HostStoresOptions) {
    this.#options = options;
  }

  /** A life. */
  begins(): void {
    this.#logBegins.clear();
  }

  /** A step of a group: what its log has lost stands in the state, or in the metadata file. */
  logBegins(group: number, { start, member }: CoreView): void {
    const before = this.#logBegins.get(group);
    this.#logBegins.set(group, start.index);
    if (before === undefined || start.index <= before) return;
    const stored = this.#durableUpTo(group, member);
    check(
      stored >= start.index,
      "trimmed-too-far",
      () => `node ${this.#options.node}: group ${group} begins after ${start.index}, what is on disk ends at ${stored}`,
    );
  }

  checkpointed(upTo: number): void {
    const member = this.#options.member();
    if (member !== undefined) this.#statesUpTo.set(member, Math.max(this.stateUpTo(member), upTo));
  }

  /** Up to which position of the log the state stands, or stood, in the store of this member of the node. */
  stateUpTo(member: MemberId): number {
    return this.#statesUpTo.get(member) ?? 0;
  }

  /** Up to which position of its group the metadata stands, or stood, in the file of this member of the node. */
  metadataUpTo(member: MemberId): number {
    const { disk } = this.#options;
    const found = member === this.#options.member() ? durableMetadataPosition(disk(), generationOf(member)) : 0;
    const upTo = Math.max(found, this.#metadataUpTo.get(member) ?? 0);
    this.#metadataUpTo.set(member, upTo);
    return upTo;
  }

  /** The chain by which this node goes is one that was committed, and no older than any that it has shown. */
  goesBy(adopted: Chain): void {
    const { node, chain, note } = this.#options;
    const member = this.#options.member();
    if (member === undefined) return;
    const { version } = adopted;
    const before = this.#chainVersions.get(member) ?? 0;
    if (version === before) return;
    check(version > before, "went-back", () => `node ${node}: version of the chain ${before} -> ${version}`);
    this.#chainVersions.set(member, version);
    chain.adopted(`node ${node}`, adopted);
    note(`node ${node} goes by version ${version} of the chain`);
  }

  /** Without which positions of that group this node can do, as a crash right now would leave its disk. */
  #durableUpTo(group: number, member: MemberId): number {
    const { disk, store, chain } = this.#options;
    if (group === metadataGroup) return durableMetadataPosition(disk(), generationOf(member));
    return chain.toGroup(group, durablePosition(store()));
  }
}
