/**
 * Up to where the members of a cell have the state in synced snapshots, in positions of the virtual log: what a log may be
 * trimmed to that keeps no members of its own (etcd, ZooKeeper, one node). Every member says it now and then; a majority
 * counts, and whoever is alive (DESIGN §4.2).
 */
import { type Configuration, type MemberId, membersMax, membersOf, quorumIndex } from "@quipu/consensus";
import { type Clock, lsn, type Lsn } from "@quipu/core";
import type { SnapshotLink } from "../snapshot/settings.ts";

export interface StoredPositionsOptions {
  readonly shard: number;
  readonly link: SnapshotLink;
  readonly clock: Pick<Clock, "setTimer" | "monotonicMs">;
  readonly configuration: () => Configuration;
}

const sayMs = 1_000;
/** Who was not heard of for so long is not waited for: a snapshot brings what it lacks. */
const aliveMs = 5_000;

export class StoredPositions {
  readonly #options: StoredPositionsOptions;
  #own = 0;
  readonly #others: Map<MemberId, { readonly upTo: number; readonly heardMs: number }> = new Map();
  #cancelTimer: (() => void) | undefined;

  constructor(options: StoredPositionsOptions) {
    this.#options = options;
    options.link.handle("stored", (from, { upTo }) => this.#heard(from, upTo));
    this.#later();
  }

  close(): void {
    this.#cancelTimer?.();
  }

  /** This node has the state up to `upTo` in a synced store. Returns up to where all have it who count. */
  agreed(upTo: Lsn): Lsn {
    if (upTo > this.#own) {
      this.#own = upTo;
      this.#say();
    }
    const { link, clock, configuration } = this.#options;
    const members = configuration();
    const said = (member: MemberId): number =>
      member === link.member ? this.#own : (this.#others.get(member)?.upTo ?? 0);
    let agreed = Math.min(this.#own, quorumIndex(members, said));
    for (const member of membersOf(members)) {
      const heardMs = this.#others.get(member)?.heardMs ?? Number.NEGATIVE_INFINITY;
      if (clock.monotonicMs() - heardMs <= aliveMs) agreed = Math.min(agreed, said(member));
    }
    return lsn(agreed);
  }

  /** Up to here some other member that is alive has the state in a synced store. */
  elsewhere(): Lsn {
    const nowMs = this.#options.clock.monotonicMs();
    const alive = [...this.#others.values()].filter(({ heardMs }) => nowMs - heardMs <= aliveMs);
    return lsn(Math.max(0, ...alive.map(({ upTo }) => upTo)));
  }

  #heard(from: MemberId, upTo: number): void {
    const known = this.#others.get(from);
    if (known === undefined && this.#others.size >= 2 * membersMax) return;
    this.#others.set(from, { upTo: Math.max(upTo, known?.upTo ?? 0), heardMs: this.#options.clock.monotonicMs() });
  }

  #say(): void {
    const { link, shard } = this.#options;
    for (const peer of link.peers()) link.send(peer, { type: "stored", shard, upTo: this.#own });
  }

  #later(): void {
    this.#cancelTimer = this.#options.clock.setTimer(sayMs, () => {
      // Also nothing: whoever is alive is waited for.
      this.#say();
      this.#later();
    });
  }
}
