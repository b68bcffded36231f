/**
 * Raft (Ongaro and Ousterhout, extended version; Ongaro's thesis) as a pure core: where inputs come in and effects go
 * out. The rules stand in the files beside this, one subject each: election, replication (leader), follower, reads,
 * membership, transfer.
 */
import { invariant, unreachable } from "@quipu/core";
import type {
  ConsensusCore,
  CoreOptions,
  CoreView,
  Effect,
  Entry,
  Input,
  LogStart,
  RequestId,
  Role,
} from "../contract.ts";
import { moved } from "../entries.ts";
import type { Configuration, LogIndex, MemberId, Term } from "../quantities.ts";
import {
  countOwnVote,
  isContent,
  onRequestPreVote,
  onRequestVote,
  onTimeoutNow,
  onVoteReply,
  tickElection,
} from "./election.ts";
import { installed, onAppendEntries, onHeartbeat, onSnapshotNeeded } from "./follower.ts";
import {
  afterMatchMoved,
  onAppendAccepted,
  onAppendRejected,
  onHeartbeatReply,
  onPeerUnreachable,
  propose,
  seal,
  tickLeader,
} from "./leader.ts";
import { changeMembers } from "./membership.ts";
import type { AppendEntries, Heartbeat, RaftMessage, RequestVote, SnapshotNeeded } from "./messages.ts";
import type { RaftMutation } from "./mutation.ts";
import { readBarrier } from "./reads.ts";
import type { Leader } from "./role.ts";
import type { RaftSettings } from "./settings.ts";
import { RaftState } from "./state.ts";
import { startTransfer } from "./transfer.ts";

/**
 * By how much a message's term may be above the own: more elections than a member could miss in a lifetime. A term
 * spreads to everybody who hears of it and never goes down again, so one damaged message must not bring it to its end.
 */
const termLeapMax = 2 ** 32;

export class Raft implements ConsensusCore<RaftMessage> {
  readonly #state: RaftState;
  #toldRole: Role = "follower";
  #toldTerm: Term;
  #toldLeader: MemberId | undefined;
  #toldConfiguration: Configuration;

  constructor(options: CoreOptions<RaftSettings> & { readonly mutation?: RaftMutation }) {
    this.#state = new RaftState(options);
    this.#toldTerm = this.#state.term;
    this.#toldConfiguration = this.#state.log.configuration;
  }

  step(input: Input<RaftMessage>): readonly Effect<RaftMessage>[] {
    const state = this.#state;
    switch (input.type) {
      case "tick":
        if (state.role.role === "leader") tickLeader(state, state.role);
        else tickElection(state, state.role);
        break;
      case "receive":
        this.#receive(input.from, input.message);
        break;
      case "propose":
        if (input.records.length === 0) invariant(false, `proposal ${input.request} has no records`);
        this.#asLeader(input.request, (leader) => propose(state, leader, input.request, input.records));
        break;
      case "seal":
        this.#asLeader(input.request, (leader) => seal(state, leader, input.request));
        break;
      case "readBarrier":
        if (state.role.role === "leader") readBarrier(state, state.role, input.request);
        else state.refuse(input.request, "dropped");
        break;
      case "changeMembers":
        if (state.role.role !== "leader") state.refuse(input.request, "dropped");
        else changeMembers(state, state.role, input.request, input.voters, input.learners);
        break;
      case "transferLeadership":
        if (state.role.role === "leader") startTransfer(state, state.role, input.to);
        break;
      case "persisted":
        this.#persisted(input.token);
        break;
      case "trim":
        this.#trim(input.upTo);
        break;
      case "installed":
        installed(state, input.start);
        break;
      case "peerUnreachable":
        if (state.role.role === "leader") onPeerUnreachable(state.role, input.member);
        break;
      default:
        return unreachable(input);
    }
    return this.#finish();
  }

  entry(index: LogIndex): Entry | undefined {
    return this.#state.log.entry(index);
  }

  startAt(index: LogIndex): LogStart | undefined {
    const { log, delivered } = this.#state;
    // A log that began behind its seal would have forgotten that it is sealed.
    const sealedBelow = log.sealedAt !== undefined && index >= log.sealedAt;
    return index > delivered || sealedBelow ? undefined : log.startAt(index);
  }

  inspect(): CoreView {
    const { log, durability, role } = this.#state;
    const progress = role.role === "leader" ? [...role.progress] : [];
    return Object.freeze({
      member: this.#state.member,
      role: role.role,
      term: this.#state.term,
      vote: this.#state.vote,
      leader: this.#state.leader,
      start: log.start,
      last: log.last,
      lastTerm: log.lastTerm,
      committed: log.committed,
      delivered: this.#state.delivered,
      persisted: durability.persisted,
      sealedAt: log.sealedAt,
      configuration: log.configuration,
      configurationIndex: log.configurationIndex,
      progress: progress
        .map(([member, { state, match, next, active }]) => ({ member, state, match, next, active }))
        .sort((a, b) => a.member - b.member),
      droppedMessages: this.#state.droppedMessages,
    });
  }

