/**
 * Phase 2: the leader proposes one value after another without asking, counts who has accepted each slot, and tells
 * what is chosen. Slots may be chosen in any order; what counts is the prefix without a gap.
 */
import type { Entry, RequestId } from "../contract.ts";
import { entryOverheadBytes, moved } from "../entries.ts";
import type { LogIndex, MemberId } from "../quantities.ts";
import { ReadQueue } from "../read-queue.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import type { Accepted, PaxosHeartbeatReply } from "./messages.ts";
import { Progress } from "./progress.ts";
import { askBarrier, confirmBarriers } from "./reads.ts";
import { announceChosen, broadcastHeartbeat, sendAccepts, sendToAll } from "./replication.ts";
import type { Answer, Leader } from "./role.ts";
import type { PaxosState } from "./state.ts";
import { continueTransfer, tickTransfer } from "./transfer.ts";

/** Phase 1 is done; `recoveredUpTo` is the last slot of which it found something. */
export function becomeLeader(state: PaxosState, answers: ReadonlyMap<MemberId, Answer>, recoveredUpTo: LogIndex): void {
  const { log } = state;
  const leader: Leader = {
    role: "leader",
    progress: new Map(),
    reads: new ReadQueue(),
    acknowledgements: new Acknowledgements(moved(log.committed, 1), state.quorums.phase2),
    recoveredUpTo,
    heartbeatNumber: 0,
    heartbeatElapsedTicks: 0,
    transfer: undefined,
  };
  leader.acknowledgements.extendTo(log.last);
  state.role = leader;
  for (const member of state.others) {
    const answer = answers.get(member);
    const progress = new Progress(moved(log.last, 1), state.bitOf(member));
    leader.progress.set(member, progress);
    if (answer?.isComplete === true && answer.chosen <= log.last) progress.replicateFrom(moved(answer.chosen, 1));
  }
  broadcastHeartbeat(state, leader);
  sendToAll(state, leader);
}

export function tickLeader(state: PaxosState, leader: Leader): void {
  tickTransfer(state, leader);
  leader.heartbeatElapsedTicks += 1;
  if (leader.heartbeatElapsedTicks < state.settings.heartbeatTicks) return;
  leader.heartbeatElapsedTicks = 0;
  broadcastHeartbeat(state, leader);
}

/** Its own disk answered: `before` is up to where it was durable until now. */
export function countOwn(state: PaxosState, leader: Leader, before: LogIndex): void {
  const { log } = state;
  leader.acknowledgements.add(state.bitOf(state.member), moved(before, 1), log.persisted);
  afterAcknowledged(state, leader);
}

function afterAcknowledged(state: PaxosState, leader: Leader): void {
  const { log } = state;
  const prefix = leader.acknowledgements.chosenPrefix(log.committed);
  if (prefix <= log.committed || log.sealedAt !== undefined) return;
  state.commitTo(prefix);
  announceChosen(state, leader);
  if (leader.reads.asks) confirmBarriers(state, leader);
  else askBarrier(state, leader);
}

export function onAccepted(state: PaxosState, leader: Leader, from: MemberId, message: Accepted): void {
  const progress = heard(leader, from, message.barrier);
  const { first, last, match } = message;
  if (progress === undefined || last > state.log.last || match > state.log.last || first > last + 1) {
    state.drop();
    return;
  }
  if (last > match) leader.acknowledgements.add(progress.bit, first, last);
  matched(leader, progress, match);
  sendAccepts(state, leader, from, progress);
  confirmBarriers(state, leader);
  afterAcknowledged(state, leader);
  continueTransfer(state, leader, from);
}

function matched(leader: Leader, progress: Progress, match: LogIndex): void {
  if (match > progress.match) leader.acknowledgements.add(progress.bit, moved(progress.match, 1), match);
  progress.accepted(match);
}

