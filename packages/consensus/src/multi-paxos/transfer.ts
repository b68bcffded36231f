/** Hand-over of leadership: no new proposals, the target catches up, then it is asked to take over. */
import type { MemberId } from "../quantities.ts";
import { sendAccepts } from "./replication.ts";
import type { Leader } from "./role.ts";
import type { PaxosState } from "./state.ts";

export function startTransfer(state: PaxosState, leader: Leader, to: MemberId): void {
  if (to === state.member || !state.voters.includes(to) || leader.transfer?.to === to) return;
  leader.transfer = { to, elapsedTicks: 0 };
  continueTransfer(state, leader, to);
}

/** Something was heard of `member`: if it is the target and has everything, it is asked. */
export function continueTransfer(state: PaxosState, leader: Leader, member: MemberId): void {
  const progress = leader.progress.get(member);
  if (leader.transfer?.to !== member || progress === undefined) return;
  if (progress.match === state.log.last) state.send(member, { type: "takeOver", ballot: state.promised });
  else sendAccepts(state, leader, member, progress);
}

/** After an election timeout the target is taken for dead, and the leader goes on leading. */
export function tickTransfer(state: PaxosState, leader: Leader): void {
  if (leader.transfer === undefined) return;
  leader.transfer.elapsedTicks += 1;
  if (leader.transfer.elapsedTicks >= state.settings.electionTicks) leader.transfer = undefined;
}
