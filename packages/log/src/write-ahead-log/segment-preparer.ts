/**
 * Makes the next segment ready in the background: created under a temporary name, filled with zeros,
 * synced, renamed, directory synced. So a commit never allocates space, a full disk shows before anything
 * is written, and a file with a segment's name always has its full size.
 */
import { type Clock, type Disk, type DiskFile, invariant } from "@quipu/core";
import type { LogMutation } from "./mutation.ts";
import type { WriteAheadLogLimits, WriteAheadLogOptions } from "./options.ts";
import type { UnusedSegment } from "./recovery.ts";
import { isDiskFull, segmentPath, writeAllAndSync } from "./segment.ts";

/** Synced piece by piece, so that a commit's own sync never waits behind a whole segment of zeros. */
const fillChunkBytes = 1024 * 1024;

/** After the disk was full: try again no sooner, because a try may fill what little room is left. */
const retryAfterMs = 1000;

/** Name of the file being filled; whatever has it at start is a left-over. */
export const unfinishedName = "wal-unfinished";

export interface PreparedSegment {
  readonly number: number;
  readonly path: string;
  readonly sizeBytes: number;
  readonly file: DiskFile;
}

export class SegmentPreparer {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #mutation: LogMutation | undefined;
  #next: Promise<PreparedSegment | undefined> | undefined;
  #nextNumber: number;
  #fullSinceMs: number | undefined;
  #closing = false;

  constructor(
    disk: Disk,
    directory: string,
    segmentBytes: number,
    clock: Pick<Clock, "monotonicMs">,
    nextNumber: number,
    ready: PreparedSegment | undefined,
    mutation?: LogMutation,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#clock = clock;
    this.#mutation = mutation;
    this.#nextNumber = nextNumber;
    if (ready !== undefined) {
      invariant(ready.number === nextNumber, `prepared segment ${ready.number} where ${nextNumber} is next`);
      this.#next = Promise.resolve(ready);
    }
  }

  /** Starts on the next segment, unless that is done or under way. */
  begin(): void {
    if (this.#next !== undefined) return;
    const preparation = this.#prepare(this.#nextNumber);
    // Whoever takes it sees the failure; until then it must not count as unhandled.
    preparation.catch(() => undefined);
    this.#next = preparation;
  }

  /** The next segment, or undefined: no room. Rejects where the disk failed otherwise. */
  async take(): Promise<PreparedSegment | undefined> {
    if (this.#fullSinceMs !== undefined && this.#clock.monotonicMs() - this.#fullSinceMs < retryAfterMs) {
      return undefined;
    }
    this.begin();
    const next = this.#next;
    const taken = await next;
    // Room may have been made meanwhile, and another preparation begun.
    if (this.#next === next) this.#next = undefined;
    if (taken !== undefined) this.#nextNumber++;
    return taken;
  }

  /** Room was made: the next `take` tries at once. */
  roomWasMade(): void {
    if (this.#fullSinceMs === undefined) return;
    this.#fullSinceMs = undefined;
    this.#next = undefined;
    this.begin();
  }

  /** Stops a preparation under way; the next start removes what it leaves. */
  async close(): Promise<void> {
    this.#closing = true;
    const ready = await this.#next?.catch(() => undefined);
    await ready?.file.close();
  }

  async #prepare(number: number): Promise<PreparedSegment | undefined> {
    const unfinished = `${this.#directory}/${unfinishedName}`;
    this.#fullSinceMs = undefined;
    if (await this.#disk.exists(unfinished)) await this.#disk.remove(unfinished);
    let file: DiskFile | undefined;
    try {
      file = await this.#disk.open(unfinished, { create: "new" });
      const zeros = new Uint8Array(Math.min(fillChunkBytes, this.#segmentBytes));
      for (let position = 0; position < this.#segmentBytes; position += zeros.length) {
        if (this.#closing) {
          await file.close();
          return undefined;
        }
        const chunk = zeros.subarray(0, Math.min(zeros.length, this.#segmentBytes - position));
        await writeAllAndSync(file, unfinished, chunk, position);
      }
      const path = segmentPath(this.#directory, number);
      await this.#disk.rename(unfinished, path);
      if (this.#mutation !== "directory-not-synced") await this.#disk.syncDirectory(this.#directory);
      // Again by its name, which is what errors will say.
      await file.close();
      file = await this.#disk.open(path, { create: "no" });
      return { number, path, sizeBytes: this.#segmentBytes, file };
    } catch (error) {
      await file?.close();
      if (!isDiskFull(error)) throw error;
      if (file !== undefined && (await this.#disk.exists(unfinished))) await this.#disk.remove(unfinished);
      // Only now that the file is gone: whoever sees this may begin another.
      this.#fullSinceMs = this.#clock.monotonicMs();
      this.#next = undefined;
      return undefined;
    }
  }
}

/** Takes over the segment that was prepared before the restart, if it can be used as it is. */
export async function makePreparer(
  options: WriteAheadLogOptions,
  limits: WriteAheadLogLimits,
  number: number,
  unused: UnusedSegment | undefined,
): Promise<SegmentPreparer> {
  const { disk, directory, clock, mutation } = options;
  let ready: PreparedSegment | undefined;
  if (unused !== undefined) {
    const path = segmentPath(directory, number);
    const { sizeBytes, zero } = unused;
    if (zero && sizeBytes === limits.segmentBytes) {
      ready = { number, path, sizeBytes, file: await disk.open(path, { create: "no" }) };
    } else {
      await disk.remove(path);
      await disk.syncDirectory(directory);
    }
  }
  return new SegmentPreparer(disk, directory, limits.segmentBytes, clock, number, ready, mutation);
}
