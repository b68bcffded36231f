/**
 * The leader's side of log replication (Raft §5.3): appends to its own log, sends to others as far as their progress
 * lets it, and counts what a quorum holds.
 */
import { invariant } from "@quipu/core";
import type { Entry, EntryContent } from "../contract.ts";
import { membersOf } from "../configuration.ts";
import { lower, moved } from "../entries.ts";
import type { LogIndex, MemberId } from "../quantities.ts";
import { quorumIndex } from "../quorum.ts";
import { Progress } from "./progress.ts";
import type { Leader } from "./role.ts";
import type { RaftState } from "./state.ts";

/** Puts contents behind the leader's log. Its own disk write runs beside the sending (thesis §10.2.1). */
export function appendAsLeader(state: RaftState, leader: Leader, contents: readonly EntryContent[]): LogIndex {
  const first = moved(state.log.last, 1);
  const term = state.term;
  const entries: Entry[] = contents.map((content, at) => ({ index: moved(first, at), term, ...content }));
  appendEntries(state, leader, entries);
  return first;
}

/** The same for records, on the hot path. */
export function appendRecords(state: RaftState, leader: Leader, records: readonly Uint8Array[]): LogIndex {
  const first = moved(state.log.last, 1);
  const term = state.term;
  const entries: Entry[] = [];
  for (const data of records) entries.push({ index: moved(first, entries.length), term, kind: "record", data });
  appendEntries(state, leader, entries);
  return first;
}

function appendEntries(state: RaftState, leader: Leader, entries: readonly Entry[]): void {
  state.log.append(entries);
  state.outbox.persistAppend(entries);
  sendToAll(state, leader);
}

export function sendToAll(state: RaftState, leader: Leader): void {
  for (const [member, progress] of leader.progress) sendEntries(state, leader, member, progress);
}

/** Keeps one progress for every other member of the configuration in force; entries from `next` on go to new ones. */
export function trackMembers(state: RaftState, leader: Leader, next: LogIndex): void {
  const members = membersOf(state.log.configuration).filter((member) => member !== state.member);
  for (const known of [...leader.progress.keys()]) if (!members.includes(known)) leader.progress.delete(known);
  for (const member of members) {
    // A new one counts as heard from until the next check: it had no time to answer yet.
    if (!leader.progress.has(member)) leader.progress.set(member, new Progress(next, true));
  }
}

/** Sends what is not sent yet, as far as the window reaches. */
export function sendEntries(state: RaftState, leader: Leader, to: MemberId, progress: Progress): void {
  const { inflightMessagesMax, inflightBytesMax } = state.settings;
  while (progress.next <= state.log.last && progress.mayAppend(inflightMessagesMax, inflightBytesMax)) {
    sendAppend(state, leader, to, progress, state.settings.messageEntriesMax);
  }
}

/** One message without entries: asks whether the logs meet at its end, and carries the commit position. */
export function sendEmptyAppend(state: RaftState, leader: Leader, to: MemberId, progress: Progress): void {
  sendAppend(state, leader, to, progress, 0);
}

function sendAppend(state: RaftState, leader: Leader, to: MemberId, progress: Progress, entriesMax: number): void {
  const previousIndex = moved(progress.next, -1);
  const previousTerm = state.log.termAt(previousIndex);
  if (previousTerm === undefined) {
    invariant(previousIndex < state.log.start.index, `next ${progress.next} of ${to} is beyond ${state.log.last}`);
    progress.needsSnapshot();
    sendSnapshotNeeded(state, leader, to, progress);
    return;
  }
  const { entries, bytes } = state.log.slice(progress.next, entriesMax, state.settings.messageBytesMax);
  const commit = state.log.committed;
  state.send(to, {
    type: "appendEntries",
    term: state.term,
    previousIndex,
    previousTerm,
    entries,
    commit,
    barrier: leader.reads.number,
  });
  progress.sent(entries.length, bytes);
  progress.commitSent = commit;
}

/** At the pace of time: also the word to one that needs a snapshot, and a look whether anything was lost. */
export function broadcastHeartbeat(state: RaftState, leader: Leader): void {
  for (const [member, progress] of leader.progress) {
    progress.looksForLoss = true;
    if (progress.state === "snapshot") sendSnapshotNeeded(state, leader, member, progress);
    else sendHeartbeat(state, leader, member, progress);
  }
}

/** At the pace of reads: asks who still follows, no more. */
export function broadcastBarrier(state: RaftState, leader: Leader): void {
  for (const [member, progress] of leader.progress) sendHeartbeat(state, leader, member, progress);
}

function sendHeartbeat(state: RaftState, leader: Leader, to: MemberId, progress: Progress): void {
  // Not above its match: what else it holds at that index may be another leader's (§5.3).
  const known = state.mutation === "commit-beyond-match" ? state.log.last : progress.match;
  const commit = lower(state.log.committed, known);
  state.send(to, { type: "heartbeat", term: state.term, commit, barrier: leader.reads.number });
}

export function sendSnapshotNeeded(state: RaftState, leader: Leader, to: MemberId, progress: Progress): void {
  state.send(to, {
    type: "snapshotNeeded",
    term: state.term,
    atLeast: state.log.start.index,
    commit: lower(state.log.committed, progress.match),
    barrier: leader.reads.number,
  });
}

/**
 * Tells the new commit position at once to everybody whose log may reach that far: a member that waits for its own
 * record must not wait for the next heartbeat.
 */
export function announceCommit(state: RaftState, leader: Leader): void {
  for (const [member, progress] of leader.progress) {
    if (progress.state !== "replicate") continue;
    sendEntries(state, leader, member, progress);
    if (progress.commitSent < state.log.committed) sendEmptyAppend(state, leader, member, progress);
  }
}

/** Commits what a quorum holds durably; true if that moved. */
export function countCommitted(state: RaftState, leader: Leader): boolean {
  const early = state.mutation === "leader-counts-itself-early";
  const own = early ? state.log.last : state.durability.persisted;
  const index = quorumIndex(state.quorum, (member) =>
    member === state.member ? own : (leader.progress.get(member)?.match ?? 0),
  ) as LogIndex;
  if (index <= state.log.committed) return false;
  // Only entries of our own term commit by counting (Raft §5.4.2, figure 8); those before them go along.
  const countsAny = state.mutation === "commit-old-term-by-counting";
  if (state.log.termAt(index) !== state.term && !countsAny) return false;
  state.commitTo(index);
  return true;
}