export function onHeartbeatReply(
  state: PaxosState,
  leader: Leader,
  from: MemberId,
  message: PaxosHeartbeatReply,
): void {
  const progress = heard(leader, from, message.barrier);
  const { match, received, number } = message;
  if (progress === undefined || received > state.log.last || match > received) {
    state.drop();
    return;
  }
  matched(leader, progress, match);
  progress.arrived(received);
  const isBack = progress.state === "probe";
  const hasSnapshot = progress.state === "snapshot" && received >= state.log.start.index;
  // What had left before the heartbeat and is not there with its answer was lost, or is late: it comes again.
  // Answers to later heartbeats tell it, too: their way may take longer than a heartbeat's interval.
  const isChecked = progress.checkNumber >= 0 && number >= progress.checkNumber;
  const lacks = isChecked && received < progress.checkSent && progress.state === "replicate";
  if (isChecked) progress.checkNumber = -1;
  if (isBack || hasSnapshot || lacks) progress.replicateFrom(moved(received, 1));
  sendAccepts(state, leader, from, progress);
  confirmBarriers(state, leader);
  afterAcknowledged(state, leader);
  continueTransfer(state, leader, from);
}

/** Any answer in the leader's own ballot shows that its sender is there, and what it echoes. */
function heard(leader: Leader, from: MemberId, barrier: number): Progress | undefined {
  const progress = leader.progress.get(from);
  if (progress === undefined) return undefined;
  progress.active = true;
  // No more than was asked: an echo of the future could confirm what is not asked yet.
  if (barrier > progress.barrier && barrier <= leader.reads.number) progress.barrier = barrier;
  return progress;
}

export function propose(state: PaxosState, leader: Leader, request: RequestId, records: readonly Uint8Array[]): void {
  if (refuseBehindSeal(state, request)) return;
  if (leader.transfer !== undefined) {
    state.outbox.reply(request, "dropped", undefined);
    return;
  }
  if (isFull(state, records)) {
    state.refuse(request, "overloaded");
    return;
  }
  const first = moved(state.log.last, 1);
  const term = state.promised;
  const entries: Entry[] = [];
  for (const data of records) entries.push({ index: moved(first, entries.length), term, kind: "record", data });
  append(state, leader, entries);
  state.outbox.push({ type: "proposed", request, term, first, last: state.log.last });
}

function isFull(state: PaxosState, records: readonly Uint8Array[]): boolean {
  const { log, settings } = state;
  let bytes = 0;
  for (const data of records) bytes += data.length + entryOverheadBytes;
  if (log.retainedBytes > 0 && log.retainedBytes + bytes > settings.retainedBytesMax) return true;
  const slots = log.last - log.committed;
  if (slots === 0) return false;
  return slots + records.length > settings.windowSlotsMax || log.windowBytes + bytes > settings.windowBytesMax;
}

function append(state: PaxosState, leader: Leader, entries: readonly Entry[]): void {
  state.write(entries);
  leader.acknowledgements.extendTo(state.log.last);
  if (state.mutation === "leader-counts-itself-early") {
    leader.acknowledgements.add(state.bitOf(state.member), moved(state.log.committed, 1), state.log.last);
  }
  sendToAll(state, leader);
}

/**
 * Behind a seal nothing is taken. While the seal is not chosen the answer is `dropped`: "sealed" would send the caller
 * to a successor that may never come, but that nothing was proposed is certain.
 */
function refuseBehindSeal(state: PaxosState, request: RequestId): boolean {
  if (state.log.sealIndex === undefined || state.mutation === "proposes-behind-seal") return false;
  state.outbox.reply(request, state.log.sealedAt === undefined ? "dropped" : "sealed", undefined);
  return true;
}

/** Takes no limit into account: a log that is full must still be able to end. */
export function seal(state: PaxosState, leader: Leader, request: RequestId): void {
  const { sealIndex } = state.log;
  const term = state.promised;
  if (state.log.sealedAt !== undefined) {
    state.refuse(request, "sealed");
  } else if (sealIndex !== undefined) {
    state.outbox.push({ type: "proposed", request, term, first: sealIndex, last: sealIndex });
  } else if (leader.transfer !== undefined) {
    state.outbox.reply(request, "dropped", undefined);
  } else {
    const index = moved(state.log.last, 1);
    append(state, leader, [{ index, term, kind: "seal" }]);
    state.outbox.push({ type: "proposed", request, term, first: index, last: index });
  }
}

/** Something sent to it was surely lost: it gets what it lacks when it answers again. */
export function onPeerUnreachable(leader: Leader, member: MemberId): void {
  const progress = leader.progress.get(member);
  if (progress?.state === "replicate") progress.probe();
}
