/**
 * How the log of a group lies in the write-ahead log: what several persists of its core come to when they are written
 * together. Raft's lies there as it is, index by index.
 */
import type { Entry, HardState, LogStart } from "@quipu/consensus";
import { encodeEntry, encodeGroupState, type GroupState } from "@quipu/protocol";
import type { GroupWrite } from "../../write-ahead-log/group-write.ts";
import type { PersistContent } from "./group-host.ts";

/** One write at a time is planned, and then it is done, or nothing of it is. */
export interface PlannedWrite {
  readonly write: GroupWrite;
  /** It is durable. */
  done(): void;
}

export interface LogLayout {
  /** Where the log begins, by what is durable. */
  readonly start: LogStart;
  /** A persist that is too large for one write may be written in several, in order: nobody hears of it in between. */
  readonly maySplit: boolean;
  /** Undefined: nothing of it goes to the disk. */
  plan(persists: readonly PersistContent[]): PlannedWrite | undefined;
  /** A trim that goes ahead of persists that wait: it makes room. Undefined: it makes none. */
  planTrim(trim: LogStart): PlannedWrite | undefined;
  /** All of the log once more, so that it stands in the newest segment. */
  planRewrite(entries: readonly Entry[]): PlannedWrite;
}

/** The group's state behind these persists; the same object if none changes it. */
export function stateAfter(
  before: GroupState,
  persists: readonly PersistContent[],
  keepsHardState: boolean,
): GroupState {
  let { hardState, start }: { hardState: HardState; start: LogStart } = before;
  for (const persist of persists) {
    if (keepsHardState) hardState = persist.hardState ?? hardState;
    start = persist.restart ?? start;
    // A later trim may have gone ahead.
    if (persist.trim !== undefined && persist.trim.index > start.index) start = persist.trim;
  }
  const isSame = hardState === before.hardState && start === before.start;
  return isSame ? before : { engine: before.engine, hardState, start };
}

/** Entry i of the log is record i of the group. */
export class DenseLayout implements LogLayout {
  readonly maySplit = false;
  readonly #keepsHardState: boolean;
  #state: GroupState;

  constructor({ engine, hardState, start }: GroupState, keepsHardState: boolean) {
    this.#state = { engine, hardState, start };
    this.#keepsHardState = keepsHardState;
  }

  get start(): LogStart {
    return this.#state.start;
  }

  plan(persists: readonly PersistContent[]): PlannedWrite | undefined {
    const after = stateAfter(this.#state, persists, this.#keepsHardState);
    const hasChanged = after !== this.#state;
    const write = { ...mergedWrite(persists), ...(hasChanged && { hardState: encodeGroupState(after) }) };
    return Object.keys(write).length === 0 ? undefined : this.#planned(write, after);
  }

  planTrim(trim: LogStart): PlannedWrite | undefined {
    if (trim.index <= this.start.index) return undefined;
    const after = { ...this.#state, start: trim };
    return this.#planned({ hardState: encodeGroupState(after), trimUpTo: trim.index }, after);
  }

  planRewrite(entries: readonly Entry[]): PlannedWrite {
    const write = {
      hardState: encodeGroupState(this.#state),
      restartAt: this.start.index + 1,
      ...(entries.length > 0 && { records: entries.map(encodeEntry) }),
    };
    return this.#planned(write, this.#state);
  }

  #planned(write: GroupWrite, after: GroupState): PlannedWrite {
    return {
      write,
      done: () => {
        this.#state = after;
      },
    };
  }
}

/** Without the hard state. */
function mergedWrite(persists: readonly PersistContent[]): GroupWrite {
  let restartAt: number | undefined;
  let trimUpTo: number | undefined;
  let truncateFrom: number | undefined;
  let entries: Entry[] = [];
  for (const persist of persists) {
    if (persist.restart !== undefined) {
      restartAt = persist.restart.index + 1;
      trimUpTo = undefined;
      truncateFrom = undefined;
      entries = [];
    }
    if (persist.trim !== undefined) trimUpTo = persist.trim.index;
    if (persist.truncateFrom !== undefined) {
      const first = entries[0]?.index ?? Number.POSITIVE_INFINITY;
      if (persist.truncateFrom < first) truncateFrom = Math.min(truncateFrom ?? first, persist.truncateFrom);
      entries.length = Math.max(0, Math.min(entries.length, persist.truncateFrom - first));
    }
    for (const entry of persist.append) entries.push(entry);
  }
  return {
    ...(restartAt !== undefined && { restartAt }),
    ...(trimUpTo !== undefined && { trimUpTo }),
    ...(truncateFrom !== undefined && { truncateFrom }),
    ...(entries.length > 0 && { records: entries.map(encodeEntry) }),
  };
}
