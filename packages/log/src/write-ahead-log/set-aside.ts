/**
 * Puts a damaged log out of the way, so that its node can join its cell again with an empty one, under a new
 * generation: whoever lost part of a log does not know what it promised, and must never go on under its old name.
 *
 * An operator may want the files, so they are kept under a numbered name. Only beyond a bound are the oldest
 * deleted; their emptied directory then serves the fresh log, because the disk port removes files alone.
 */
import { type Disk, invariant } from "@quipu/core";
import { parentOf } from "./segment.ts";

/** Damaged logs that are kept, each as large as a log may be: a disk that breaks three needs no fourth witness. */
export const damagedLogsMax = 3;

/**
 * Renames the log in `directory`, durably, and returns its new path; `directory` is then absent or empty, and
 * `WriteAheadLog.open` makes a fresh log of it. No log may be open there.
 *
 * The caller makes the new generation durable *first*: a crash right behind this call leaves a fresh log, which
 * must not be taken for that of the old member. After a crash before that, the log is still damaged: call again.
 */
export async function setAside(disk: Disk, directory: string, keptMax: number = damagedLogsMax): Promise<string> {
  invariant(keptMax >= 1, `${keptMax} damaged logs kept`);
  const parent = parentOf(directory);
  const prefix = `${directory}.damaged-`;
  const at = (number: number): string => prefix + String(number).padStart(6, "0");
  const numbers = await damagedNumbers(disk, parent, prefix);
  const target = at((numbers.at(-1) ?? 0) + 1);
  await disk.rename(directory, target);
  await disk.syncDirectory(parent);
  const surplus = numbers.slice(0, Math.max(0, numbers.length + 1 - keptMax)).map(at);
  for (const path of surplus) await empty(disk, path);
  const emptied = surplus.at(-1);
  if (emptied !== undefined) {
    await disk.rename(emptied, directory);
    await disk.syncDirectory(parent);
  }
  return target;
}

/** Of the logs that were set aside before, ascending. */
async function damagedNumbers(disk: Disk, parent: string, prefix: string): Promise<readonly number[]> {
  const namePrefix = prefix.slice(prefix.lastIndexOf("/") + 1);
  const names = await disk.list(parent);
  return names
    .filter((name) => name.startsWith(namePrefix) && /^\d{6,}$/.test(name.slice(namePrefix.length)))
    .map((name) => Number(name.slice(namePrefix.length)))
    .sort((left, right) => left - right);
}

async function empty(disk: Disk, directory: string): Promise<void> {
  for (const name of await disk.list(directory)) await disk.remove(`${directory}/${name}`);
  await disk.syncDirectory(directory);
}
