/** Time as elections see it: the ends of rounds, and what a member does about them. */
import { campaign, isStuck } from "./proposer.ts";
import type { PaxosState } from "./state.ts";

/** One may be bad luck. */
const lonelyRoundsMax = 2;

export function tickElection(state: PaxosState): void {
  const { election, role } = state;
  if (role.role === "follower" && role.leader !== undefined) {
    role.silentTicks += 1;
    if (role.silentTicks >= state.settings.electionTicks) state.becomeFollower(undefined);
  }
  if (!state.isVoter) return;
  // Nobody to ask.
  if (state.voters.length === 1 && role.role === "follower") {
    campaign(state);
    return;
  }
  if (election.tick()) endRound(state);
}

function endRound(state: PaxosState): void {
  const { election, quorums } = state;
  if (state.role.role === "candidate" && isStuck(state.role)) {
    // As long as it is content, nobody who could lead would.
    election.rest();
    state.becomeFollower(undefined);
  }
  const { role } = state;
  const isProposing = role.role !== "follower";
  const needed = role.role === "leader" ? quorums.phase2 : quorums.phase1;
  const { takesOver, lonelyRounds } = election.endRound(isProposing, needed, quorums.phase1);
  if (role.role === "leader") {
    for (const progress of role.progress.values()) progress.active = false;
  }
  if (takesOver) {
    campaign(state);
  } else if (isProposing && lonelyRounds >= lonelyRoundsMax) {
    // Who cannot reach a quorum must not take proposals that come to nothing.
    state.becomeFollower(undefined);
  }
  for (const to of state.voters) {
    if (to !== state.member) state.send(to, { type: "electionRequest", round: election.round });
  }
}
