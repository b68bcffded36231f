/** What the leader sends: accepts as far as each member's window reaches, heartbeats, commit positions. */
import { moved } from "../entries.ts";
import type { MemberId } from "../quantities.ts";
import type { Progress } from "./progress.ts";
import type { Leader } from "./role.ts";
import type { PaxosState } from "./state.ts";

export function sendToAll(state: PaxosState, leader: Leader): void {
  for (const [member, progress] of leader.progress) sendAccepts(state, leader, member, progress);
}

/** Sends what is not sent yet, or is to be sent again, as far as the window reaches. */
export function sendAccepts(state: PaxosState, leader: Leader, to: MemberId, progress: Progress): void {
  const { log, settings } = state;
  while (progress.next <= log.last && progress.maySend(settings.inflightMessagesMax, settings.inflightBytesMax)) {
    if (progress.next <= log.start.index) {
      progress.needsSnapshot();
      sendSnapshotNeeded(state, leader, to);
      return;
    }
    if (leader.acknowledgements.has(progress.bit, progress.next)) {
      progress.next = moved(progress.next, 1); // It came through although something before it was lost.
      continue;
    }
    const { entries, bytes } = log.run(progress.next, settings.messageEntriesMax, settings.messageBytesMax);
    const last = entries.at(-1)?.index;
    if (last === undefined) return;
    const { ballot, freeFrom } = state.accepted;
    const chosen = log.committed;
    state.send(to, { type: "accept", ballot, freeFrom, entries, chosen, barrier: leader.reads.number });
    progress.sent(last, bytes);
    progress.chosenSent = chosen;
  }
}

/** At the pace of time: also the word to one that needs a snapshot, and a look whether anything was lost. */
export function broadcastHeartbeat(state: PaxosState, leader: Leader): void {
  leader.heartbeatNumber += 1;
  for (const [member, progress] of leader.progress) {
    if (progress.checkNumber < 0) {
      progress.checkNumber = leader.heartbeatNumber;
      progress.checkSent = moved(progress.next, -1);
    }
    if (progress.state === "snapshot") sendSnapshotNeeded(state, leader, member);
    else sendHeartbeat(state, leader, member, leader.heartbeatNumber);
  }
}

/** At the pace of reads: asks who has promised nothing higher, no more. */
export function broadcastBarrier(state: PaxosState, leader: Leader): void {
  for (const member of leader.progress.keys()) sendHeartbeat(state, leader, member, 0);
}

function sendHeartbeat(state: PaxosState, leader: Leader, to: MemberId, number: number): void {
  const { ballot, freeFrom } = state.accepted;
  const chosen = state.log.committed;
  state.send(to, { type: "paxosHeartbeat", ballot, freeFrom, chosen, number, barrier: leader.reads.number });
}

function sendSnapshotNeeded(state: PaxosState, leader: Leader, to: MemberId): void {
  const { ballot, freeFrom } = state.accepted;
  state.send(to, {
    type: "paxosSnapshotNeeded",
    ballot,
    freeFrom,
    chosen: state.log.committed,
    atLeast: state.log.start.index,
    number: leader.heartbeatNumber,
    barrier: leader.reads.number,
  });
}

/**
 * Tells the new commit position at once to everybody whose slots may reach that far: a member that waits for its own
 * record must not wait for the next heartbeat.
 */
export function announceChosen(state: PaxosState, leader: Leader): void {
  const { ballot, freeFrom } = state.accepted;
  const chosen = state.log.committed;
  for (const [member, progress] of leader.progress) {
    if (progress.state !== "replicate") continue;
    sendAccepts(state, leader, member, progress);
    if (progress.chosenSent >= chosen) continue;
    state.send(member, { type: "chosen", ballot, freeFrom, chosen });
    progress.chosenSent = chosen;
  }
}
