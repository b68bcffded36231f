/** What a group has in the write-ahead log: at first, and what is found there at start. */
import {
  emptyConfiguration,
  type Entry,
  foundingConfiguration,
  type LogIndex,
  logIndex,
  type LogStart,
  type MemberId,
  type RestoredState,
  term,
} from "@quipu/consensus";
import { invariant, QuipuError } from "@quipu/core";
import {
  decodeEntry,
  decodeGroupState,
  decodeJournalRecord,
  encodeGroupState,
  type GroupEngine,
} from "@quipu/protocol";
import type { GroupWrite } from "../../write-ahead-log/group-write.ts";
import type { WriteAheadLog } from "../../write-ahead-log/write-ahead-log.ts";
import { type Journal, JournalReplay } from "./journal.ts";

export interface RestoredGroup extends RestoredState {
  readonly engine: GroupEngine;
  /** Of Multi-Paxos: what the entries were found in. */
  readonly journal?: Journal;
}

/** How the log of a group begins that is founded above a state which its founders have already. */
export function foundingStart(founders: readonly MemberId[], after: LogIndex = logIndex(0)): LogStart {
  // What lies below was written under no leader; as if in the first term, and the first election is that of the second.
  return { index: after, term: term(after === 0 ? 0 : 1), configuration: foundingConfiguration(founders) };
}

/** How the log begins of a member that knows nobody, and asks whom it can reach to let it in. */
export const joiningStart: LogStart = { index: logIndex(0), term: term(0), configuration: emptyConfiguration };

/** What a new group has in the write-ahead log. */
export function initialWrite(engine: GroupEngine, start: LogStart): GroupWrite {
  const hardState = encodeGroupState({ engine, hardState: { term: start.term, vote: undefined }, start });
  return start.index === 0 ? { hardState } : { hardState, restartAt: start.index + 1 };
}

/** Rejects with LOG_CORRUPT where the bytes of the write-ahead log, which are sound, are not those of a group. */
export async function restoreGroup(wal: WriteAheadLog, group: number): Promise<RestoredGroup> {
  const bytes = wal.hardState(group);
  invariant(bytes !== undefined, `the write-ahead log has no group ${group}`);
  const state = decodeGroupState(bytes);
  if (state === undefined) throw corrupt(group, "its state does not decode");
  if (state.engine === "multi-paxos") {
    const journal = await readJournal(wal, group);
    const ascending = [...journal.entries.values()].sort((left, right) => left.index - right.index);
    return { ...state, journal, entries: ascending.filter(({ index }) => index > state.start.index) };
  }
  if (wal.firstIndex(group) !== state.start.index + 1) {
    throw corrupt(group, `it begins at ${wal.firstIndex(group)}, its state says after ${state.start.index}`);
  }
  const entries: Entry[] = [];
  await readRecords(wal, group, (index, record) => {
    const entry = decodeEntry(logIndex(index), record);
    if (entry !== undefined) entries.push(entry);
    return entry !== undefined;
  });
  return { ...state, entries };
}

async function readJournal(wal: WriteAheadLog, group: number): Promise<Journal> {
  const replay = new JournalReplay();
  await readRecords(wal, group, (_index, bytes) => {
    const record = decodeJournalRecord(bytes);
    if (record !== undefined) replay.take(record);
    return record !== undefined;
  });
  return replay.end(wal.firstIndex(group));
}

/** `take` returns false where the bytes do not decode. */
async function readRecords(
  wal: WriteAheadLog,
  group: number,
  take: (index: number, bytes: Uint8Array) => boolean,
): Promise<void> {
  let damaged: number | undefined;
  await wal.readAll(group, (first, records) => {
    records.forEach((record, i) => {
      if (!take(first + i, record)) damaged ??= first + i;
    });
  });
  if (damaged !== undefined) throw corrupt(group, `entry ${damaged} does not decode`);
}

export function corrupt(group: number, what: string): QuipuError {
  return new QuipuError("LOG_CORRUPT", `group ${group} of the write-ahead log: ${what}`);
}
