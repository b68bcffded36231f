/** What a leader does with ticks, answers and the requests of its own node. */
import { isQuorum } from "../quorum.ts";
import type { RequestId } from "../contract.ts";
import { entryOverheadBytes, moved } from "../entries.ts";
import type { MemberId } from "../quantities.ts";
import { ReadQueue } from "../read-queue.ts";
import { hasLedItsLast, leaveJointWhenCommitted } from "./membership.ts";
import type { AppendAccepted, AppendRejected, HeartbeatReply } from "./messages.ts";
import type { Progress } from "./progress.ts";
import { askBarrier, confirmBarriers } from "./reads.ts";
import {
  announceCommit,
  appendAsLeader,
  appendRecords,
  broadcastHeartbeat,
  countCommitted,
  sendEmptyAppend,
  sendEntries,
  sendSnapshotNeeded,
  trackMembers,
} from "./replication.ts";
import type { Leader } from "./role.ts";
import type { RaftState } from "./state.ts";
import { continueTransfer, handOver, tickTransfer } from "./transfer.ts";

export function becomeLeader(state: RaftState): void {
  const leader: Leader = {
    role: "leader",
    progress: new Map(),
    reads: new ReadQueue(),
    openedAt: moved(state.log.last, 1),
    heartbeatElapsedTicks: 0,
    quorumCheckElapsedTicks: 0,
    transfer: undefined,
  };
  state.role = leader;
  trackMembers(state, leader, leader.openedAt);
  // The no-op lets entries of earlier terms commit without waiting for a client (Raft §8).
  appendAsLeader(state, leader, [{ kind: "noop" }]);
}

export function tickLeader(state: RaftState, leader: Leader): void {
  tickTransfer(state, leader);
  leader.quorumCheckElapsedTicks += 1;
  if (leader.quorumCheckElapsedTicks >= state.settings.electionTicks) {
    leader.quorumCheckElapsedTicks = 0;
    // CheckQuorum (thesis §6.2): who cannot reach a quorum must not keep others from electing one that can.
    if (!isQuorum(state.quorum, (member) => member === state.member || leader.progress.get(member)?.active === true)) {
      state.becomeFollower(state.term, undefined);
      return;
    }
    for (const progress of leader.progress.values()) {
      progress.wasActive = progress.active;
      progress.active = false;
    }
  }
  leader.heartbeatElapsedTicks += 1;
  if (leader.heartbeatElapsedTicks < state.settings.heartbeatTicks) return;
  leader.heartbeatElapsedTicks = 0;
  broadcastHeartbeat(state, leader);
}

/** An answer of the leader's own disk, or of a member: something new may be held by a quorum. */
export function afterMatchMoved(state: RaftState, leader: Leader): void {
  if (!countCommitted(state, leader)) return;
  leaveJointWhenCommitted(state, leader);
  announceCommit(state, leader);
  if (hasLedItsLast(state)) {
    handOver(state, leader);
    state.becomeFollower(state.term, undefined);
    return;
  }
  // Where members were removed, those that remain may have echoed already, or there may be nobody left to ask.
  if (leader.reads.asks) confirmBarriers(state, leader);
  else askBarrier(state, leader);
}

export function onAppendAccepted(state: RaftState, leader: Leader, from: MemberId, message: AppendAccepted): void {
  const progress = heard(leader, from, message.barrier);
  if (progress === undefined) return;
  if (message.match > state.log.last) {
    state.drop();
    return;
  }
  const moves = message.match > progress.match;
  // An old answer is no reason to send entries again; one to a probe, or of a member that has fetched a snapshot, is.
  const settles = progress.state === "probe" && message.match >= progress.next - 1;
  if (moves || settles) progress.accepted(message.match);
  if (progress.state === "replicate") {
    sendEntries(state, leader, from, progress);
    if (progress.commitSent < state.log.committed) sendEmptyAppend(state, leader, from, progress);
  }
  confirmBarriers(state, leader);
  if (moves) afterMatchMoved(state, leader);
  continueTransferIfLeading(state, leader, from);
}

export function onAppendRejected(state: RaftState, leader: Leader, from: MemberId, message: AppendRejected): void {
  const progress = heard(leader, from, message.barrier);
  if (progress === undefined) return;
  if (progress.concerns(message.rejected)) goBack(state, leader, from, progress, message);
  confirmBarriers(state, leader);
}

