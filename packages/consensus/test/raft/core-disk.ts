/** What a persist does to a disk, and what may be said of a disk: written down once more, apart from the core. */
import type { Effect, Entry, MemberId, RaftMessage, RestoredState } from "@quipu/consensus";

export type Persist = Extract<Effect<RaftMessage>, { type: "persist" }>;

/** The disk after `persist`. */
export function written(member: MemberId, durable: RestoredState, persist: Persist): RestoredState {
  let { hardState, start, entries } = durable;
  if (persist.hardState !== undefined) {
    assert(persist.hardState.term >= hardState.term, `durable term of ${member} went back`);
    hardState = persist.hardState;
  }
  if (persist.restart !== undefined) [start, entries] = [persist.restart, []];
  if (persist.trim !== undefined) {
    entries = entries.slice(persist.trim.index - start.index);
    start = persist.trim;
  }
  if (persist.truncateFrom !== undefined) entries = entries.slice(0, persist.truncateFrom - start.index - 1);
  entries = [...entries, ...persist.append];
  entries.forEach((entry, at) => {
    assert(entry.index === start.index + 1 + at, `hole in the log of ${member}: ${entry.index}`);
    assert(entry.term <= hardState.term, `entry ${entry.index} of ${member} is durable before its term`);
  });
  return { hardState, start, entries };
}

export function holds(durable: RestoredState, entry: Entry): boolean {
  if (durable.start.index >= entry.index) return true;
  return durable.entries[entry.index - durable.start.index - 1]?.term === entry.term;
}

/** What is said of the disk is so when it is said. */
export function checkTrue(member: MemberId, durable: RestoredState, message: RaftMessage): void {
  const { hardState, start, entries } = durable;
  if (message.type === "appendAccepted") {
    assert(message.match <= start.index + entries.length, `${member} acknowledges ${message.match} too early`);
  }
  const votes = message.type === "requestVote" || (message.type === "voteReply" && message.granted);
  if (!votes || message.preVote) return;
  const kept = hardState.term === message.term && hardState.vote !== undefined;
  assert(hardState.term > message.term || kept, `${member} votes in ${message.term}, but its disk forgets it`);
}

export function sameContent(a: Entry, b: Entry): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

export class SafetyViolation extends Error {}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new SafetyViolation(message);
}
