/** Picks the live records of groups out of frames that are scanned in order: never one that was overwritten. */
import { invariant } from "@quipu/core";
import { type Entry, entryKind, forEachEntry, paddedBytes, readFrameHeader } from "./format.ts";
import type { LogMutation } from "./mutation.ts";
import type { Segment } from "./segment.ts";
import { startPosition } from "./segment-index.ts";

/** Live records of one group in one frame: of `first` and those that follow. */
interface Stretch {
  first: number;
  readonly records: Uint8Array[];
}

/** Collects the groups that it was given, each from an index on. */
export class RecordCollector {
  /** The index of each group that comes next. */
  readonly #next: Map<number, number>;
  readonly #stretches: Map<number, Stretch> = new Map();
  readonly #onRecords: (group: number, first: number, records: readonly Uint8Array[]) => void;
  readonly #mutation: LogMutation | undefined;

  /** `onRecords` gets what a frame holds of a group, in index order; the bytes lie in the frame's memory. */
  constructor(
    from: ReadonlyMap<number, number>,
    onRecords: (group: number, first: number, records: readonly Uint8Array[]) => void,
    mutation?: LogMutation,
  ) {
    this.#next = new Map(from);
    this.#onRecords = onRecords;
    this.#mutation = mutation;
  }

  /** The index of `group` that comes next. */
  next(group: number): number | undefined {
    return this.#next.get(group);
  }

  /** Takes in the opened frames in `chunk`, which begins at `position` of `segment`. */
  scan(segment: Segment, chunk: Uint8Array, position: number): void {
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
    for (let at = 0; at < chunk.length;) {
      const header = readFrameHeader(chunk, view, at);
      invariant(header !== undefined, `a frame was opened at ${at} and is gone`);
      const frameAt = position + at;
      const whole = forEachEntry(chunk, view, at, header.lengthBytes, true, (entry) => {
        if (entry.kind === entryKind.record && this.#next.has(entry.group)) this.#take(segment, frameAt, entry);
      });
      invariant(whole, "an entry fails its own checksum inside a frame that checks");
      this.#deliver();
      at += paddedBytes(header.lengthBytes);
    }
  }

  #take(segment: Segment, frameAt: number, { group, index, payload }: Entry): void {
    const run = segment.index.runWith(group, index);
    const stretch = this.#stretches.get(group);
    if (this.#mutation === "overwritten-record-read") {
      if ((this.#next.get(group) ?? 0) + (stretch?.records.length ?? 0) !== index) return;
    } else if (run === undefined || frameAt < startPosition(run)) return;
    if (stretch === undefined) {
      this.#stretches.set(group, { first: index, records: [payload] });
      return;
    }
    const { first, records } = stretch;
    // Written again in this very frame: what had this index before, and all that came behind it, is dead. Where the log
    // went on further up instead, it had begun anew, and all that was before is dead.
    const wentOn = index <= first + records.length;
    records.length = wentOn ? Math.max(0, index - first) : 0;
    stretch.first = wentOn ? Math.min(first, index) : index;
    records.push(payload);
  }

  /** A frame is over: what is in it now is live, but may begin below what was asked for. */
  #deliver(): void {
    for (const [group, { first, records }] of this.#stretches) {
      const next = this.#next.get(group) ?? 0;
      if (first + records.length <= next) continue;
      invariant(first <= next, `group ${group}: record ${first} where ${next} is next`);
      this.#next.set(group, first + records.length);
      this.#onRecords(group, next, records.slice(next - first));
    }
    this.#stretches.clear();
  }
}
