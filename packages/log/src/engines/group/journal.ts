/**
 * The log of a Multi-Paxos group in the write-ahead log is a journal. Slots are accepted in any order, with holes, and
 * again in a higher ballot, while the write-ahead log has records next to each other: so a record says its slot, and the
 * last one about a slot holds. The journal begins later when its first records say nothing any more: their slots are
 * trimmed, or stand further back in it once more.
 */
import type { Entry, LogIndex, LogStart } from "@quipu/consensus";
import {
  encodeGroupState,
  encodeJournalCut,
  encodeJournalEntry,
  type GroupState,
  type JournalRecord,
} from "@quipu/protocol";
import type { GroupWrite } from "../../write-ahead-log/group-write.ts";
import type { PersistContent } from "./group-host.ts";
import { type LogLayout, type PlannedWrite, stateAfter } from "./log-layout.ts";

/** What a record is about: a slot; or, negative, a cut of all slots from there on. */
type Place = number;

/** What means nothing any more waits until there is so much of it, and leaves together. */
const keptMax = 1024;

/** A journal as it was found. */
export interface Journal {
  /** Number of its first record in the write-ahead log. */
  readonly first: number;
  readonly places: readonly Place[];
  readonly entries: ReadonlyMap<LogIndex, Entry>;
}

/** Reads a journal from its first record on. */
export class JournalReplay {
  readonly #places: Place[] = [];
  readonly #entries: Map<LogIndex, Entry> = new Map();

  take(record: JournalRecord): void {
    this.#places.push(placeOf(record));
    if (record.kind === "entry") this.#entries.set(record.entry.index, record.entry);
    else for (const slot of this.#entries.keys()) if (slot >= record.from) this.#entries.delete(slot);
  }

  end(first: number): Journal {
    return { first, places: this.#places, entries: this.#entries };
  }
}

/** What a write puts behind the journal. */
interface Written {
  readonly places: Place[];
  readonly records: Uint8Array[];
}

function put({ places, records }: Written, entry: Entry): void {
  places.push(entry.index);
  records.push(encodeJournalEntry(entry));
}

function cut({ places, records }: Written, from: LogIndex): void {
  places.push(-Number(from));
  records.push(encodeJournalCut(from));
}

function placeOf(record: JournalRecord): Place {
  return record.kind === "entry" ? record.entry.index : -Number(record.from);
}

export class JournalLayout implements LogLayout {
  readonly maySplit = true;
  readonly #keepsHardState: boolean;
  #state: GroupState;
  /** Of record `#first + i` at `#head + i`; what stands before `#head` is gone. */
  #places: Place[] = [];
  #head = 0;
  /** Number of the first record. */
  #first: number;
  /** Which record says what slot `#below + 1 + i` holds. Those up to the start of the log mean nothing. */
  #holders: (number | undefined)[] = [];
  #below: number;

  constructor(
    { engine, hardState, start, journal }: GroupState & { readonly journal?: Journal },
    keepsHardState: boolean,
  ) {
    this.#state = { engine, hardState, start };
    this.#keepsHardState = keepsHardState;
    this.#first = journal?.first ?? 1;
    this.#below = start.index;
    for (const place of journal?.places ?? []) this.#append(place);
  }

  get start(): LogStart {
    return this.#state.start;
  }

  plan(persists: readonly PersistContent[]): PlannedWrite | undefined {
    const after = stateAfter(this.#state, persists, this.#keepsHardState);
    const written: Written = { places: [], records: [] };
    for (const persist of persists) {
      if (persist.restart !== undefined && this.#forgets(persist, written.places)) {
        cut(written, (persist.restart.index + 1) as LogIndex);
      }
      if (persist.truncateFrom !== undefined) cut(written, persist.truncateFrom);
      for (const entry of persist.append) put(written, entry);
    }
    const trimUpTo = this.#idleUpTo(after.start);
    const { records } = written;
    if (after === this.#state && records.length === 0 && trimUpTo === undefined) return undefined;
    const write = {
      ...(after !== this.#state && { hardState: encodeGroupState(after) }),
      ...(trimUpTo !== undefined && { trimUpTo }),
      ...(records.length > 0 && { records }),
    };
    return this.#planned(write, after, written.places);
  }

  planTrim(trim: LogStart): PlannedWrite | undefined {
    const trimUpTo = this.#idleUpTo(trim);
    if (trim.index <= this.start.index || trimUpTo === undefined) return undefined;
    const after = { ...this.#state, start: trim };
    return this.#planned({ hardState: encodeGroupState(after), trimUpTo }, after, []);
  }

  planRewrite(entries: readonly Entry[]): PlannedWrite {
    const written: Written = { places: [], records: [] };
    for (const entry of entries) put(written, entry);
    const { places, records } = written;
    const write = {
      hardState: encodeGroupState(this.#state),
      restartAt: this.#next,
      ...(records.length > 0 && { records }),
    };
    return this.#planned(write, this.#state, places);
  }

  #planned(write: GroupWrite, after: GroupState, places: readonly Place[]): PlannedWrite {
    const { restartAt, trimUpTo } = write;
    return {
      write,
      done: () => {
        this.#state = after;
        if (restartAt !== undefined) this.#begin(restartAt);
        if (trimUpTo !== undefined) this.#drop(trimUpTo);
        this.#forgetSlots();
        for (const place of places) this.#append(place);
      },
    };
  }

  get #next(): number {
    return this.#first + this.#places.length - this.#head;
  }

  /**
   * A core that begins anew after a snapshot says once more what it holds above: it stands here already, and stays. Were
   * it cut and written again in more than one write, a crash in between would undo what was accepted. Only what is not
   * said again has to go.
   */
  #forgets({ restart, append, restated = append }: PersistContent, before: readonly Place[]): boolean {
    const start = restart?.index ?? 0;
    const kept = new Set<number>(restated.map(({ index }) => index));
    const isLost = (slot: number): boolean => slot > start && !kept.has(slot);
    return before.some(isLost) || this.#holders.some((held, i) => held !== undefined && isLost(this.#below + 1 + i));
  }

  /** The last of the first records that say nothing any more once the log begins after `start`. */
  #idleUpTo(start: LogStart): number | undefined {
    let at = this.#head;
    for (; at < this.#places.length; at++) {
      const place = this.#places[at] as Place;
      if (place > start.index && this.#holder(place) === this.#first + at - this.#head) break;
    }
    return at === this.#head ? undefined : this.#first + at - this.#head - 1;
  }

  #append(place: Place): void {
    const number = this.#next;
    this.#places.push(place);
    if (place > this.#below) this.#holders[place - this.#below - 1] = number;
    else if (place < 0) this.#holders.length = Math.min(this.#holders.length, Math.max(0, -place - this.#below - 1));
  }

  #holder(slot: number): number | undefined {
    return this.#holders[slot - this.#below - 1];
  }

  /** None of them is what a slot holds, unless it is a slot below the start. */
  #drop(upTo: number): void {
    this.#head += upTo + 1 - this.#first;
    this.#first = upTo + 1;
    if (this.#head > keptMax && this.#head * 2 > this.#places.length) {
      this.#places = this.#places.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Those below the start. */
  #forgetSlots(): void {
    const gone = this.start.index - this.#below;
    if (gone <= keptMax || gone * 2 <= this.#holders.length) return;
    this.#holders = this.#holders.slice(gone);
    this.#below = this.start.index;
  }

  #begin(first: number): void {
    this.#places = [];
    this.#head = 0;
    this.#first = first;
    this.#holders = [];
    this.#below = this.start.index;
  }
}
