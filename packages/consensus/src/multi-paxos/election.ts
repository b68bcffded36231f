/**
 * Who should lead: ballot leader election (OmniPaxos, EuroSys 2023, §5). In rounds each voter asks all others and takes
 * those who answer for connected, both ways. It is happy if it hears a leader that is. Who is not, and hears nobody who
 * is, and is connected to a quorum, takes over with a higher ballot: one that reaches a quorum is enough, whatever its
 * log. What a member says here binds nobody; promises are made in phase 1.
 */
import type { Random } from "@quipu/core";
import type { MemberId, Term } from "../quantities.ts";
import { ballotOf, noBallot, roundOf } from "./ballot.ts";
import type { ElectionReply } from "./messages.ts";
import type { MultiPaxosSettings } from "./settings.ts";

/** The others hear within one round that it is not content, and find out within the next that nobody is. */
const restingRounds = 4;

interface Heard {
  readonly ballot: Term;
  readonly leader: Term;
  readonly happy: boolean;
}

/** What a round has shown. */
export interface RoundOutcome {
  readonly takesOver: boolean;
  /** So many rounds in a row fewer than `needed` would have followed it. */
  readonly lonelyRounds: number;
}

export class Election {
  readonly #settings: MultiPaxosSettings;
  readonly #roundTicks: number;
  /**
   * This member's own: of the last time it took over. After a start it stands in round 0: the old ones are gone for good,
   * since whoever takes over goes beyond its durable promise.
   */
  #own: Term = noBallot;
  /** The highest that is known of; never decreases. */
  #leader: Term;
  #happy = false;
  /** A leader came up within this round: it had no time to answer in it yet. */
  #isFresh = false;
  /** Numbers of a life before are not taken for those of this one. */
  #round: number;
  #elapsedTicks: number;
  #replies: Map<MemberId, Heard> = new Map();
  #connected = 0;
  #lonelyRounds = 0;
  /** Ends of rounds for which it leaves it to others to take over. */
  #restingRounds = 0;

  /** `promised`: as it is on disk. */
  constructor(promised: Term, random: Random, settings: MultiPaxosSettings) {
    this.#leader = promised;
    this.#settings = settings;
    this.#roundTicks = Math.max(1, Math.floor(settings.electionTicks / 2));
    this.#round = random.uint32();
    // Not all at once: who is first is not disturbed by those who were about to do the same.
    this.#elapsedTicks = random.below(this.#roundTicks);
  }

  /** How many voters, itself included, were connected in the last round. */
  get connected(): number {
    return this.#connected;
  }

  get round(): number {
    return this.#round;
  }

  /** Whether the round ends with this tick. */
  tick(): boolean {
    this.#elapsedTicks += 1;
    return this.#elapsedTicks >= this.#roundTicks;
  }

  /** A promise was made to this ballot, or it is known to stand in the way of another. */
  knows(ballot: Term): void {
    if (ballot <= this.#leader) return;
    this.#leader = ballot;
    this.#isFresh = true;
  }

  /** Who refuses us has promised another; that one may be gone. */
  yieldsTo(ballot: Term): void {
    if (ballot > this.#leader) this.#leader = ballot;
    this.#happy = false;
  }

  /**
   * It cannot lead, and others may: they get the time to see it, and to take over. Not for ever: who could lead in its
   * place may be gone by now.
   */
  rest(): void {
    this.#happy = false;
    this.#isFresh = false;
    this.#restingRounds = restingRounds;
  }

  endRest(): void {
    this.#restingRounds = 0;
  }

  replyTo(round: number): ElectionReply {
    return { type: "electionReply", round, ballot: this.#own, leader: this.#leader, happy: this.#happy };
  }

  onReply(from: MemberId, reply: ElectionReply): void {
    if (reply.round !== this.#round) return;
    this.#replies.set(from, { ballot: reply.ballot, leader: reply.leader, happy: reply.happy });
  }

  /** The next ballot of this member: above all that it knows of, among them its durable promise. */
  takeOver(promised: Term, ordinal: number): Term {
    const highest = promised > this.#leader ? promised : this.#leader;
    this.#own = ballotOf(roundOf(highest) + 1, this.#settings.priority, ordinal);
    this.#leader = this.#own;
    this.#happy = true;
    this.#isFresh = true;
    this.#lonelyRounds = 0;
    return this.#own;
  }

  /** Judges by the replies of the round, and starts the next. */
  endRound(isProposing: boolean, needed: number, toTakeOver: number): RoundOutcome {
    const replies = [...this.#replies.values()];
    for (const { ballot } of replies) if (ballot > this.#leader) this.#leader = ballot;
    const followers = 1 + replies.filter(({ leader }) => leader <= this.#own).length;
    const lacksQuorum = followers < needed;
    if (this.#leader === this.#own && this.#own > 0) {
      const seesSuccessor = replies.some(({ leader, happy }) => leader > this.#own && happy);
      this.#happy = isProposing && (!lacksQuorum || seesSuccessor);
    } else {
      const isLed = replies.some(({ ballot, happy }) => ballot === this.#leader && happy);
      this.#happy = isLed && this.#leader > 0;
    }
    if (this.#isFresh) this.#happy = true;
    this.#isFresh = false;
    this.#connected = replies.length + 1;
    this.#lonelyRounds = lacksQuorum ? this.#lonelyRounds + 1 : 0;
    const mayTakeOver = this.#connected >= toTakeOver && this.#restingRounds === 0;
    const takesOver = mayTakeOver && !this.#happy && replies.every(({ happy }) => !happy);
    if (this.#restingRounds > 0) this.#restingRounds -= 1;
    this.#replies = new Map();
    this.#round += 1;
    this.#elapsedTicks = 0;
    return { takesOver, lonelyRounds: this.#lonelyRounds };
  }
}
