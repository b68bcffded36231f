/**
 * The acceptor's side: promises (phase 1b), accepts (phase 2b), and learns what is chosen. Slots are accepted in
 * whatever order they come; only what a leader has recovered is accepted as a whole. Whatever a member promises or accepts is durable before anybody hears of it.
 */
import type { Entry, LogStart } from "../contract.ts";
import { entryBytes, higher, moved } from "../entries.ts";
import type { LogIndex, MemberId, Term } from "../quantities.ts";
import type { Accept, Chosen, PaxosHeartbeat, PaxosSnapshotNeeded, Prepare, Promised } from "./messages.ts";
import { onInstalled } from "./proposer.ts";
import type { PaxosState } from "./state.ts";

/** P1a: promises the ballot, unless it has promised a higher one, and tells what it has accepted from `from` on. */
export function onPrepare(state: PaxosState, from: MemberId, message: Prepare): void {
  const { ballot } = message;
  if (!state.owns(from, ballot) || message.from < 1) {
    state.drop();
    return;
  }
  if (ballot < state.promised) {
    state.answer(from, { type: "rejected", ballot, promised: state.promised });
    return;
  }
  if (ballot > state.promised) {
    state.promise(ballot);
    state.becomeFollower(undefined);
  }
  const reply = tell(state, message);
  // A promise that a crash undoes is none: the ballots below it could still be accepted.
  if (state.mutation === "promise-not-durable") state.send(from, reply);
  else state.answer(from, reply);
}

function tell(state: PaxosState, { ballot, from }: Prepare): Promised {
  const { log, accepted } = state;
  const answer = { type: "promised", ballot, from, last: log.last, chosen: log.committed, accepted } as const;
  const saysEmpty = state.mutation === "trimmed-acceptor-says-empty";
  // Never an empty suffix: to be without a report is to be free.
  if (from <= log.start.index && !saysEmpty) {
    return { ...answer, through: moved(from, -1), start: log.start.index, entries: [] };
  }
  const { messageEntriesMax, messageBytesMax } = state.settings;
  const entries: Entry[] = [];
  let bytes = 0;
  let index = from;
  for (; index <= log.last && entries.length < messageEntriesMax; index = moved(index, 1)) {
    const entry = log.entry(index);
    if (entry === undefined) continue;
    bytes += entryBytes(entry);
    if (entries.length > 0 && bytes > messageBytesMax) break;
    entries.push(entry);
  }
  return { ...answer, through: moved(index, -1), start: saysEmpty ? moved(from, -1) : log.start.index, entries };
}

/**
 * Something of the leader of `ballot` came: whether it is to be believed. A leader has finished its phase 1, so its
 * word that it was free from `freeFrom` on is the word of a quorum.
 */
function hear(state: PaxosState, from: MemberId, ballot: Term, freeFrom: LogIndex): boolean {
  const { role } = state;
  const known = state.pending ?? state.accepted;
  const contradicts = ballot === known.ballot && freeFrom !== known.freeFrom;
  if (!state.owns(from, ballot) || freeFrom < 1 || (contradicts && state.mutation === undefined)) {
    state.drop();
    return false;
  }
  if (ballot < state.promised) {
    if (state.mutation === "accepts-below-promise") return true;
    // It has been deposed, or its rival has come to nothing since: either way it must know.
    state.answer(from, { type: "rejected", ballot, promised: state.promised });
    return false;
  }
  if (ballot > state.promised) state.promise(ballot);
  if (ballot > (state.pending ?? state.accepted).ballot) state.follow(ballot, freeFrom);
  if (role.role === "follower" && role.leader === from) role.silentTicks = 0;
  else state.becomeFollower(from);
  return true;
}

/** P1a: accepts, unless it has promised a higher ballot. */
export function onAccept(state: PaxosState, from: MemberId, message: Accept): void {
  if (!isWellFormed(state, message)) {
    state.drop();
    return;
  }
  if (!hear(state, from, message.ballot, message.freeFrom)) return;
  const { log } = state;
  state.hearChosen(message.chosen);
  const last = (message.entries.at(-1) as Entry).index;
  const { windowSlotsMax, messageEntriesMax, retainedBytesMax } = state.settings;
  // Nobody proposes so far ahead of what is chosen or recovered; and one that cannot trim must not hold ever more.
  const end = higher(log.committed, moved(message.freeFrom, -1)) + 2 * windowSlotsMax + messageEntriesMax;
  const bytes = Math.max(log.retainedBytes, state.pending?.bytes ?? 0);
  if (last > end || bytes >= 2 * retainedBytesMax) {
    state.advance();
    state.drop();
    return;
  }
  learn(state, message);
  take(state, message);
  state.adopt();
  state.advance();
  answerAccept(state, from, message);
}

/** What is chosen but of an earlier ballot: in order, so that what is learned is the chosen prefix. */
function learn(state: PaxosState, message: Accept): void {
  const { log } = state;
  const fresh: Entry[] = [];
  let chosen = log.committed;
  for (const entry of message.entries) {
    if (entry.term >= message.ballot || entry.index > chosen + 1) break;
    if (entry.index <= chosen) continue;
    const own = log.entry(entry.index);
    // P2b: whatever was accepted in a ballot no lower than the chosen one's has its value.
    if (own === undefined || own.term < entry.term) fresh.push(entry);
    chosen = entry.index;
  }
  if (fresh.length > 0) state.write(fresh);
  state.commitTo(chosen);
}

