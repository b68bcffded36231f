/**
 * Changes of members (Raft §6, thesis §4): a change goes through a joint configuration, in force as soon as it is in the
 * log; the leader leaves the joint one by itself once that is committed.
 */
import { enterChange, isJoint, isVoter, leaveJoint } from "../configuration.ts";
import type { RequestId } from "../contract.ts";
import type { Configuration, LogIndex, MemberId } from "../quantities.ts";
import { appendAsLeader, sendToAll, trackMembers } from "./replication.ts";
import type { Leader } from "./role.ts";
import type { RaftState } from "./state.ts";

export function changeMembers(
  state: RaftState,
  leader: Leader,
  request: RequestId,
  voters: readonly MemberId[],
  learners: readonly MemberId[],
): void {
  if (leader.transfer !== undefined) {
    state.outbox.reply(request, "dropped", undefined);
    return;
  }
  const next = mayChange(state, leader) ? enterChange(state.log.configuration, voters, learners) : undefined;
  const caughtUp = next?.voters.every((member) => isCaughtUp(state, leader, member)) ?? false;
  if (next === undefined || !caughtUp) {
    state.refuse(request, "refused");
    return;
  }
  const index = appendConfiguration(state, leader, next);
  state.outbox.push({ type: "proposed", request, term: state.term, first: index, last: index });
}

function mayChange(state: RaftState, leader: Leader): boolean {
  // Without a committed entry of the own term, an unknown change of an earlier leader could still win, and the quorums
  // of the two need not meet (Ongaro, raft-dev 2015).
  const opened = state.log.committed >= leader.openedAt || state.mutation === "change-before-own-term-commit";
  // Behind a seal it would never be committed, and yet be in force: whoever is needed to read the log to its end could
  // be one that nobody could ever let in.
  if (state.log.sealIndex !== undefined && state.mutation !== "seal-not-final") return false;
  // One at a time, also one that an earlier leader left behind (thesis §4.1).
  return opened && state.log.configurationIndex <= state.log.committed;
}

/** A voter that is far behind would hold up every commit that needs it: it first listens as a learner (thesis §4.2.1). */
function isCaughtUp(state: RaftState, leader: Leader, member: MemberId): boolean {
  if (member === state.member || isVoter(state.log.configuration, member)) return true;
  const progress = leader.progress.get(member);
  if (progress?.state !== "replicate" || !(progress.active || progress.wasActive)) return false;
  return progress.match + state.settings.promotionLagEntriesMax >= state.log.last;
}

function appendConfiguration(state: RaftState, leader: Leader, configuration: Configuration): LogIndex {
  const index = appendAsLeader(state, leader, [{ kind: "configuration", configuration }]);
  trackMembers(state, leader, index);
  sendToAll(state, leader); // Those who are new: they should not wait for a heartbeat.
  return index;
}

/** The joint configuration is committed: from here on the new majority decides alone. */
export function leaveJointWhenCommitted(state: RaftState, leader: Leader): void {
  const { configuration, configurationIndex, committed } = state.log;
  if (!isJoint(configuration) || configurationIndex > committed || committed < leader.openedAt) return;
  appendConfiguration(state, leader, leaveJoint(configuration));
}

/** The change that took the leader's vote is committed: it has led its last entry (Raft §6, thesis §4.2.2). */
export function hasLedItsLast(state: RaftState): boolean {
  const { configuration, configurationIndex, committed } = state.log;
  return configurationIndex <= committed && !isVoter(configuration, state.member);
}
