/**
 * What every role has: term and vote, log, what is durable, what was delivered; and the few steps that all roles take.
 * The rules of each subject stand in its own file, as functions over this.
 */
import { invariant, type Random } from "@quipu/core";
import type { CoreOptions, LogStart, RequestId } from "../contract.ts";
import { lower } from "../entries.ts";
import { Outbox } from "../outbox.ts";
import type { Configuration, LogIndex, MemberId, Term } from "../quantities.ts";
import { Durability } from "./durability.ts";
import { RaftLog } from "./log.ts";
import type { RaftMessage } from "./messages.ts";
import type { RaftMutation } from "./mutation.ts";
import type { RoleState } from "./role.ts";
import { checkSettings, type RaftSettings } from "./settings.ts";

export class RaftState {
  readonly member: MemberId;
  readonly settings: RaftSettings;
  readonly random: Random;
  readonly mutation: RaftMutation | undefined;
  readonly log: RaftLog;
  readonly durability: Durability;
  readonly outbox: Outbox<RaftMessage> = new Outbox();
  role: RoleState;
  droppedMessages = 0;
  #term: Term;
  #vote: MemberId | undefined;
  /** start.index <= delivered <= min(committed, persisted); never decreases. */
  #delivered: LogIndex;
  /** Up to here the log is known to be right from a snapshot, not from the leader of the present term. */
  #installedUpTo: LogIndex = 0 as LogIndex;
  /** Answers are true only once this persist is durable: it holds the term or the log's start that they speak of. */
  #gateToken = 0;

  constructor(options: CoreOptions<RaftSettings> & { readonly mutation?: RaftMutation }) {
    checkSettings(options.settings);
    this.member = options.member;
    this.settings = options.settings;
    this.random = options.random;
    this.mutation = options.mutation;
    this.log = new RaftLog(options.restored, options.mutation);
    this.durability = new Durability(this.log.last, options.mutation);
    this.#term = options.restored.hardState.term;
    this.#vote = options.restored.hardState.vote;
    this.#delivered = this.log.start.index;
    invariant(this.log.lastTerm <= this.#term, `restored term ${this.#term}, but entries of ${this.log.lastTerm}`);
    this.role = { role: "follower", leader: undefined, elapsedTicks: 0, timeoutTicks: this.drawTimeoutTicks() };
  }

  get term(): Term {
    return this.#term;
  }

  get vote(): MemberId | undefined {
    return this.#vote;
  }

  get delivered(): LogIndex {
    return this.#delivered;
  }

  /** Who leads, as far as this member knows. */
  get leader(): MemberId | undefined {
    if (this.role.role === "leader") return this.member;
    return this.role.role === "follower" ? this.role.leader : undefined;
  }

  /** The configuration whose majorities decide: that in force. */
  get quorum(): Configuration {
    const configuration = this.log.configuration;
    if (this.mutation === "joint-quorum-of-new-only") return { ...configuration, outgoing: [] };
    if (this.mutation === "learner-counted") {
      return { ...configuration, voters: [...configuration.voters, ...configuration.learners] };
    }
    return configuration;
  }

  /** Entries up to this are known from a snapshot: a leader who contradicts them is a deposed one. */
  get trustedUpTo(): LogIndex {
    return this.#installedUpTo > this.log.start.index ? this.#installedUpTo : this.log.start.index;
  }

  drawTimeoutTicks(): number {
    return this.settings.electionTicks + this.random.below(this.settings.electionTicks);
  }

  setHardState(term: Term, vote: MemberId | undefined): void {
    invariant(term >= this.#term, `term went back: ${this.#term} -> ${term}`);
    const mayVote = this.#vote === undefined || this.mutation === "two-votes-per-term";
    invariant(term > this.#term || mayVote, `second vote in term ${term}: ${this.#vote} -> ${vote}`);
    this.#term = term;
    this.#vote = vote;
    // In this step's persist, so with or before every entry of the term (P5).
    const persist = this.outbox.persist();
    persist.hardState = { term, vote };
    this.#gateToken = persist.token;
  }

  /** Follows `leader`, if anyone, in `term`; whatever the role was, it ends. */
  becomeFollower(term: Term, leader: MemberId | undefined): void {
    if (term > this.#term) this.setHardState(term, undefined);
    invariant(term === this.#term, `follows in term ${term}, but is in ${this.#term}`);
    if (this.role.role === "leader") {
      for (const request of this.role.reads.takeAll()) this.outbox.reply(request, "dropped", leader);
    }
    this.role = { role: "follower", leader, elapsedTicks: 0, timeoutTicks: this.drawTimeoutTicks() };
  }

  drop(): void {
    this.droppedMessages += 1;
  }

  send(to: MemberId, message: RaftMessage): void {
    this.outbox.send(to, message);
  }

  /** An answer: leaves once the term (or the start of the log) that it speaks of is durable. */
  answer(to: MemberId, message: RaftMessage): void {
    if (this.#gateToken > this.durability.completedToken) this.outbox.sendAfter(to, message);
    else this.outbox.send(to, message);
  }

  refuse(request: RequestId, reason: "dropped" | "sealed" | "overloaded" | "refused"): void {
    this.outbox.reply(request, reason, this.leader);
  }

  commitTo(to: LogIndex): void {
    if (to > this.log.committed) this.log.commitTo(to);
    this.deliver();
  }

  /** Delivers what is both committed and durable here, so that no state gets ahead of the log below it. */
  deliver(): void {
    const upTo = lower(this.log.committed, this.durability.persisted);
    if (upTo <= this.#delivered) return;
    this.#delivered = upTo;
    this.outbox.push({ type: "commit", upTo });
  }

  truncateFrom(from: LogIndex): void {
    this.log.truncateFrom(from);
    this.durability.truncatedFrom(from);
    this.outbox.persist().truncateFrom = from;
  }

  restart(start: LogStart): void {
    this.log.restart(start);
    this.durability.restartedAt(start.index);
    this.#delivered = start.index;
    const persist = this.outbox.persist();
    persist.restart = this.log.start;
    this.#gateToken = persist.token;
  }

  trustUpTo(index: LogIndex): void {
    if (index > this.#installedUpTo) this.#installedUpTo = index;
  }
}
