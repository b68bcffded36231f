/** Elections (Raft §5.2, §5.4.1) with pre-votes (thesis §9.6) and sticky leaders (thesis §4.2.3). */
import { isVoter } from "../configuration.ts";
import type { MemberId, Term } from "../quantities.ts";
import { voteOutcome } from "../quorum.ts";
import { becomeLeader } from "./leader.ts";
import type { RequestVote, VoteReply } from "./messages.ts";
import type { Candidate, Follower, PreCandidate } from "./role.ts";
import type { RaftState } from "./state.ts";

/** Numbers are exact up to here; a cell that held an election every second would come here in 285 million years. */
const termMax = Number.MAX_SAFE_INTEGER;

/** Time passes for a member that does not lead. */
export function tickElection(state: RaftState, role: Follower | PreCandidate | Candidate): void {
  role.elapsedTicks += 1;
  if (role.elapsedTicks < role.timeoutTicks) return;
  // Learners, removed members and members without a cell never campaign; they forget who led.
  if (mayCampaign(state)) preCampaign(state);
  else state.becomeFollower(state.term, undefined);
}

/**
 * A member that the newest configuration leaves out still campaigns until that is committed: its log may be the only
 * one that is long enough to win (thesis §4.2.2). Its own vote does not count then.
 */
function mayCampaign(state: RaftState): boolean {
  if (state.term >= termMax) return false;
  return state.log.possibleConfigurations().some((configuration) => isVoter(configuration, state.member));
}

/** Asks whether the others would vote: a member that could not win must not push everybody to a new term. */
function preCampaign(state: RaftState): void {
  const role: PreCandidate = {
    role: "preCandidate",
    elapsedTicks: 0,
    timeoutTicks: state.drawTimeoutTicks(),
    votes: new Map([[state.member, true]]),
  };
  state.role = role;
  if (voteOutcome(state.quorum, role.votes) === "won") {
    campaign(state, false);
    return;
  }
  for (const to of otherVoters(state)) state.send(to, request(state, (state.term + 1) as Term, true, false));
}

function campaign(state: RaftState, transfer: boolean): void {
  state.setHardState((state.term + 1) as Term, state.member);
  state.role = {
    role: "candidate",
    elapsedTicks: 0,
    timeoutTicks: state.drawTimeoutTicks(),
    votes: new Map(),
    ownVoteToken: state.outbox.persist().token,
  };
  const early = state.mutation === "vote-not-persisted";
  // Whoever asks for votes has voted for itself: that must not be forgotten either.
  for (const to of otherVoters(state)) {
    if (early) state.send(to, request(state, state.term, false, transfer));
    else state.outbox.sendAfter(to, request(state, state.term, false, transfer));
  }
}

/** The own vote counts like any other: once it is durable. */
export function countOwnVote(state: RaftState): void {
  const role = state.role;
  if (role.role !== "candidate" || role.votes.has(state.member)) return;
  if (state.durability.completedToken < role.ownVoteToken) return;
  role.votes.set(state.member, true);
  conclude(state, role);
}

function request(state: RaftState, term: Term, preVote: boolean, transfer: boolean): RequestVote {
  const { last, lastTerm } = state.log;
  return { type: "requestVote", term, preVote, lastIndex: last, lastTerm, transfer };
}

function otherVoters(state: RaftState): readonly MemberId[] {
  const { voters, outgoing } = state.log.configuration;
  return [...new Set([...voters, ...outgoing])].filter((member) => member !== state.member);
}

/** Someone leads and was heard of within the shortest election timeout: no reason for another (thesis §4.2.3). */
export function isContent(state: RaftState): boolean {
  const role = state.role;
  if (role.role === "leader") return true;
  return role.role === "follower" && role.leader !== undefined && role.elapsedTicks < state.settings.electionTicks;
}

/** A question about a later term; nobody moves to it. */
export function onRequestPreVote(state: RaftState, from: MemberId, message: RequestVote): void {
  const granted = message.term > state.term && !isContent(state) && isUpToDate(state, message);
  const term = granted ? message.term : state.term;
  state.send(from, { type: "voteReply", term, preVote: true, granted });
}

/** In the request's own term. */
export function onRequestVote(state: RaftState, from: MemberId, message: RequestVote): void {
  const free = state.vote === undefined ? state.leader === undefined : state.mutation === "two-votes-per-term";
  const granted = state.vote === from || (free && isUpToDate(state, message));
  const reply: VoteReply = { type: "voteReply", term: state.term, preVote: false, granted };
  if (!granted) {
    state.answer(from, reply);
    return;
  }
  if (state.vote !== from) state.setHardState(state.term, from);
  if (state.role.role === "follower") state.role.elapsedTicks = 0;
  // A vote that is forgotten in a crash could be given again, to somebody else (Raft §5.2).
  if (state.mutation === "vote-not-persisted") state.send(from, reply);
  else state.answer(from, reply);
}

/** The candidate's log reaches at least as far: later last term, or the same and no shorter (Raft §5.4.1). */
function isUpToDate(state: RaftState, message: RequestVote): boolean {
  if (state.mutation === "vote-ignores-log") return true;
  const { last, lastTerm } = state.log;
  return message.lastTerm > lastTerm || (message.lastTerm === lastTerm && message.lastIndex >= last);
}

/** In the own term; of a granted pre-vote, in the one asked about. */
export function onVoteReply(state: RaftState, from: MemberId, message: VoteReply): void {
  const role = state.role;
  const asked = message.preVote ? "preCandidate" : "candidate";
  if (role.role !== asked || (role.role !== "preCandidate" && role.role !== "candidate")) return;
  if (message.preVote && message.granted && message.term !== state.term + 1) return;
  if (!isVoter(state.log.configuration, from) || role.votes.has(from)) return;
  role.votes.set(from, message.granted);
  conclude(state, role);
}

function conclude(state: RaftState, role: PreCandidate | Candidate): void {
  switch (voteOutcome(state.quorum, role.votes)) {
    case "won":
      if (role.role === "preCandidate") campaign(state, false);
      else becomeLeader(state);
      return;
    case "lost":
      state.becomeFollower(state.term, undefined);
      return;
    case "pending":
      return;
  }
}

/** The leader wants this member in its place: no pre-vote, and the others answer although they hear of a leader. */
export function onTimeoutNow(state: RaftState, from: MemberId): void {
  const role = state.role;
  // Late ones are of an old term, or find a leader other than their sender.
  if (role.role !== "follower" || (role.leader !== undefined && role.leader !== from)) return;
  if (mayCampaign(state)) campaign(state, true);
}