/** Goes on from where the logs may meet; where that is trimmed, from a snapshot. */
function goBack(state: RaftState, leader: Leader, to: MemberId, progress: Progress, message: AppendRejected): void {
  const { hintIndex, hintTerm } = message;
  const hint = hintIndex < state.log.last ? hintIndex : state.log.last;
  // One round trip per term, not per entry (Raft §5.3): our entries above this have a later term than its own there.
  const agreed = state.log.lastOfTermAtMost(hint, hintTerm);
  if (progress.state === "snapshot") {
    // A log that ends beyond our start may do so in entries that are not ours: it is tried once.
    if (agreed === undefined || !progress.triesFrom(hintIndex, hintTerm)) return;
  } else if (agreed === undefined) {
    progress.needsSnapshot();
    sendSnapshotNeeded(state, leader, to, progress);
    return;
  }
  progress.probeFrom(moved(agreed, 1));
  sendOne(state, leader, to, progress);
}

export function onHeartbeatReply(state: RaftState, leader: Leader, from: MemberId, message: HeartbeatReply): void {
  const progress = heard(leader, from, message.barrier);
  if (progress === undefined) return;
  if (progress.looksForLoss) {
    progress.looksForLoss = false;
    progress.probing = false;
    if (progress.state === "probe" || progress.match < state.log.last) sendOne(state, leader, from, progress);
  }
  confirmBarriers(state, leader);
  continueTransferIfLeading(state, leader, from);
}

export function onPeerUnreachable(leader: Leader, member: MemberId): void {
  const progress = leader.progress.get(member);
  if (progress?.state === "replicate") progress.probeFrom(moved(progress.match, 1));
}

export function propose(state: RaftState, leader: Leader, request: RequestId, records: readonly Uint8Array[]): void {
  const { log, settings } = state;
  if (refuseBehindSeal(state, request)) return;
  if (leader.transfer !== undefined) {
    state.outbox.reply(request, "dropped", undefined);
    return;
  }
  let bytes = 0;
  for (const data of records) bytes += data.length + entryOverheadBytes;
  const uncommitted = log.uncommittedBytes;
  if (
    (uncommitted > 0 && uncommitted + bytes > settings.uncommittedBytesMax) ||
    (log.retainedBytes > 0 && log.retainedBytes + bytes > settings.retainedBytesMax)
  ) {
    state.refuse(request, "overloaded");
    return;
  }
  const first = appendRecords(state, leader, records);
  state.outbox.push({ type: "proposed", request, term: state.term, first, last: state.log.last });
}

/**
 * Behind a seal nothing is taken. While the seal is not committed the answer is `dropped`: another leader may truncate
 * it, so "sealed" would send the caller to a successor that never comes, but that nothing was appended is certain.
 */
function refuseBehindSeal(state: RaftState, request: RequestId): boolean {
  if (state.log.sealIndex === undefined || state.mutation === "seal-not-final") return false;
  state.outbox.reply(request, state.log.sealedAt === undefined ? "dropped" : "sealed", undefined);
  return true;
}

/** Takes no limit into account: a log that is full must still be able to end. */
export function seal(state: RaftState, leader: Leader, request: RequestId): void {
  const { sealIndex } = state.log;
  if (state.log.sealedAt !== undefined) {
    state.refuse(request, "sealed");
  } else if (sealIndex !== undefined) {
    const term = state.log.termAt(sealIndex) ?? state.term;
    state.outbox.push({ type: "proposed", request, term, first: sealIndex, last: sealIndex });
  } else if (leader.transfer !== undefined) {
    state.outbox.reply(request, "dropped", undefined);
  } else {
    const index = appendAsLeader(state, leader, [{ kind: "seal" }]);
    state.outbox.push({ type: "proposed", request, term: state.term, first: index, last: index });
  }
}

/** Any message of the leader's own term shows that its sender is there, and what it echoes. */
function heard(leader: Leader, from: MemberId, barrier: number): Progress | undefined {
  const progress = leader.progress.get(from);
  if (progress === undefined) return undefined;
  progress.active = true;
  // No more than was asked: an echo of the future could confirm what is not asked yet.
  if (barrier > progress.barrier && barrier <= leader.reads.number) progress.barrier = barrier;
  return progress;
}

/** What there is to send, or else one empty message: it finds out whether anything was lost. */
function sendOne(state: RaftState, leader: Leader, to: MemberId, progress: Progress): void {
  const before = progress.next;
  const mayProbe = progress.state === "probe" && !progress.probing;
  sendEntries(state, leader, to, progress);
  if (progress.state === "snapshot" || progress.next !== before || (mayProbe && progress.probing)) return;
  sendEmptyAppend(state, leader, to, progress);
}

/** The leader may have stepped down in the same step. */
function continueTransferIfLeading(state: RaftState, leader: Leader, from: MemberId): void {
  if (state.role === leader) continueTransfer(state, leader, from);
}
