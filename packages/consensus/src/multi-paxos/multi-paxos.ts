/**
 * Multi-Paxos, slot by slot (Lamport, "Paxos Made Simple" §3), as a pure core: where inputs come in and effects go out.
 * The rules stand in the files beside this, one subject each: acceptor, proposer (phase 1), leader and replication
 * (phase 2), election and rounds, reads, transfer. Decision 0013 tells why it is as it is.
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
import { sameConfiguration } from "../configuration.ts";
import { moved } from "../entries.ts";
import type { LogIndex, MemberId, Term } from "../quantities.ts";
import { installed, onAccept, onChosen, onHeartbeat, onPrepare, onSnapshotNeeded } from "./acceptor.ts";
import { ballotLeapMax } from "./ballot.ts";
import { countOwn, onAccepted, onHeartbeatReply, onPeerUnreachable, propose, seal, tickLeader } from "./leader.ts";
import type { PaxosMessage } from "./messages.ts";
import type { MultiPaxosMutation } from "./mutation.ts";
import { concludePhase1, onPromised, onRejected, onTakeOver, tickCandidate } from "./proposer.ts";
import { readBarrier } from "./reads.ts";
import type { Leader } from "./role.ts";
import { tickElection } from "./rounds.ts";
import type { MultiPaxosSettings } from "./settings.ts";
import { PaxosState } from "./state.ts";
import { startTransfer } from "./transfer.ts";

export class MultiPaxos implements ConsensusCore<PaxosMessage> {
  readonly #state: PaxosState;
  #toldRole: Role = "follower";
  #toldTerm: Term;
  #toldLeader: MemberId | undefined;
  #toldConfiguration: LogStart["configuration"];

  constructor(options: CoreOptions<MultiPaxosSettings> & { readonly mutation?: MultiPaxosMutation }) {
    this.#state = new PaxosState(options);
    this.#toldTerm = this.#state.promised;
    this.#toldConfiguration = this.#state.log.start.configuration;
  }

  step(input: Input<PaxosMessage>): readonly Effect<PaxosMessage>[] {
    const state = this.#state;
    switch (input.type) {
      case "tick":
        this.#tick();
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
        state.refuse(input.request, "refused");
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
    const { log, role } = this.#state;
    const progress = role.role === "leader" ? [...role.progress] : [];
    return Object.freeze({
      member: this.#state.member,
      role: role.role,
      term: this.#state.promised,
      vote: undefined,
      leader: this.#state.leader,
      start: log.start,
      last: log.last,
      lastTerm: log.lastTerm,
      committed: log.committed,
      delivered: this.#state.delivered,
      persisted: log.persisted,
      sealedAt: log.sealedAt,
      configuration: log.start.configuration,
      configurationIndex: log.start.index,
      progress: progress
        .map(([member, { state, match, next, active }]) => ({ member, state, match, next, active }))
        .sort((a, b) => a.member - b.member),
      droppedMessages: this.#state.droppedMessages,
    });
  }

  #tick(): void {
    const state = this.#state;
    if (state.role.role === "leader") tickLeader(state, state.role);
    else if (state.role.role === "candidate") tickCandidate(state, state.role);
    tickElection(state);
  }

  #receive(from: MemberId, message: PaxosMessage): void {
    const state = this.#state;
    // One that knows no group cannot tell whose ballot is whose.
    if (from === state.member || state.voters.length === 0 || highestBallot(message) > state.promised + ballotLeapMax) {
      state.drop();
      return;
    }
    switch (message.type) {
      case "prepare":
        onPrepare(state, from, message);
        return;
      case "accept":
        onAccept(state, from, message);
        return;
      case "chosen":
        onChosen(state, from, message);
        return;
      case "paxosHeartbeat":
        onHeartbeat(state, from, message);
        return;
      case "paxosSnapshotNeeded":
        onSnapshotNeeded(state, from, message);
        return;
      case "takeOver":
        onTakeOver(state, from, message);
        return;
      case "electionRequest":
        if (state.isVoter && state.voters.includes(from)) state.send(from, state.election.replyTo(message.round));
        return;
      case "electionReply":
        if (state.voters.includes(from)) state.election.onReply(from, message);
        return;
      case "promised":
      case "accepted":
      case "rejected":
      case "paxosHeartbeatReply":
        this.#receiveAnswer(from, message);
        return;
      default:
        unreachable(message);
    }
  }

  /** Answers to an older ballot are of no use. */
  #receiveAnswer(
    from: MemberId,
    message: Extract<PaxosMessage, { readonly type: "promised" | "accepted" | "rejected" | "paxosHeartbeatReply" }>,
  ): void {
    const state = this.#state;
    const { role } = state;
    if (role.role === "follower" || message.ballot !== state.promised) return;
    if (message.type === "rejected") {
      if (state.voters.includes(from)) onRejected(state, message);
    } else if (message.type === "promised") {
      if (role.role === "candidate") onPromised(state, role, from, message);
    } else if (role.role === "leader") {
      if (message.type === "accepted") onAccepted(state, role, from, message);
      else onHeartbeatReply(state, role, from, message);
    }
  }

  /** For what changes the log: whoever knows that it is sealed says so, leader or not. */
  #asLeader(request: RequestId, take: (leader: Leader) => void): void {
    const { role, log } = this.#state;
    if (role.role === "leader") take(role);
    else this.#state.refuse(request, log.sealedAt === undefined ? "dropped" : "sealed");
  }

  #persisted(token: number): void {
    const state = this.#state;
    const before = state.log.persisted;
    state.log.completed(token);
    if (state.role.role === "candidate") concludePhase1(state, state.role);
    if (state.role.role === "leader") countOwn(state, state.role, before);
    state.deliver();
  }

  #trim(upTo: LogIndex): void {
    const { log, delivered, outbox } = this.#state;
    // The seal stays: without it the log would be open again after a restart.
    const highest = log.sealedAt === undefined ? delivered : moved(log.sealedAt, -1);
    const index = upTo < highest ? upTo : highest;
    if (index > log.start.index) outbox.persist().trim = log.trim(index);
  }

  /** Ends the step: what changed is told. */
  #finish(): readonly Effect<PaxosMessage>[] {
    const state = this.#state;
    const { log, outbox } = state;
    state.deliver();
    if (outbox.openToken !== undefined) state.noteChosen();
    this.#checkOrder();
    const { configuration } = log.start;
    if (configuration !== this.#toldConfiguration && !sameConfiguration(configuration, this.#toldConfiguration)) {
      this.#toldConfiguration = configuration;
      outbox.push({ type: "configuration", configuration, index: log.start.index });
    }
    const { role, term, leader } = { role: state.role.role, term: state.promised, leader: state.leader };
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
    const { log, delivered } = this.#state;
    const { start, committed, last, persisted } = log;
    const isInOrder = start.index <= delivered && delivered <= committed && committed <= last;
    if (isInOrder && delivered <= persisted) return;
    invariant(false, `out of order: ${start.index}, ${delivered}, ${committed}, ${last}; ${persisted} durable`);
  }
}

function highestBallot(message: PaxosMessage): number {
  switch (message.type) {
    case "electionRequest":
      return 0;
    case "electionReply":
      return Math.max(message.ballot, message.leader);
    case "rejected":
      return Math.max(message.ballot, message.promised);
    default:
      return message.ballot;
  }
}
