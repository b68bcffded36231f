/**
 * Reads batches of one log and holds them to what the log promises: numbers and positions without a hole, checksums, and
 * that what is not there was trimmed. Also finds the batch that holds a position.
 */
import { DecodeError, QuipuError } from "@quipu/core";
import { type Batch, decodeBatch } from "./batch.ts";
import type { BatchIndex } from "./batch-index.ts";
import type { Heads } from "./heads.ts";
import type { ExternalLog } from "./service.ts";

export interface BatchReaderOptions {
  readonly log: ExternalLog;
  readonly heads: Heads;
  readonly index: BatchIndex;
  /** Service and log, for errors. */
  readonly describe: string;
  readonly checksumSeed: number;
}

export class BatchReader {
  readonly #options: BatchReaderOptions;

  constructor(options: BatchReaderOptions) {
    this.#options = options;
  }

  /**
   * Batches from number `from` on. None: it was trimmed, and the newest head says so; or, if it lay above every head that was
   * known, it is not written. Rejects with LOG_CORRUPT, or as the service does.
   */
  async read(from: number, bytesMax: number): Promise<readonly Batch[]> {
    const { log, heads } = this.#options;
    const isWritten = from < heads.newest.nextBatch;
    const found = await log.read(from, bytesMax);
    if (found.length > 0) return this.#decoded(from, found);
    if (!isWritten) return [];
    const head = await heads.fresh();
    if (from >= head.firstBatch)
      throw this.damage(from, `it is missing; batches up to ${head.nextBatch - 1} are there`);
    return [];
  }

  /** The batch that holds `position`, which lies below the tail. Undefined: it was trimmed, and the newest head says so. */
  async find(position: number): Promise<number | undefined> {
    const { heads, index } = this.#options;
    const known = index.find(position);
    if (known !== undefined) return known;
    // Where readers begin most often.
    if (position === heads.newest.trimmedUpTo + 1) return heads.newest.firstBatch;
    let low = heads.newest.firstBatch;
    let high = index.oldest?.number ?? heads.newest.nextBatch;
    // The batch lies in [low, high).
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      const [batch] = await this.read(middle, 1);
      if (batch === undefined) {
        low = Math.max(low, heads.newest.firstBatch);
        if (position <= heads.newest.trimmedUpTo) return undefined;
      } else if (batch.first <= position) low = middle;
      else high = middle;
    }
    return position <= heads.newest.trimmedUpTo ? undefined : low;
  }

  damage(number: number, what: string, cause?: unknown): QuipuError {
    return new QuipuError("LOG_CORRUPT", `${this.#options.describe}, batch ${number}: ${what}`, { cause });
  }

  #decoded(from: number, found: readonly Uint8Array[]): readonly Batch[] {
    const batches: Batch[] = [];
    let next: number | undefined;
    for (const [i, bytes] of found.entries()) {
      const batch = i === 0 ? this.#decode(from, bytes) : this.#decodeNext(from + i, bytes, next);
      // What is sound before it counts; whoever asks for this one by itself will hear what is wrong.
      if (batch === undefined) break;
      next = batch.first + batch.records.length;
      batches.push(batch);
    }
    return batches;
  }

  #decodeNext(number: number, bytes: Uint8Array, first: number | undefined): Batch | undefined {
    try {
      const batch = this.#decode(number, bytes);
      return batch.first === first ? batch : undefined;
    } catch (error) {
      if (error instanceof QuipuError) return undefined;
      throw error;
    }
  }

  #decode(number: number, bytes: Uint8Array): Batch {
    const { checksumSeed } = this.#options;
    try {
      const batch = decodeBatch(bytes, checksumSeed);
      if (batch.number !== number) throw new DecodeError(`it is batch ${batch.number}`);
      return batch;
    } catch (error) {
      if (error instanceof DecodeError) throw this.damage(number, error.message, error);
      throw error;
    }
  }
}
