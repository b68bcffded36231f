/** Shared by the log's tests: a log on a simulated disk, with limits small enough to see segments change. */
import { SeededRandom } from "@quipu/core";
import { type CrashKeeps, SimulatedDisk } from "@quipu/simulator";
import { WriteAheadLog, type WriteAheadLogLimits, type WriteAheadLogOptions } from "../src/mod.ts";

/** Segments of 128 KiB, frames up to 64 KiB. */
export const smallLimits: WriteAheadLogLimits = {
  segmentBytes: 128 * 1024,
  frameBytesMax: 64 * 1024,
  hardStateBytesMax: 64,
  groupsMax: 64,
};

export function makeDisk(seed = 1): SimulatedDisk {
  return new SimulatedDisk({ random: new SeededRandom(seed), complete: (action) => queueMicrotask(action) });
}

export interface OpenedLog {
  readonly wal: WriteAheadLog;
  /** What onFatal was called with. */
  readonly fatal: unknown[];
}

export async function openLog(
  disk: SimulatedDisk,
  limits: WriteAheadLogLimits = smallLimits,
  more: Pick<WriteAheadLogOptions, "mutation" | "onSegmentBegun"> = {},
): Promise<OpenedLog> {
  const fatal: unknown[] = [];
  const wal = await WriteAheadLog.open({
    disk,
    directory: "wal",
    clock: testClock,
    random: new SeededRandom(7),
    limits,
    onFatal: (error) => fatal.push(error),
    ...more,
  });
  return { wal, fatal };
}

/** A clock that tests move by hand. */
export const testClock = {
  nowMs: 0,
  monotonicMs(): number {
    return this.nowMs;
  },
};

export function append(wal: WriteAheadLog, group: number, records: readonly Uint8Array[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const first: number = wal.append(group, records, (error) => (error === undefined ? resolve(first) : reject(error)));
  });
}

export function trim(wal: WriteAheadLog, group: number, upTo: number): Promise<void> {
  return new Promise((resolve, reject) => {
    wal.trim(group, upTo, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Every record of `group` that was not trimmed. */
export async function readAll(wal: WriteAheadLog, group: number): Promise<Uint8Array[]> {
  const records: Uint8Array[] = [];
  for (let next = wal.firstIndex(group); next < wal.nextIndex(group);) {
    const some = await wal.read(group, next);
    if (some === undefined) throw new Error(`record ${next} is gone`);
    records.push(...some);
    next += some.length;
  }
  return records;
}

/** A record that says which one it is, of the given size. */
export function record(number: number, bytes = 16): Uint8Array {
  const record = new Uint8Array(bytes);
  new DataView(record.buffer).setUint32(0, number, true);
  for (let i = 4; i < bytes; i++) record[i] = (number * 31 + i) & 0xff;
  return record;
}

export async function crashAndOpen(
  disk: SimulatedDisk,
  keeps: CrashKeeps = "random",
  limits: WriteAheadLogLimits = smallLimits,
): Promise<OpenedLog & { disk: SimulatedDisk }> {
  const after = disk.crash(keeps);
  return { ...(await openLog(after, limits)), disk: after };
}
