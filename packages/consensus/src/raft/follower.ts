/** The follower's side of replication (Raft §5.3): takes a leader's entries, answers how far the logs are equal. */
import { invariant } from "@quipu/core";
import type { Entry, LogStart } from "../contract.ts";
import { lower, moved } from "../entries.ts";
import type { LogIndex, MemberId } from "../quantities.ts";
import type { AppendEntries, Heartbeat, SnapshotNeeded } from "./messages.ts";
import type { RaftState } from "./state.ts";

export function onAppendEntries(state: RaftState, from: MemberId, message: AppendEntries): void {
  const { log } = state;
  const { previousIndex, previousTerm } = message;
  if (!isWellFormed(message)) {
    state.drop();
    return;
  }
  if (previousIndex > log.last) {
    reject(state, from, message);
    return;
  }
  const ownTerm = log.termAt(previousIndex);
  if (ownTerm !== undefined && ownTerm !== previousTerm) {
    if (contradictsCommitted(state, previousIndex)) state.drop();
    else reject(state, from, message);
    return;
  }
  const conflict = firstMissing(state, message);
  if (conflict !== undefined && contradictsCommitted(state, conflict)) {
    state.drop();
    return;
  }
  const appends = conflict !== undefined;
  // One that cannot trim would hold ever more while its leader, which can, goes on. As if the message were lost.
  if (appends && log.retainedBytes >= 2 * state.settings.retainedBytesMax) {
    state.drop();
    return;
  }
  if (appends) replaceFrom(state, conflict, message.entries.slice(conflict - previousIndex - 1));
  accept(state, from, message, appends);
}

/** Remote input is believed only as far as it makes sense. */
function isWellFormed(message: AppendEntries): boolean {
  let index: number = message.previousIndex;
  let term: number = message.previousTerm;
  for (const entry of message.entries) {
    index += 1;
    if (entry.index !== index || entry.term < term) return false;
    term = entry.term;
  }
  return term <= message.term;
}

/** The first entry of the message that the log lacks or has otherwise; undefined: it has them all. */
function firstMissing(state: RaftState, message: AppendEntries): LogIndex | undefined {
  const { log } = state;
  if (state.mutation === "truncate-matching-suffix") {
    const from = moved(message.previousIndex, 1);
    return from > log.committed && from <= log.last
      ? from
      : message.entries.find((entry) => entry.index > log.last)?.index;
  }
  // Below the start all is committed, so equal.
  const skip = Math.max(0, log.start.index - message.previousIndex - 1);
  for (let at = skip; at < message.entries.length; at++) {
    const { index, term } = message.entries[at] as Entry;
    if (log.termAt(index) !== term) return index;
  }
  return undefined;
}

/**
 * A leader's log holds everything committed (Raft §5.4.3), so a contradiction is a bug and ends this member. One honest
 * case remains: what came by a snapshot may be the work of a later leader than the one this member still follows.
 */
function contradictsCommitted(state: RaftState, index: LogIndex): boolean {
  if (index > state.log.committed) return false;
  invariant(index <= state.trustedUpTo, `entry ${index} contradicts a leader, but ${state.log.committed} is committed`);
  return true;
}

/** Truncates only where there is a real conflict: a late message must not take away what followed it (P7). */
function replaceFrom(state: RaftState, from: LogIndex, entries: readonly Entry[]): void {
  if (from <= state.log.last) state.truncateFrom(from);
  state.log.append(entries);
  state.outbox.persistAppend(entries);
}

function accept(state: RaftState, from: MemberId, message: AppendEntries, appended: boolean): void {
  const { log } = state;
  // What is committed is equal in any leader's log.
  const end = moved(message.previousIndex, message.entries.length);
  const match = end > log.committed ? end : log.committed;
  const beyond = state.mutation === "commit-beyond-match";
  state.commitTo(lower(message.commit, beyond ? log.last : lower(match, log.last)));
  const { term, barrier } = message;
  if (appended) {
    const early = state.mutation === "acknowledge-before-persist";
    if (early) state.send(from, { type: "appendAccepted", term, match, barrier });
    // The persist of this very step makes it true; a later one cannot make it false in this term (P6).
    else state.outbox.sendAfter(from, { type: "appendAccepted", term, match, barrier });
    return;
  }
  // Nothing new; what is still on its way to the disk has its own answer waiting there.
  const durable = lower(match, state.durability.persisted);
  state.answer(from, { type: "appendAccepted", term, match: durable, barrier });
}

/** Names the last entry that could be equal to the leader's: no later than the one refused, and not of a later term. */
function reject(state: RaftState, from: MemberId, message: AppendEntries): void {
  const { log } = state;
  const hint = log.lastOfTermAtMost(lower(message.previousIndex, log.last), message.previousTerm);
  answerEnd(state, from, message.previousIndex, hint ?? log.start.index, message.barrier);
}

function answerEnd(state: RaftState, to: MemberId, rejected: LogIndex, hintIndex: LogIndex, barrier: number): void {
  const hintTerm = state.log.termAt(hintIndex);
  invariant(hintTerm !== undefined, `hint ${hintIndex} is not in the log, ${state.log.start.index}..${state.log.last}`);
  state.answer(to, { type: "appendRejected", term: state.term, rejected, hintIndex, hintTerm, barrier });
}

export function onHeartbeat(state: RaftState, from: MemberId, message: Heartbeat): void {
  if (message.commit > state.log.last) {
    state.drop();
    return;
  }
  state.commitTo(message.commit);
  state.answer(from, { type: "heartbeatReply", term: state.term, barrier: message.barrier });
}

/** The leader has trimmed what this member needs: the state has to come from above the log. */
export function onSnapshotNeeded(state: RaftState, from: MemberId, message: SnapshotNeeded): void {
  const { log } = state;
  if (message.commit > log.last) {
    state.drop();
    return;
  }
  state.commitTo(message.commit);
  if (message.atLeast > log.committed) {
    state.outbox.push({ type: "needSnapshot", from, atLeast: message.atLeast });
  }
  answerEnd(state, from, message.atLeast, log.last, message.barrier);
}

/** A snapshot of exactly `start.index` is durable on this member. */
export function installed(state: RaftState, start: LogStart): void {
  const { log } = state;
  if (start.index > log.committed) {
    state.trustUpTo(start.index);
    if (log.termAt(start.index) === start.term) {
      state.commitTo(start.index); // Equal there, so equal before (Log Matching, §5.3).
    } else {
      // A leader or candidate that lacks something committed is one of the past.
      const { term } = state;
      const passed = start.term > term || state.role.role !== "follower";
      if (passed) state.becomeFollower(start.term > term ? start.term : term, undefined);
      state.restart(start);
    }
  }
  const leader = state.role.role === "follower" ? state.role.leader : undefined;
  // Tells where the log ends now, without waiting for the leader to ask; it may be echo of no barrier.
  if (leader !== undefined) answerEnd(state, leader, log.last, log.last, 0);
}
