/**
 * What every role has: the promise, what was accepted, slots, what was delivered; and the few steps that all roles take.
 * The rules of each subject stand in their own files, as functions over this.
 */
import { invariant, type Random } from "@quipu/core";
import { membersOf } from "../configuration.ts";
import type { CoreOptions, Entry, HardState, LogStart, ReplyReason, RequestId } from "../contract.ts";
import { entryBytes, higher, lower, moved } from "../entries.ts";
import { Outbox } from "../outbox.ts";
import type { LogIndex, MemberId, Term } from "../quantities.ts";
import { noBallot, ordinalsMax, proposerOf } from "./ballot.ts";
import { Election } from "./election.ts";
import { PaxosLog } from "./log.ts";
import type { AcceptedBallot, PaxosMessage } from "./messages.ts";
import type { MultiPaxosMutation } from "./mutation.ts";
import { type Quorums, quorumsOf } from "./quorums.ts";
import type { RoleState } from "./role.ts";
import { checkSettings, type MultiPaxosSettings } from "./settings.ts";

const nothingAccepted: AcceptedBallot = { ballot: noBallot, freeFrom: 0 as LogIndex };

interface PendingBallot {
  readonly ballot: Term;
  readonly freeFrom: LogIndex;
  /** What came of it so far, in memory only. */
  readonly entries: Map<LogIndex, Entry>;
  /** Without a gap, up to here. */
  received: LogIndex;
  told: LogIndex;
  bytes: number;
}

export class PaxosState {
  readonly member: MemberId;
  readonly settings: MultiPaxosSettings;
  readonly random: Random;
  readonly mutation: MultiPaxosMutation | undefined;
  readonly log: PaxosLog;
  readonly outbox: Outbox<PaxosMessage> = new Outbox();
  readonly election: Election;
  role: RoleState = { role: "follower", leader: undefined, silentTicks: 0 };
  droppedMessages = 0;
  /** For the whole life of the group; empty in a member that knows no group yet. */
  #voters: readonly MemberId[] = [];
  #others: readonly MemberId[] = [];
  #quorums: Quorums;
  /** Nothing is accepted below it; never decreases. */
  #promised: Term;
  /** accepted.ballot <= promised; never decreases. */
  #accepted: AcceptedBallot;
  /** The leader of `accepted.ballot` said that every slot up to this is chosen. */
  #told: LogIndex = 0 as LogIndex;
  /** A later ballot that is heard, but not accepted in yet. */
  #pending: PendingBallot | undefined;
  /** Every slot up to this is chosen, or accepted in `accepted.ballot`. */
  #received: LogIndex;
  /** start.index <= delivered <= min(committed, persisted); never decreases. */
  #delivered: LogIndex;
  /** What of it the hard state on disk says. */
  #noted: LogIndex;
  #writtenToken = 0;
  /** Answers are true only once this persist is durable: it holds the promise or the start that they speak of. */
  #gateToken = 0;