/** What is proposed in this ballot, and is neither chosen here nor accepted already. */
function take(state: PaxosState, message: Accept): void {
  const { log } = state;
  const first = message.entries[0] as Entry;
  // The hot path: all of it is of this ballot, and goes behind the last slot.
  if (state.pending === undefined && first.index > log.last && first.term === message.ballot) {
    state.write(message.entries);
    return;
  }
  const fresh: Entry[] = [];
  for (const entry of message.entries) {
    if (entry.index <= log.committed || entry.term < message.ballot) continue;
    if (state.pending !== undefined) state.hold(entry);
    else if ((log.entry(entry.index)?.term ?? 0) < entry.term) fresh.push(entry);
  }
  if (fresh.length > 0) state.write(fresh);
}

function answerAccept(state: PaxosState, from: MemberId, message: Accept): void {
  const { log, held } = state;
  const { ballot, barrier } = message;
  const first = (message.entries[0] as Entry).index;
  const end = (message.entries.at(-1) as Entry).index;
  let last = end;
  if (end > held) {
    // Beyond a hole: that far it has come, if the ballot is accepted in.
    last = moved(first, -1);
    const isAccepted = (index: LogIndex): boolean =>
      index <= held || (state.pending === undefined && log.entry(index)?.term === ballot);
    while (last < end && isAccepted(moved(last, 1))) last = moved(last, 1);
  }
  if (state.writes) {
    const accepted = { type: "accepted", ballot, first, last, match: held, barrier } as const;
    if (state.mutation === "accept-not-durable") state.send(from, accepted);
    else state.outbox.sendAfter(from, accepted);
  } else if (state.pending !== undefined) {
    // There, but not accepted yet: the leader should send on.
    answerHeartbeat(state, from, { ballot, number: 0, barrier });
  } else if (areDurable(state, first, last)) {
    state.answer(from, { type: "accepted", ballot, first, last, match: state.match, barrier });
  }
  // Else it is on its way to the disk, and its own answer waits there.
}

function areDurable(state: PaxosState, first: LogIndex, last: LogIndex): boolean {
  for (let index = last; index >= first && index > state.match; index = moved(index, -1)) {
    if (!state.log.isDurable(index)) return false;
  }
  return true;
}

/** Remote input is believed only as far as it makes sense. */
function isWellFormed(state: PaxosState, message: Accept): boolean {
  let expected = message.entries[0]?.index ?? 0;
  if (expected < 1) return false;
  let before: number = 1;
  for (const { index, term, kind } of message.entries) {
    const isProposed = term === message.ballot || (state.mutation === "ballot-without-node" && term >= message.ballot);
    // What is learned comes before what is proposed.
    const isLearned = term >= 1 && term < message.ballot && index <= message.chosen && before < message.ballot;
    before = term;
    if (index !== expected || kind === "configuration" || !(isProposed || isLearned)) return false;
    expected = moved(expected as LogIndex, 1);
  }
  return true;
}

export function onChosen(state: PaxosState, from: MemberId, message: Chosen): void {
  if (!hear(state, from, message.ballot, message.freeFrom)) return;
  state.hearChosen(message.chosen);
  state.adopt();
  state.advance();
}

export function onHeartbeat(state: PaxosState, from: MemberId, message: PaxosHeartbeat): void {
  if (!hear(state, from, message.ballot, message.freeFrom)) return;
  state.hearChosen(message.chosen);
  state.adopt();
  state.advance();
  answerHeartbeat(state, from, message);
}

/** The leader has trimmed what this member needs: the state has to come from above the log. */
export function onSnapshotNeeded(state: PaxosState, from: MemberId, message: PaxosSnapshotNeeded): void {
  if (!hear(state, from, message.ballot, message.freeFrom)) return;
  state.hearChosen(message.chosen);
  state.adopt();
  state.advance();
  const { atLeast } = message;
  if (atLeast > state.log.committed) state.outbox.push({ type: "needSnapshot", from, atLeast });
  answerHeartbeat(state, from, message);
}

function answerHeartbeat(
  state: PaxosState,
  from: MemberId,
  message: Pick<PaxosHeartbeat, "ballot" | "number" | "barrier">,
): void {
  const { ballot, number, barrier } = message;
  const { match, received } = state;
  state.answer(from, { type: "paxosHeartbeatReply", ballot, number, barrier, match, received });
}

/** A snapshot of exactly `start.index` is durable on this member. */
export function installed(state: PaxosState, start: LogStart): void {
  const isNewcomer = state.voters.length === 0;
  if (isNewcomer) state.join(start);
  if (start.index <= state.log.committed) return;
  // A leader that lacks something chosen is one of the past.
  if (state.role.role === "leader") state.becomeFollower(undefined);
  state.restart(start);
  onInstalled(state);
  const { leader, accepted } = state;
  if (leader === undefined || leader === state.member) return;
  // Tells how far it is without waiting for the leader to ask; an echo of no barrier, an answer to no heartbeat.
  const { match, received } = state;
  state.answer(leader, {
    type: "paxosHeartbeatReply",
    ballot: accepted.ballot,
    number: 0,
    barrier: 0,
    match,
    received,
  });
}
