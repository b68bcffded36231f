/**
 * What a candidate makes of the answers of a quorum: for each slot it proposes the value that was accepted in the highest
 * ballot, and where nobody reported any, below a slot that was, a no-op (P2c).
 */
import type { Entry, EntryContent } from "../contract.ts";
import { higher, moved } from "../entries.ts";
import type { LogIndex } from "../quantities.ts";
import type { AcceptedBallot } from "./messages.ts";
import type { Candidate } from "./role.ts";
import type { PaxosState } from "./state.ts";

/** Learns what others know to be chosen, proposes all above it again. Up to where it did; from there on it is free. */
export function recover(state: PaxosState, role: Candidate): LogIndex {
  const { log } = state;
  const { chosen, values, last: reportedLast } = gather(state, role);
  learnChosen(state, chosen, values);
  // Behind a chosen seal all is void, and nothing will be proposed.
  const last = log.sealedAt ?? reportedLast;
  const ballot = state.promised;
  state.acceptIn(ballot, moved(last, 1));
  const entries: Entry[] = [];
  for (let index = moved(log.committed, 1); index <= last; index = moved(index, 1)) {
    const content = contentFor(state, values.get(index));
    if (content !== undefined) entries.push({ index, term: ballot, ...content });
  }
  if (entries.length > 0) state.write(entries);
  return last;
}

interface Recovered {
  /** Every slot up to this is chosen. */
  readonly chosen: LogIndex;
  /** By slot, from the own chosen prefix on up to `last`: the highest ballot's, own ones among them. */
  readonly values: ReadonlyMap<LogIndex, Entry>;
  readonly last: LogIndex;
}

function gather(state: PaxosState, role: Candidate): Recovered {
  const { log } = state;
  const ignoresOthers = state.mutation === "own-value-although-one-was-reported";
  const values = new Map<LogIndex, Entry>();
  let chosen = log.committed;
  let accepted: AcceptedBallot = state.accepted;
  for (const answer of role.answers.values()) {
    // Half an answer is none: the other half could be what hides something of a lower ballot.
    if (!answer.isComplete || ignoresOthers) continue;
    for (const entry of answer.entries) report(state, values, entry);
    chosen = higher(chosen, answer.chosen);
    if (answer.accepted.ballot > accepted.ballot) accepted = answer.accepted;
  }
  for (let index = moved(log.committed, 1); index <= log.last; index = moved(index, 1)) {
    const own = log.entry(index);
    if (own !== undefined) report(state, values, own);
  }
  let last = chosen;
  const keepsStale = state.mutation === "stale-higher-slots-kept";
  for (const [index, { term }] of values) {
    // The order rule: the leader of the highest ballot found nothing there, so nothing below it can have been chosen.
    if (index > chosen && index >= accepted.freeFrom && term < accepted.ballot && !keepsStale) values.delete(index);
    else last = higher(last, index);
  }
  return { chosen, values, last };
}

/** P2c: of each slot the value of the highest ballot in which one was accepted. */
function report(state: PaxosState, values: Map<LogIndex, Entry>, entry: Entry): void {
  if (entry.index <= state.log.committed) return;
  const before = values.get(entry.index);
  const isHigher = before === undefined || entry.term > before.term;
  const wins = state.mutation === "reported-lower-ballot-wins" ? before === undefined || !isHigher : isHigher;
  if (wins) values.set(entry.index, entry);
}

/** What the leader of a new ballot proposes in a slot. */
function contentFor(state: PaxosState, reported: Entry | undefined): EntryContent | undefined {
  if (reported === undefined) return state.mutation === "no-noop-fill" ? undefined : { kind: "noop" };
  if (reported.kind === "seal" && state.mutation === "seal-forgotten-in-phase-1") return { kind: "noop" };
  return reported.kind === "record" ? { kind: "record", data: reported.data } : { kind: reported.kind as "seal" };
}

function learnChosen(state: PaxosState, chosen: LogIndex, values: ReadonlyMap<LogIndex, Entry>): void {
  const { log } = state;
  const learned: Entry[] = [];
  for (let index = moved(log.committed, 1); index <= chosen; index = moved(index, 1)) {
    const value = values.get(index);
    const own = log.entry(index);
    if (value !== undefined && (own === undefined || own.term < value.term)) learned.push(value);
  }
  if (learned.length > 0) state.write(learned);
  let known = log.committed;
  while (known < chosen && log.entry(moved(known, 1)) !== undefined) known = moved(known, 1);
  state.commitTo(known);
}
