/** Leadership transfer (thesis §3.10): no new proposals, the target catches up, then it may campaign at once. */
import { isVoter } from "../configuration.ts";
import type { MemberId } from "../quantities.ts";
import { sendEntries } from "./replication.ts";
import type { Leader } from "./role.ts";
import type { RaftState } from "./state.ts";

export function startTransfer(state: RaftState, leader: Leader, to: MemberId): void {
  if (to === state.member || !isVoter(state.log.configuration, to) || leader.transfer?.to === to) return;
  leader.transfer = { to, elapsedTicks: 0 };
  continueTransfer(state, leader, to);
}

/** Something was heard of `member`: if it is the target and has everything, it is told to campaign. */
export function continueTransfer(state: RaftState, leader: Leader, member: MemberId): void {
  const progress = leader.progress.get(member);
  if (leader.transfer?.to !== member || progress === undefined) return;
  if (progress.match === state.log.last) state.send(member, { type: "timeoutNow", term: state.term });
  else sendEntries(state, leader, member, progress);
}

/** After an election timeout the target is taken for dead, and the leader goes on leading. */
export function tickTransfer(state: RaftState, leader: Leader): void {
  if (leader.transfer === undefined) return;
  leader.transfer.elapsedTicks += 1;
  const gone = !isVoter(state.log.configuration, leader.transfer.to);
  if (gone || leader.transfer.elapsedTicks >= state.settings.electionTicks) leader.transfer = undefined;
}

/** A leader without a vote leaves: whoever has everything need not wait for its election timeout. */
export function handOver(state: RaftState, leader: Leader): void {
  for (const [member, progress] of leader.progress) {
    const ready = progress.state === "replicate" && progress.active && progress.match === state.log.last;
    if (!ready || !isVoter(state.log.configuration, member)) continue;
    state.send(member, { type: "timeoutNow", term: state.term });
    return;
  }
}
