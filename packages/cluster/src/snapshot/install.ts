/**
 * Takes a state snapshot into use: the state store first, then the log.
 *
 * The order. One synced batch replaces the whole state, its position, and what the log has to be told of it; so a
 * crash leaves the old state or the new one, never a mixture. Only then is the log told to begin anew above it.
 * A crash in between leaves a state ahead of its log, which the next start repairs with the kept words
 * ({@link tellLogStart}). The other way round a crash would leave a log that begins above the state, with the records in
 * between on no disk of this node, though the log vouches for them: enough such nodes, and they are lost.
 */
import { type Clock, invariant, type KeyValueStore, QuipuError } from "@quipu/core";
import type { CounterMachine } from "@quipu/counters";
import type { LogReplication } from "@quipu/log";
import type { ShardMutation } from "../mutation.ts";
import { acceptState, stateRange } from "../state-store.ts";
import type { FetchedSnapshot } from "./fetcher.ts";
import { SnapshotReader } from "./format.ts";
import { putLogStart, type StoredLogStart } from "./log-start.ts";
import type { SnapshotSettings } from "./settings.ts";

export interface InstallOptions {
  readonly store: KeyValueStore;
  /** This one, whose log is told. */
  readonly member: number;
  readonly replication: Pick<LogReplication, "installed">;
  readonly clock: Pick<Clock, "endOfTurn">;
  readonly settings: Pick<SnapshotSettings, "entriesPerSlice">;
  /** Tests only. */
  readonly mutation?: ShardMutation;
}

/**
 * Fills a new machine with the snapshot. Rejects with STORE_CORRUPT where it does not decode, stands at another
 * position than it says, or hashes to something else: nothing was changed then.
 */
export async function loadSnapshot(
  fetched: FetchedSnapshot,
  machine: CounterMachine,
  options: Pick<InstallOptions, "clock" | "settings" | "mutation">,
): Promise<void> {
  const { clock, settings } = options;
  const reader = readerOf(fetched, options.mutation);
  let loaded = 0;
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    machine.loadEntry(entry.key, entry.value);
    if (++loaded % settings.entriesPerSlice === 0) await turn(clock);
  }
  // It will have been written to the store by the time that anything changes.
  machine.finishLoad("store");
  for (; machine.hasHashBacklog; await turn(clock)) machine.hashBacklog(settings.entriesPerSlice);
  if (options.mutation === "snapshot-chunk-unchecked") return;
  const { position, stateHash } = reader;
  if (position !== fetched.position || machine.appliedLsn !== position) {
    const found = `${position} and holds ${machine.appliedLsn}`;
    throw new QuipuError("STORE_CORRUPT", `a snapshot of position ${fetched.position} says ${found}`);
  }
  if (machine.stateHash() !== stateHash) {
    const hashes = `${machine.stateHash()} instead of ${stateHash}`;
    throw new QuipuError("STORE_CORRUPT", `a snapshot of position ${position} has the state hash ${hashes}`);
  }
}

/** Replaces the state in the store by that of the snapshot, durably, then tells the log. */
export async function installSnapshot(fetched: FetchedSnapshot, options: InstallOptions): Promise<void> {
  const { replication, mutation } = options;
  if (mutation === "install-before-store-sync") {
    await replication.installed(fetched.logStart);
    await replaceState(fetched, options, false);
    return;
  }
  await replaceState(fetched, options, true);
  await replication.installed(fetched.logStart);
}

/**
 * At each start, before the log is read: completes what a crash between store and log left undone. Where the log goes as
 * far, it learns only that everything below is committed, which without a quorum it would not know.
 */
export async function tellLogStart(
  stored: StoredLogStart | undefined,
  member: number,
  replication: Pick<LogReplication, "installed"> | undefined,
): Promise<void> {
  // The log of a new member begins with its cell taking it in, which brings what it needs.
  if (stored === undefined || stored.member !== member) return;
  invariant(replication !== undefined, "the words of a log on several nodes, beside a log on one");
  await replication.installed(stored.words);
}

async function replaceState(fetched: FetchedSnapshot, options: InstallOptions, sync: boolean): Promise<void> {
  const { store, clock, settings, member } = options;
  const batch = store.batch();
  try {
    for await (const page of store.entries(...stateRange)) for (const [key] of page) batch.delete(key);
    const reader = readerOf(fetched, options.mutation);
    let put = 0;
    for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
      batch.put(entry.key, entry.value);
      if (++put % settings.entriesPerSlice === 0) await turn(clock);
    }
    putLogStart(batch, member, fetched.logStart);
    acceptState(batch);
  } catch (error) {
    await batch.abandon();
    throw error;
  }
  await batch.write({ sync });
}

function readerOf(fetched: FetchedSnapshot, mutation: ShardMutation | undefined): SnapshotReader {
  return new SnapshotReader(fetched.bytes, mutation === "snapshot-chunk-unchecked");
}

function turn(clock: Pick<Clock, "endOfTurn">): Promise<void> {
  return new Promise((resolve) => clock.endOfTurn(resolve));
}
