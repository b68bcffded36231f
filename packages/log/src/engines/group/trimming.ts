/**
 * When the log may begin later (DESIGN §4.2): every member says up to where its synced state snapshots reach; what a
 * majority has said, and this member itself, is trimmed here. A leader keeps what members need that are behind but alive.
 */
import { type LogIndex, logIndex, type MemberId, membersOf, quorumIndex } from "@quipu/consensus";
import type { Checkpointed } from "@quipu/protocol";
import type { Delivery } from "./delivery.ts";
import type { GroupHost } from "./group-host.ts";
import type { LogSizes } from "./log-sizes.ts";

/** Members that said something: those in the configuration, some that left, some that are on their way. */
const membersMax = 64;

export class Trimming {
  readonly #host: GroupHost;
  readonly #delivery: Delivery;
  readonly #sizes: LogSizes;
  /** Of this member. */
  #own: LogIndex = logIndex(0);
  readonly #others: Map<MemberId, LogIndex> = new Map();
  /** When a member was heard of last. */
  readonly #heardTicks: Map<MemberId, number> = new Map();
  /** The log began after it when it was looked at last. */
  #trimmed: number;
  #saidTicks = 0;

  constructor(host: GroupHost, delivery: Delivery, sizes: LogSizes) {
    this.#host = host;
    this.#delivery = delivery;
    this.#sizes = sizes;
    this.#trimmed = delivery.first - 1;
  }

  /** State up to `upTo` stands in this node's synced snapshots. Inside of a job. */
  checkpointed(upTo: LogIndex): void {
    if (upTo <= this.#own) return;
    this.#own = upTo;
    this.#say();
    this.#trim();
  }

  /** Some message came from that member. */
  heard(from: MemberId): void {
    if (this.#heardTicks.size < membersMax || this.#heardTicks.has(from)) {
      this.#heardTicks.set(from, this.#host.nowTicks);
    } else {
      this.#forgetOutsiders();
    }
  }

  onCheckpointed(from: MemberId, { upTo }: Checkpointed): void {
    // Of those that were heard of, as of these, there is a bounded number.
    if (!this.#heardTicks.has(from)) return;
    // Never lower: a disk that was lost comes back under another id.
    if (upTo > (this.#others.get(from) ?? 0)) this.#others.set(from, upTo);
    this.#trim();
  }

  /**
   * Up to here a majority could go on without the log, and so could everybody who is alive, with what stands in their
   * snapshots. Also of a log that is sealed, which is never trimmed as a whole.
   */
  agreedUpTo(): number {
    let agreed = this.#agreed();
    if (this.#sizes.bytes > this.#host.settings.followerPinBytesMax) return agreed;
    for (const member of membersOf(this.#host.configuration)) {
      if (member !== this.#host.member && this.#isAlive(member)) {
        agreed = Math.min(agreed, this.#others.get(member) ?? 0);
      }
    }
    return agreed;
  }

  /** Repeats what was said, to whoever was not there, and trims what followers needed until now. */
  tick(): void {
    if (this.#host.nowTicks - this.#saidTicks < this.#host.settings.checkpointRepeatTicks) return;
    // Of a sealed log also that it has none: before the others drop it they wait for whoever is alive.
    if (this.#own > 0 || this.#delivery.sealedAt !== undefined) this.#say();
    this.#trim();
  }

  #say(): void {
    this.#saidTicks = this.#host.nowTicks;
    const { hub, group } = this.#host;
    for (const peer of hub.peers()) hub.send(peer, { type: "checkpointed", group, upTo: this.#own });
  }

  #trim(): void {
    this.#trimmed = Math.max(this.#trimmed, this.#delivery.first - 1);
    const upTo = Math.min(this.#agreed(), this.#delivery.delivered);
    if (upTo <= this.#trimmed) return;
    const last = this.#recordAtOrBelow(Math.min(upTo, this.#neededByFollowers()));
    if (last <= this.#trimmed) return;
    this.#trimmed = last;
    this.#host.step({ type: "trim", upTo: logIndex(last) });
  }

  /** The log begins behind a record, never behind a hole: who has all the records that there were misses nothing. */
  #recordAtOrBelow(index: number): number {
    let at = index;
    while (at > this.#trimmed && this.#host.entry(logIndex(at))?.kind !== "record") at--;
    return at;
  }

  /** Up to here a majority could go on without the log. */
  #agreed(): number {
    if (this.#host.mutation === "trim-on-own-checkpoint-only") return this.#own;
    const said = (member: MemberId): number =>
      member === this.#host.member ? this.#own : (this.#others.get(member) ?? 0);
    return Math.min(this.#own, quorumIndex(this.#host.configuration, said));
  }

  /** Up to here every member has the log that is alive, and so near that it need not have a snapshot instead. */
  #neededByFollowers(): number {
    const { followerPinBytesMax } = this.#host.settings;
    let needed = Number.POSITIVE_INFINITY;
    if (this.#sizes.bytes > followerPinBytesMax) return needed;
    for (const { member, match, state } of this.#host.inspect().progress) {
      // One that fetches a snapshot goes on above it: were more trimmed meanwhile, it would never be done.
      if (this.#isAlive(member)) needed = Math.min(needed, state === "snapshot" ? this.#trimmed : match);
    }
    return needed;
  }

  #isAlive(member: MemberId): boolean {
    // At first everybody may be.
    return this.#host.nowTicks - (this.#heardTicks.get(member) ?? 0) <= this.#host.settings.aliveTicks;
  }

  #forgetOutsiders(): void {
    const inside = new Set(membersOf(this.#host.configuration));
    for (const member of this.#heardTicks.keys()) {
      if (inside.has(member)) continue;
      this.#heardTicks.delete(member);
      this.#others.delete(member);
    }
  }
}
