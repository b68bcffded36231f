/**
 * The data directory, and who holds it.
 *
 *     guard/     an empty LevelDB whose LOCK file is the real lock: the operating system frees it when the holder dies,
 *                however it dies, so there is no stale lock to clean up. Node has no other way to such a lock.
 *     store/     LevelDB: the last checkpoint. Its own lock will not do: it is free for a moment when the store is
 *                opened again after a full disk.
 *     wal/       the write-ahead log
 *     metadata/  chains of the log, identity of the node
 *     lock       who holds the directory, for the message to whoever comes second; no lock by itself
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { QuipuError } from "@quipu/core";
import { LevelStore, setStoreAside } from "./ports/level-store.ts";

export const walDirectory = "wal";
export const metadataDirectory = "metadata";
const guardDirectory = "guard";
const storeDirectory = "store";
const holderFile = "lock";

interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly startedAt: string;
}

export interface DataDirectory {
  readonly path: string;
  readonly store: LevelStore;
  /** Closes the store and lets the next process in. */
  release(): Promise<void>;
}

/** What to do about a state store that LevelDB cannot open, because its files are damaged. */
export interface DamagedStore {
  /** True: others have everything that was in it. Asked while the directory is held. */
  readonly isReplaceable: (directory: string) => Promise<boolean>;
  readonly onSetAside: (setAside: string, error: QuipuError) => void;
}

/**
 * Makes the directory where it is missing and takes it. DATA_DIRECTORY_IN_USE names the holder. A damaged state store is
 * refused with STORE_CORRUPT, or put aside and made anew where `damagedStore` says that it can be replaced.
 */
export async function holdDataDirectory(directory: string, damagedStore?: DamagedStore): Promise<DataDirectory> {
  const absolute = path.resolve(directory);
  try {
    makeDirectories(absolute);
  } catch (error) {
    throw unusable(absolute, error);
  }
  const guard = await openGuard(absolute);
  let store: LevelStore;
  try {
    store = await openStore(absolute, damagedStore);
  } catch (error) {
    await guard.close();
    throw error;
  }
  try {
    writeHolder(absolute);
  } catch (error) {
    await store.close();
    await guard.close();
    throw unusable(absolute, error);
  }
  return {
    path: absolute,
    store,
    release: async () => {
      // First the message, then the lock: whoever takes it next writes his own.
      rmSync(path.join(absolute, holderFile), { force: true });
      await store.close();
      await guard.close();
    },
  };
}

/**
 * Makes the directory and those above it, each with a durable name: else a power cut could take it with all that is in
 * it. Not by `recursive` of Node: that syncs no name, and never returns where a parent exists but takes no directory,
 * as below /proc.
 */
function makeDirectories(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = path.dirname(directory);
  if (parent !== directory) makeDirectories(parent);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    // Another process that makes the same directory may have been faster.
    const isThere = (error as NodeJS.ErrnoException).code === "EEXIST" && statSync(directory).isDirectory();
    if (!isThere) throw error;
  }
  syncNames(parent);
}

function syncNames(parent: string): void {
  const descriptor = openSync(parent, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

async function openStore(directory: string, damagedStore: DamagedStore | undefined): Promise<LevelStore> {
  const store = path.join(directory, storeDirectory);
  try {
    return await LevelStore.open(store);
  } catch (error) {
    if (!(error instanceof QuipuError) || error.code !== "STORE_CORRUPT" || damagedStore === undefined) throw error;
    if (!(await damagedStore.isReplaceable(directory))) throw error;
    damagedStore.onSetAside(await setStoreAside(store), error);
    return LevelStore.open(store);
  }
}

async function openGuard(directory: string): Promise<LevelStore> {
  try {
    return await LevelStore.open(path.join(directory, guardDirectory));
  } catch (error) {
    if (!(error instanceof QuipuError) || error.code !== "DATA_DIRECTORY_IN_USE") throw error;
    const holder = readHolder(directory);
    const who = holder === undefined ? "another process" : describeHolder(holder);
    throw new QuipuError(
      "DATA_DIRECTORY_IN_USE",
      `the data directory ${directory} is held by ${who}. Stop that process first, or choose another --data.`,
      { cause: error },
    );
  }
}

function describeHolder(holder: Holder): string {
  const which = holder.pid === process.pid ? "this very process" : `process ${holder.pid}`;
  return `${which} (on ${holder.host}, since ${holder.startedAt})`;
}

function writeHolder(directory: string): void {
  const holder: Holder = { pid: process.pid, host: hostname(), startedAt: new Date().toISOString() };
  writeFileSync(path.join(directory, holderFile), `${JSON.stringify(holder)}\n`, { mode: 0o600 });
}

/** Only for a message, so anything odd counts as "not known". */
function readHolder(directory: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(path.join(directory, holderFile), "utf8")) as Partial<Holder>;
    if (typeof holder.pid !== "number") return undefined;
    return { pid: holder.pid, host: String(holder.host), startedAt: String(holder.startedAt) };
  } catch {
    return undefined;
  }
}

function unusable(directory: string, error: unknown): QuipuError {
  const reason = error instanceof Error ? error.message : String(error);
  return new QuipuError("DATA_DIRECTORY_UNUSABLE", `cannot use the data directory ${directory}: ${reason}`, {
    cause: error,
  });
}