  #receive(from: MemberId, message: RaftMessage): void {
    const state = this.#state;
    if (from === state.member || message.term > state.term + termLeapMax) {
      state.drop();
      return;
    }
    switch (message.type) {
      case "requestVote":
        this.#receiveRequestVote(from, message);
        return;
      case "voteReply":
        // A granted pre-vote speaks of a term that nobody is in yet.
        if (message.preVote && message.granted) onVoteReply(state, from, message);
        else if (this.#isOfOwnTerm(message.term)) onVoteReply(state, from, message);
        return;
      case "appendEntries":
      case "heartbeat":
      case "snapshotNeeded":
        this.#receiveFromLeader(from, message);
        return;
      case "timeoutNow":
        if (this.#isOfOwnTerm(message.term)) onTimeoutNow(state, from);
        return;
      case "appendAccepted":
      case "appendRejected":
      case "heartbeatReply": {
        if (!this.#isOfOwnTerm(message.term) || state.role.role !== "leader") return;
        if (message.type === "appendAccepted") onAppendAccepted(state, state.role, from, message);
        else if (message.type === "appendRejected") onAppendRejected(state, state.role, from, message);
        else onHeartbeatReply(state, state.role, from, message);
        return;
      }
      default:
        unreachable(message);
    }
  }

  #receiveRequestVote(from: MemberId, message: RequestVote): void {
    const state = this.#state;
    if (message.preVote) {
      onRequestPreVote(state, from, message);
    } else if (message.term < state.term) {
      // Its candidate learns of our term, and comes back with a later one or not at all.
      state.answer(from, { type: "voteReply", term: state.term, preVote: false, granted: false });
    } else if (message.term === state.term || message.transfer || !isContent(state)) {
      if (message.term > state.term) state.becomeFollower(message.term, undefined);
      onRequestVote(state, from, message);
    }
  }

  #receiveFromLeader(from: MemberId, message: AppendEntries | Heartbeat | SnapshotNeeded): void {
    const state = this.#state;
    if (message.term < state.term) {
      // An old leader, or one whose follower got ahead in an election that nobody won: either must step down, or they
      // would never talk to each other again.
      state.answer(from, { type: "heartbeatReply", term: state.term, barrier: 0 });
      return;
    }
    const role = state.role;
    if (role.role === "leader" && message.term === state.term) {
      state.drop(); // Two leaders in one term cannot be (Election Safety): damaged or forged.
      return;
    }
    if (message.term === state.term && role.role === "follower" && role.leader === from) role.elapsedTicks = 0;
    else state.becomeFollower(message.term, from);
    switch (message.type) {
      case "appendEntries":
        onAppendEntries(state, from, message);
        return;
      case "heartbeat":
        onHeartbeat(state, from, message);
        return;
      case "snapshotNeeded":
        onSnapshotNeeded(state, from, message);
        return;
      default:
        unreachable(message);
    }
  }

  /** Old messages are of no use; a later term ends whatever this member was (Raft §5.1). */
  #isOfOwnTerm(term: Term): boolean {
    if (term > this.#state.term) this.#state.becomeFollower(term, undefined);
    return term === this.#state.term;
  }

  /** For what changes the log: whoever knows that it is sealed says so, leader or not. */
  #asLeader(request: RequestId, take: (leader: Leader) => void): void {
    const { role, log } = this.#state;
    if (role.role === "leader") take(role);
    else this.#state.refuse(request, log.sealedAt === undefined ? "dropped" : "sealed");
  }

  #persisted(token: number): void {
    const state = this.#state;
    state.durability.completed(token, state.log.last);
    countOwnVote(state);
    if (state.role.role === "leader") afterMatchMoved(state, state.role);
    state.deliver();
  }

  #trim(upTo: LogIndex): void {
    const { log, delivered, outbox } = this.#state;
    // The seal stays: without it the log would be open again after a restart.
    const highest = log.sealedAt === undefined ? delivered : moved(log.sealedAt, -1);
    const index = upTo < highest ? upTo : highest;
    const start = index > log.start.index ? log.trim(index) : undefined;
    if (start !== undefined) outbox.persist().trim = start;
  }

  /** Ends the step: what changed is told, what it put on disk is noted. */
  #finish(): readonly Effect<RaftMessage>[] {
    const state = this.#state;
    const { log, outbox } = state;
    this.#checkOrder();
    const token = outbox.openToken;
    if (token !== undefined) state.durability.issued(token, log.last);
    if (log.configuration !== this.#toldConfiguration) {
      this.#toldConfiguration = log.configuration;
      outbox.push({ type: "configuration", configuration: log.configuration, index: log.configurationIndex });
    }
    const { role, term, leader } = { role: state.role.role, term: state.term, leader: state.leader };
    if (role !== this.#toldRole || term !== this.#toldTerm || leader !== this.#toldLeader) {
      this.#toldRole = role;
      this.#toldTerm = term;
      this.#toldLeader = leader;
      outbox.push({ type: "role", role, term, leader });
    }
    return outbox.take();
  }

  /** start <= delivered <= committed <= last, and nothing is delivered that is not durable. */
  #checkOrder(): void {
    const { log, delivered, durability } = this.#state;
    const { start, committed, last } = log;
    const isInOrder = start.index <= delivered && delivered <= committed && committed <= last;
    if (isInOrder && delivered <= durability.persisted) return;
    invariant(
      false,
      `out of order: ${start.index}, ${delivered}, ${committed}, ${last}; ${durability.persisted} durable`,
    );
  }
}
