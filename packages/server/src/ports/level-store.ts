/**
 * The KeyValueStore port over LevelDB (`classic-level`).
 *
 * LevelDB writes batches in order through its own log, so a batch written without sync is lost in a crash only
 * together with every batch after it: what the port promises. Writes run on a worker thread; filling a batch does not,
 * so callers fill large ones in slices.
 */
import { open, rename, rm, statfs } from "node:fs/promises";
import path from "node:path";
import { QuipuError, type KeyValueBatch, type KeyValueStore } from "@quipu/core";
import { ClassicLevel } from "classic-level";
import { Scratch } from "./scratch.ts";

type Level = ClassicLevel<Uint8Array, Uint8Array>;

/** Entries per page of {@link KeyValueStore.entries}: about a millisecond of CPU to convert. */
const pageLength = 1000;
/** And bytes per page, since values may be a megabyte. */
const pageBytesMax = 1024 * 1024;
/** A checkpoint of a busy node fills several megabytes. Two such buffers may be in memory. */
const writeBufferBytes = 8 * 1024 * 1024;
/** Opening writes what its log holds into tables: the batch that failed, at most, and the buffer before it. */
const reopenRoomBytes: number = 128 * 1024 * 1024;

export class LevelStore implements KeyValueStore {
  readonly #level: Level;
  readonly #key = new Scratch();
  readonly #value = new Scratch();
  readonly #directory: string;

  private constructor(level: Level, directory: string) {
    this.#level = level;
    this.#directory = directory;
  }

  /**
   * Opens or creates the store and takes its lock, which the operating system frees when the process dies.
   * Rejects with DATA_DIRECTORY_IN_USE where another process (or this one) holds it, STORE_CORRUPT where LevelDB
   * finds its files damaged, else DATA_DIRECTORY_UNUSABLE.
   */
  static async open(directory: string): Promise<LevelStore> {
    const level: Level = new ClassicLevel(directory, {
      keyEncoding: "view",
      valueEncoding: "view",
      writeBufferSize: writeBufferBytes,
    });
    try {
      await level.open();
    } catch (error) {
      throw openingFailure(error, directory);
    }
    return new LevelStore(level, directory);
  }

  /** Rejects with STORE_CORRUPT where LevelDB finds its files damaged; `entries` as well. */
  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await this.#level.get(key);
    } catch (error) {
      throw readFailure(error);
    }
  }

  batch(): KeyValueBatch {
    const chained = this.#level.batch();
    return {
      // LevelDB's batch copies what it is given before the call returns.
      put: (key, value) => void chained.put(this.#key.hold(key), this.#value.hold(value)),
      delete: (key) => void chained.del(this.#key.hold(key)),
      write: async (options) => {
        try {
          await chained.write({ sync: options.sync });
        } catch (error) {
          throw writeFailure(error);
        }
      },
      abandon: () => chained.close(),
    };
  }

  async *entries(from: Uint8Array, to: Uint8Array): AsyncIterable<readonly (readonly [Uint8Array, Uint8Array])[]> {
    const iterator = this.#level.iterator({ gte: from, lt: to, highWaterMarkBytes: pageBytesMax });
    try {
      let next = iterator.nextv(pageLength);
      for (;;) {
        const page = await next;
        if (page.length === 0) return;
        // The next page is read while this one is worked on.
        next = iterator.nextv(pageLength);
        next.catch(() => undefined); // Seen by the await, if anybody asks for it.
        yield page;
      }
    } catch (error) {
      throw readFailure(error);
    } finally {
      await iterator.close();
    }
  }

  /**
   * A failed write leaves LevelDB's log in an unknown state, and it takes no other; a new one begins with opening.
   * There must be room first: opening would fail without. LevelDB's own lock is free for that moment, so the data
   * directory has another (data-directory.ts).
   */
  async reopen(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#directory);
    if (bavail * bsize < reopenRoomBytes) {
      throw new QuipuError("DISK_FULL", `${bavail * bsize} bytes are free, ${reopenRoomBytes} needed to go on`);
    }
    await this.#level.close();
    try {
      await this.#level.open();
    } catch (error) {
      throw openingFailure(error, this.#directory);
    }
  }

  /** Nothing can be deleted from files that cannot be read, nor may they be compacted with what comes next. */
  async renew(): Promise<void> {
    await this.#level.close();
    await setStoreAside(this.#directory);
    try {
      await this.#level.open();
    } catch (error) {
      throw openingFailure(error, this.#directory);
    }
  }

  close(): Promise<void> {
    return this.#level.close();
  }
}

/** Returns where the files of a store that is not open are kept; of those kept before nothing remains: one is enough to look at. */
export async function setStoreAside(directory: string): Promise<string> {
  const kept = `${directory}.damaged`;
  await rm(kept, { recursive: true, force: true });
  await rename(directory, kept);
  const parent = await open(path.dirname(directory), "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
  return kept;
}

/** LevelDB takes no more writes after a failed one; only opening it again helps. */
function writeFailure(error: unknown): QuipuError {
  const text = error instanceof Error ? error.message : String(error);
  if (isCorruption(error)) return corrupt(error);
  const code = text.includes("No space left") ? "DISK_FULL" : "DISK_FAILED";
  return new QuipuError(code, `the state store takes no more: ${text}`, { cause: error });
}

/** What is no damage stays what it is: a closed store is a bug of ours, a failed read is the disk's. */
function readFailure(error: unknown): unknown {
  return isCorruption(error) ? corrupt(error) : error;
}

function isCorruption(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ((error as { readonly code?: unknown }).code === "LEVEL_CORRUPTION") return true;
  // Writes and iterators hand on LevelDB's words only.
  return error.message.startsWith("Corruption:") || (error.cause !== undefined && isCorruption(error.cause));
}

function corrupt(error: unknown): QuipuError {
  const text = error instanceof Error ? error.message : String(error);
  return new QuipuError("STORE_CORRUPT", `LevelDB says: ${text}`, { cause: error });
}

/** CURRENT names a manifest, the manifest names tables: one that is not there is lost. LevelDB calls that an IO error. */
function lacksFile(text: string): boolean {
  return /^IO error: .*\/(MANIFEST-|\d+\.(ldb|sst|log)).*: No such file or directory/u.test(text);
}

function openingFailure(error: unknown, directory: string): QuipuError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as { readonly code?: unknown }).code;
  const text = cause instanceof Error ? cause.message : String(cause);
  if (code === "LEVEL_LOCKED") return new QuipuError("DATA_DIRECTORY_IN_USE", `${directory} is locked`, { cause });
  if (isCorruption(cause) || lacksFile(text)) return corrupt(cause);
  return new QuipuError("DATA_DIRECTORY_UNUSABLE", `cannot open the state store ${directory}: ${text}`, { cause });
}
