/**
 * Phase 1: a candidate asks every slot above its chosen prefix at once, and becomes the leader when a quorum has told
 * all it has.
 */
import { invariant } from "@quipu/core";
import { higher, moved } from "../entries.ts";
import type { LogIndex, MemberId, Term } from "../quantities.ts";
import { becomeLeader } from "./leader.ts";
import type { Promised, Rejected, TakeOver } from "./messages.ts";
import { recover } from "./recovery.ts";
import type { Answer, Candidate } from "./role.ts";
import type { PaxosState } from "./state.ts";

/** Heartbeat times after which what was not answered is asked again: chunks are large. */
const askAgainHeartbeats = 2;

/** The first may have ended just after the candidate asked. */
const idleRoundsMax = 2;

/** Takes a ballot above all it knows of, promises it to itself, and asks everybody else to. */
export function campaign(state: PaxosState): void {
  const ordinal = state.mutation === "ballot-without-node" ? 0 : state.voters.indexOf(state.member);
  if (ordinal < 0) invariant(false, `${state.member} campaigns, but has no vote`);
  const ballot = state.election.takeOver(state.promised, ordinal);
  if (state.role.role !== "follower") state.becomeFollower(undefined);
  state.promise(ballot);
  const role: Candidate = {
    role: "candidate",
    answers: new Map(),
    ownPromiseToken: state.outbox.persist().token,
    askedElapsedTicks: 0,
    idleRounds: 0,
  };
  state.role = role;
  ask(state, role);
}

/** Asks every voter for what it has not told yet. */
function ask(state: PaxosState, role: Candidate): void {
  role.askedElapsedTicks = 0;
  for (const to of state.voters) {
    if (to === state.member || role.answers.get(to)?.isComplete === true) continue;
    askFor(state, to, role.answers.get(to));
  }
}

function askFor(state: PaxosState, to: MemberId, answer: Answer | undefined): void {
  const from = moved(higher(answer?.covered ?? (0 as LogIndex), state.log.committed), 1);
  const message = { type: "prepare", ballot: state.promised, from } as const;
  if (state.mutation === "promise-not-durable") state.send(to, message);
  // Its own promise first: after a crash it must not use this ballot again.
  else state.answer(to, message);
}

export function tickCandidate(state: PaxosState, role: Candidate): void {
  role.askedElapsedTicks += 1;
  if (role.askedElapsedTicks >= askAgainHeartbeats * state.settings.heartbeatTicks) ask(state, role);
}

export function onPromised(state: PaxosState, role: Candidate, from: MemberId, message: Promised): void {
  if (!state.voters.includes(from) || !isWellFormed(state, message)) {
    state.drop();
    return;
  }
  const answer = role.answers.get(from) ?? newAnswer();
  role.answers.set(from, answer);
  if (message.start >= message.from) {
    onTrimmed(state, answer, from, message);
    return;
  }
  const known = higher(answer.covered, state.log.committed);
  // An old chunk, or one behind a chunk that is not there.
  if (answer.isComplete || message.from > known + 1) return;
  for (const entry of message.entries) if (entry.index > answer.covered) answer.entries.push(entry);
  role.idleRounds = 0;
  answer.isTrimmed = false;
  answer.covered = higher(answer.covered, message.through);
  answer.chosen = higher(answer.chosen, message.chosen);
  answer.accepted = message.accepted;
  if (answer.covered < message.last && state.mutation !== "phase-1-takes-half-an-answer") {
    askFor(state, from, answer);
    return;
  }
  answer.isComplete = true;
  concludePhase1(state, role);
}

function newAnswer(): Answer {
  return {
    covered: 0 as LogIndex,
    isComplete: false,
    entries: [],
    chosen: 0 as LogIndex,
    accepted: { ballot: 0 as Term, freeFrom: 0 as LogIndex },
    isTrimmed: false,
    wasOffered: false,
  };
}

/**
 * The acceptor has trimmed what the candidate lacks. Without a report a slot is not free, so this one does not count;
 * whoever has a state snapshot is the better leader, if it reaches a quorum.
 */
function onTrimmed(state: PaxosState, answer: Answer, from: MemberId, message: Promised): void {
  if (message.start <= state.log.committed) {
    askFor(state, from, answer); // A snapshot came meanwhile.
    return;
  }
  answer.isTrimmed = true;
  state.outbox.push({ type: "needSnapshot", from, atLeast: message.start });
  if (answer.wasOffered) return;
  answer.wasOffered = true;
  state.send(from, { type: "takeOver", ballot: message.ballot });
}

function isWellFormed(state: PaxosState, message: Promised): boolean {
  if (message.from < 1 || message.through < message.from - 1 || message.chosen > message.last) return false;
  const { accepted } = message;
  if (accepted.ballot >= message.ballot && state.mutation !== "ballot-without-node") return false;
  let before = message.from - 1;
  for (const { index, term, kind } of message.entries) {
    if (index <= before || index > message.through || kind === "configuration") return false;
    if (term < 1 || (term >= message.ballot && state.mutation !== "ballot-without-node")) return false;
    before = index;
  }
  return true;
}

/** The own promise counts like any other: once it is durable. */
export function concludePhase1(state: PaxosState, role: Candidate): void {
  const ownCounts = state.mutation === "promise-not-durable" || state.log.completedToken >= role.ownPromiseToken;
  let count = ownCounts ? 1 : 0;
  for (const { isComplete } of role.answers.values()) count += isComplete ? 1 : 0;
  const needed = state.mutation === "phase-1-quorum-too-small" ? state.quorums.phase1 - 1 : state.quorums.phase1;
  if (!ownCounts || count < needed) return;
  becomeLeader(state, role.answers, recover(state, role));
}

/**
 * An election round has ended: whether phase 1 gets nowhere because others have trimmed what the candidate lacks. It
 * offers them its place again, since the first offer may be lost, or came before they could follow it.
 */
export function isStuck(role: Candidate): boolean {
  role.idleRounds += 1;
  let isTrimmed = false;
  for (const answer of role.answers.values()) {
    answer.wasOffered = false;
    isTrimmed ||= answer.isTrimmed;
  }
  return isTrimmed && role.idleRounds >= idleRoundsMax;
}

/** A snapshot came: phase 1 goes on above it. */
export function onInstalled(state: PaxosState): void {
  const { role } = state;
  state.election.endRest();
  if (role.role !== "candidate") return;
  ask(state, role);
}

/** Somebody refuses our ballot: the one it has promised is to lead, or to be gone beyond. */
export function onRejected(state: PaxosState, message: Rejected): void {
  if (message.promised <= message.ballot) {
    state.drop();
    return;
  }
  state.election.yieldsTo(message.promised);
  state.becomeFollower(undefined);
}

/** The one that leads, or wants to, asks for it: no reason to wait for the end of a round. */
export function onTakeOver(state: PaxosState, from: MemberId, message: TakeOver): void {
  const isAsked = message.ballot === state.promised && state.owns(from, message.ballot);
  if (state.role.role !== "follower" || !isAsked || !state.isVoter) return;
  // One that does not reach a quorum would only end what there is.
  if (state.election.connected >= state.quorums.phase1) campaign(state);
}