  constructor(options: CoreOptions<MultiPaxosSettings> & { readonly mutation?: MultiPaxosMutation }) {
    checkSettings(options.settings);
    this.member = options.member;
    this.settings = options.settings;
    this.random = options.random;
    this.mutation = options.mutation;
    const { hardState, start, entries } = options.restored;
    this.log = new PaxosLog(options.restored);
    this.election = new Election(hardState.term, options.random, options.settings);
    this.#quorums = quorumsOf([], options.settings);
    this.#promised = hardState.term;
    this.#accepted = hardState.accepted ?? nothingAccepted;
    this.#delivered = start.index;
    this.#received = this.log.committed;
    this.#noted = higher(this.log.committed, start.index);
    this.join(start);
    // Had it been in doubt under a lower promise, somebody else could have chosen another value in its place.
    const highest = entries.reduce((most, entry) => Math.max(most, entry.term), this.#accepted.ballot as number);
    invariant(highest <= this.#promised, `restored promise ${this.#promised}, but accepted in ${highest}`);
  }

  get voters(): readonly MemberId[] {
    return this.#voters;
  }

  /** Everybody else who gets the log. */
  get others(): readonly MemberId[] {
    return this.#others;
  }

  get quorums(): Quorums {
    return this.#quorums;
  }

  get isVoter(): boolean {
    return this.#voters.includes(this.member);
  }

  get promised(): Term {
    return this.#promised;
  }

  get accepted(): AcceptedBallot {
    return this.#accepted;
  }

  /** A later ballot whose leader is heard; undefined: `accepted.ballot` is the latest that is. */
  get pending(): Readonly<PendingBallot> | undefined {
    return this.#pending;
  }

  /** Everything up to this has come of the latest leader that is heard. */
  get received(): LogIndex {
    return this.#pending === undefined ? this.#received : higher(this.#pending.received, this.log.committed);
  }

  /** Everything up to this is chosen, or accepted in the ballot of that leader. */
  get held(): LogIndex {
    return this.#pending === undefined ? this.#received : this.log.committed;
  }

  /** The same, and durable. */
  get match(): LogIndex {
    return lower(this.held, this.log.persisted);
  }

  get delivered(): LogIndex {
    return this.#delivered;
  }

  /** Who leads, as far as this member knows. */
  get leader(): MemberId | undefined {
    if (this.role.role === "leader") return this.member;
    return this.role.role === "follower" ? this.role.leader : undefined;
  }

  /** The group is that of this start, and stays so. */
  join(start: LogStart): void {
    const { configuration } = start;
    if (configuration.voters.length === 0) return;
    invariant(configuration.voters.length <= ordinalsMax, `${configuration.voters.length} voters`);
    invariant(configuration.outgoing.length === 0, "the members of a Multi-Paxos group do not change");
    this.#voters = configuration.voters;
    this.#others = membersOf(configuration).filter((member) => member !== this.member);
    this.#quorums = quorumsOf(this.#voters, this.settings);
  }

  /** Its place among the voters as a bit; 0: has no vote. */
  bitOf(member: MemberId): number {
    const ordinal = this.#voters.indexOf(member);
    return ordinal < 0 ? 0 : 1 << ordinal;
  }

  owns(member: MemberId, ballot: Term): boolean {
    if (this.mutation === "ballot-without-node") return this.#voters.includes(member);
    return proposerOf(ballot, this.#voters) === member;
  }

  promise(ballot: Term): void {
    invariant(ballot > this.#promised, `promise went back: ${this.#promised} -> ${ballot}`);
    this.#promised = ballot;
    this.#pending = undefined;
    this.election.knows(ballot);
    this.#persistHardState();
  }

  /** A leader is heard of whose ballot is later than the one that this member accepts in. */
  follow(ballot: Term, freeFrom: LogIndex): void {
    this.#pending = {
      ballot,
      freeFrom,
      entries: new Map(),
      received: this.log.committed,
      told: 0 as LogIndex,
      bytes: 0,
    };
  }

  /** Of the pending ballot. */
  hold(entry: Entry): void {
    if (this.#pending === undefined || this.#pending.entries.has(entry.index)) return;
    this.#pending.entries.set(entry.index, entry);
    this.#pending.bytes += entryBytes(entry);
  }

  /**
   * Goes over to the pending ballot once everything that its leader recovered is there. All at once, because what stands
   * beyond the chosen prefix is to be of one ballot: a mixture could bring back, above what a leader has recovered or
   * proposed since, what it did not find.
   */
  adopt(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const { ballot, freeFrom, entries, told } = pending;
    let received = higher(pending.received, this.log.committed);
    while (entries.has(moved(received, 1))) received = moved(received, 1);
    pending.received = received;
    if (moved(received, 1) < freeFrom && this.mutation !== "stale-higher-slots-kept") return;
    this.acceptIn(ballot, freeFrom);
    const fresh = [...entries.values()].filter(({ index }) => index > this.log.committed);
    if (fresh.length > 0) this.write(fresh.sort((a, b) => a.index - b.index));
    this.#told = told;
  }

  /**
   * From here on `ballot` is what this member accepts in. The order rule: its leader was free to choose from `freeFrom`
   * on, because a phase-1 quorum had accepted nothing there; so nothing of a lower ballot can be chosen there, now or
   * ever, and must not come back above what this leader chooses.
   */
  acceptIn(ballot: Term, freeFrom: LogIndex): void {
    if (!(ballot > this.#accepted.ballot)) invariant(false, `accepts in ${ballot} after ${this.#accepted.ballot}`);
    const { log } = this;
    const stale = higher(freeFrom, moved(log.committed, 1));
    if (log.last >= stale && this.mutation !== "stale-higher-slots-kept") {
      log.truncateFrom(stale);
      this.outbox.persist().truncateFrom = stale;
    }
    this.#accepted = { ballot, freeFrom };
    this.#pending = undefined;
    this.#told = 0 as LogIndex;
    this.#received = log.committed;
    this.#persistHardState();
  }

  /** Accepts or learns: these entries take the place of what stood in their slots. */
  write(entries: readonly Entry[]): void {
    const { token } = this.outbox.persist();
    this.log.putAll(entries, token);
    this.#writtenToken = token;
    this.outbox.persistAppend(entries);
  }

  /** This step writes entries. */
  get writes(): boolean {
    return this.#writtenToken === this.outbox.openToken;
  }

  /** The latest leader that is heard says so. */
  hearChosen(upTo: LogIndex): void {
    // Of what was accepted under an earlier leader it says nothing.
    const pending = this.mutation === "chosen-in-another-ballot" ? undefined : this.#pending;
    if (pending !== undefined) pending.told = higher(pending.told, upTo);
    else this.#told = higher(this.#told, upTo);
  }

  /** Goes on as far as slots are known to be right: chosen, received, delivered. */
  advance(): void {
    const { log } = this;
    const { ballot } = this.#accepted;
    let chosen = log.committed;
    while (log.sealedAt === undefined && chosen < this.#told) {
      const next = moved(chosen, 1);
      const term = log.entry(next)?.term;
      if (term === undefined || (term !== ballot && this.mutation !== "chosen-in-another-ballot")) break;
      chosen = next;
    }
    this.commitTo(chosen);
    let received = higher(this.#received, log.committed);
    while (log.entry(moved(received, 1))?.term === ballot) received = moved(received, 1);
    this.#received = received;
  }

  commitTo(to: LogIndex): void {
    const before = this.log.committed;
    if (to > before) this.log.commitTo(to);
    this.deliver();
  }

  /** Delivers what is both chosen and durable here, so that no state gets ahead of the log below it. */
  deliver(): void {
    const upTo = lower(this.log.committed, this.log.persisted);
    if (upTo <= this.#delivered) return;
    this.#delivered = upTo;
    this.outbox.push({ type: "commit", upTo });
  }

  /** A state snapshot stands for everything up to `start.index`. */
  restart(start: LogStart): void {
    const persist = this.outbox.persist();
    const kept = this.log.restart(start, persist.token, this.mutation === "install-forgets-accepted");
    persist.restart = start;
    persist.append = kept;
    this.#delivered = start.index;
    this.#noted = start.index;
    this.#received = higher(this.#received, start.index);
    this.#gateToken = persist.token;
    this.advance();
  }

  /** Follows `leader`, if anyone; whatever the role was, it ends. */
  becomeFollower(leader: MemberId | undefined): void {
    if (this.role.role === "leader") {
      for (const request of this.role.reads.takeAll()) this.outbox.reply(request, "dropped", leader);
    }
    this.role = { role: "follower", leader, silentTicks: 0 };
  }

  /** With the persist that this step makes anyway: how far this member knows what is chosen. */
  noteChosen(): void {
    if (this.#delivered - this.#noted >= this.settings.chosenNotedSlots) this.#persistHardState(false);
  }

  drop(): void {
    this.droppedMessages += 1;
  }

  send(to: MemberId, message: PaxosMessage): void {
    this.outbox.send(to, message);
  }

  /** An answer: leaves once the promise (or the start of the log) that it speaks of is durable. */
  answer(to: MemberId, message: PaxosMessage): void {
    if (this.#gateToken > this.log.completedToken) this.outbox.sendAfter(to, message);
    else this.outbox.send(to, message);
  }

  refuse(request: RequestId, reason: ReplyReason): void {
    this.outbox.reply(request, reason, this.leader);
  }

  #persistHardState(isGate = true): void {
    const persist = this.outbox.persist();
    persist.hardState = this.#hardState();
    this.#noted = this.#delivered;
    if (isGate) this.#gateToken = persist.token;
  }

  #hardState(): HardState {
    return {
      term: this.#promised,
      vote: undefined,
      ...(this.#accepted.ballot > 0 ? { accepted: this.#accepted } : {}),
      ...(this.#delivered > 0 ? { chosen: this.#delivered } : {}),
    };
  }
}
