/**
 * Tells the other replicas, once a second, which state this one had at agreed positions and what it understands; hears
 * the same of them, and says when a majority has another state than ours (DESIGN §4.4).
 *
 * Cost: one state hash a second, about 0.1 µs for each entry that changed since the last one; where that would be a
 * pause worth mentioning, one in eight seconds. Nothing on a log that one node keeps alone.
 */
import type { Configuration, MemberId } from "@quipu/consensus";
import type { Clock, Lsn } from "@quipu/core";
import type { CounterMachine } from "@quipu/counters";
import type { PeerMessage, StateHashes } from "@quipu/protocol";
import { type Moment, occasionOf } from "./agreed-positions.ts";
import { type Difference, HashBook, type Verdict } from "./hash-book.ts";

/** For logs and metrics. */
export interface DivergenceReport extends Difference {
  /** `ours`: a majority has another state. `another's`: a majority has ours. `undecided`: no majority has spoken. */
  readonly whose: "ours" | "another's" | "undecided";
  readonly members: readonly MemberId[];
}

export interface ComparisonOptions {
  readonly shard: number;
  readonly link: {
    readonly member: MemberId;
    peers(): readonly MemberId[];
    send(to: MemberId, message: PeerMessage): void;
  };
  readonly clock: Pick<Clock, "setTimer">;
  readonly configuration: () => Configuration | undefined;
  /** A majority has another state than ours: to be acted upon at once. */
  readonly onDiverged: (verdict: Extract<Verdict, { readonly type: "diverged" }>) => void;
  /** Somebody else differs, or nobody knows who is right: once for each such case. */
  readonly onReport: (report: DivergenceReport) => void;
  /** Of the sender of each message. */
  readonly onFeatureLevel: (member: MemberId, levelMax: number) => void;
  /** Once a second, while a replica runs. */
  readonly onRound: () => void;
}

const roundMs = 1_000;
/** Repeated in as many messages, for messages get lost. */
const hashesPerMessage = 8;
/** Entries that cost a millisecond or two to hash: more is not paid for each second. */
const cheapEntriesMax = 16_384;
/** What nobody can decide is reported once the third voice has had this many rounds to be heard. */
const patienceRounds = 5;

interface Life {
  readonly machine: CounterMachine;
  readonly incarnation: number;
  last: Moment;
  /** Where the state stood at the last round. */
  roundPosition: Lsn;
}

export class StateComparison {
  readonly #options: ComparisonOptions;
  readonly #book = new HashBook();
  #life: Life | undefined;
  #cancelTimer: (() => void) | undefined;
  #verdict: Verdict = { type: "unknown" };
  #undecidedRounds = 0;
  /** Members that were reported as different. */
  readonly #reported: Set<MemberId> = new Set();
  #agreedUpTo = 0;
  #agreements = 0;

  constructor(options: ComparisonOptions) {
    this.#options = options;
  }

  /** A replica with this state begins to apply the log; nothing that an earlier one said is compared. */
  begin(machine: CounterMachine, incarnation: number): void {
    this.end();
    this.#book.begin();
    this.#verdict = { type: "unknown" };
    this.#undecidedRounds = 0;
    this.#agreements = 0;
    const last = { position: machine.appliedLsn, logTimeMs: machine.logTimeMs };
    this.#life = { machine, incarnation, last, roundPosition: machine.appliedLsn };
    this.#roundLater();
  }

  end(): void {
    this.#life = undefined;
    this.#cancelTimer?.();
  }

  /** The newest position at which a majority had our state; 0: none yet. */
  get agreedUpTo(): number {
    return this.#agreedUpTo;
  }

  /** Positions at which a majority was found to have the state of the present replica. */
  get agreements(): number {
    return this.#agreements;
  }

  /** Somebody differs, and nobody knows who is right. */
  get undecided(): Difference | undefined {
    return this.#undecidedRounds >= patienceRounds && this.#verdict.type === "undecided" ? this.#verdict : undefined;
  }

  /** The machine has just applied the record there. */
  applied(position: Lsn): void {
    const life = this.#life;
    if (life === undefined) return;
    const { machine, last } = life;
    const now = { position, logTimeMs: machine.logTimeMs };
    const occasion = occasionOf(last, now);
    life.last = now;
    if (occasion === "no") return;
    if (occasion === "seldom" || machine.hashPendingCount <= cheapEntriesMax) this.#take(life);
  }

  onMessage(from: MemberId, message: StateHashes): void {
    if (message.shard !== this.#options.shard) return;
    this.#options.onFeatureLevel(from, message.featureLevelMax);
    this.#book.addOther(from, message.incarnation, message.hashes);
    this.#judge();
  }

  /** After a load the hash would be a pause: those positions are left to others. */
  #take({ machine }: Life): void {
    if (machine.hasHashBacklog) return;
    this.#book.addOwn(machine.appliedLsn, machine.stateHash());
    this.#judge();
  }

  #roundLater(): void {
    this.#cancelTimer = this.#options.clock.setTimer(roundMs, () => this.#round());
  }

  #round(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#roundLater();
    const { appliedLsn } = life.machine;
    // Idle: all who have applied everything stand here, too.
    if (appliedLsn === life.roundPosition && this.#book.newestOwn < appliedLsn) this.#take(life);
    life.roundPosition = appliedLsn;
    if (this.#verdict.type !== "undecided") this.#undecidedRounds = 0;
    else if (++this.#undecidedRounds === patienceRounds) this.#report("undecided", this.#verdict, []);
    // What was found in this round may have ended this life.
    if (this.#life !== life) return;
    this.#send(life);
    this.#options.onRound();
  }

  #send({ machine, incarnation }: Life): void {
    const { shard, link } = this.#options;
    const { featureLevelMax } = machine;
    const hashes = this.#book.newest(hashesPerMessage);
    const message = { type: "stateHash", shard, incarnation, featureLevelMax, hashes } as const;
    for (const peer of link.peers()) link.send(peer, message);
  }

  #judge(): void {
    const configuration = this.#options.configuration();
    if (configuration === undefined || this.#life === undefined) return;
    const verdict = this.#book.judge(configuration, this.#options.link.member);
    this.#verdict = verdict;
    if (verdict.type === "diverged") {
      this.#report("ours", verdict, verdict.holders);
      this.#options.onDiverged(verdict);
    } else if (verdict.type === "agreed") this.#agreed(verdict);
  }

  #agreed({ position, strangers }: Extract<Verdict, { readonly type: "agreed" }>): void {
    if (position > this.#agreedUpTo) this.#agreements += 1;
    this.#agreedUpTo = Math.max(this.#agreedUpTo, position);
    const news = strangers.filter((member) => !this.#reported.has(member));
    for (const member of this.#reported) if (!strangers.includes(member)) this.#reported.delete(member);
    for (const member of news) this.#reported.add(member);
    if (news.length > 0) this.#report("another's", { position, own: "", others: [] }, news);
  }

  #report(whose: DivergenceReport["whose"], difference: Difference, members: readonly MemberId[]): void {
    const { position, own, others } = difference;
    this.#options.onReport({ whose, position, own, others, members });
  }
}
