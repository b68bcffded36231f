/** What a group of the raft engine is at first, and what it finds on its disk at start. */
import {
  emptyConfiguration,
  type Entry,
  foundingConfiguration,
  logIndex,
  type LogStart,
  type MemberId,
  type RestoredState,
  term,
} from "@quipu/consensus";
import { invariant, QuipuError } from "@quipu/core";
import { decodeEntry, decodeGroupState, encodeGroupState } from "@quipu/protocol";
import type { WriteAheadLog } from "../../write-ahead-log/write-ahead-log.ts";

/** How the first group of a node comes to know its members. */
export type Bootstrap =
  /** Every founder is told the same. */
  | { readonly type: "found"; readonly founders: readonly MemberId[] }
  /** In a cell that is there: this member knows nobody, and asks whom it can reach to let it in. */
  | { readonly type: "join" };

/** The bytes that a new group has in the write-ahead log. */
export function initialState(bootstrap: Bootstrap): Uint8Array {
  const configuration = bootstrap.type === "found" ? foundingConfiguration(bootstrap.founders) : emptyConfiguration;
  const start: LogStart = { index: logIndex(0), term: term(0), configuration };
  return encodeGroupState({ hardState: { term: term(0), vote: undefined }, start });
}

/** Rejects with LOG_CORRUPT where the bytes of the write-ahead log, which are sound, are not of this engine. */
export async function restoreGroup(wal: WriteAheadLog, group: number): Promise<RestoredState> {
  const bytes = wal.hardState(group);
  invariant(bytes !== undefined, `the write-ahead log has no group ${group}`);
  const state = decodeGroupState(bytes);
  if (state === undefined) throw corrupt(group, "its state does not decode");
  if (wal.firstIndex(group) !== state.start.index + 1) {
    throw corrupt(group, `it begins at ${wal.firstIndex(group)}, its state says after ${state.start.index}`);
  }
  const entries: Entry[] = [];
  let damaged: number | undefined;
  await wal.readAll(group, (first, records) => {
    records.forEach((record, i) => {
      const entry = decodeEntry(logIndex(first + i), record);
      if (entry === undefined) damaged ??= first + i;
      else entries.push(entry);
    });
  });
  if (damaged !== undefined) throw corrupt(group, `entry ${damaged} does not decode`);
  return { hardState: state.hardState, start: state.start, entries };
}

function corrupt(group: number, what: string): QuipuError {
  return new QuipuError("LOG_CORRUPT", `group ${group} of the write-ahead log: ${what}`);
}
