/** The write-ahead log of a cell's node: of a new member always an empty one, of any other what is there, or how it is damaged. */
import { type Clock, type Disk, QuipuError, type Random } from "@quipu/core";
import {
  type LogMutation,
  setAside,
  WriteAheadLog,
  type WriteAheadLogLimits,
  type WriteAheadLogOptions,
} from "@quipu/log";
import { groupStateBytesMax } from "@quipu/protocol";
import type { IdentityRegister } from "./identity.ts";

export const cellWalDirectory = "wal";

export interface WalOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly wal?: Partial<WriteAheadLogLimits>;
  readonly onFatal: (error: unknown) => void;
  /** Tests only. */
  readonly mutations?: { readonly log?: LogMutation };
}

export interface OpenWal {
  readonly wal: WriteAheadLog;
  /** What to do when a segment is begun; nothing is listening while the log is opened. */
  onSegmentBegun: () => void;
}

/** The write-ahead log of this member, or a text that says how it is damaged. Of a new member: always an empty one. */
export async function openWal(options: WalOptions, identity: IdentityRegister): Promise<OpenWal | string> {
  const { disk, mutations } = options;
  const isNew = identity.present.state === "new";
  const isThere = await isUsed(disk, cellWalDirectory);
  if (isNew && isThere) {
    await identity.store({ ...identity.present, attempt: identity.present.attempt + 1 });
    await setAside(disk, cellWalDirectory);
  }
  if (!isNew && !isThere) return `${cellWalDirectory}/ is gone`;
  const holder = { onSegmentBegun: (): void => undefined };
  try {
    const wal = await WriteAheadLog.open({
      ...cellWal(options),
      onSegmentBegun: () => holder.onSegmentBegun(),
      ...(mutations?.log === undefined ? {} : { mutation: mutations.log }),
    });
    if (isNew || wal.groups().length > 0) return Object.assign(holder, { wal });
    await wal.close();
    return `${cellWalDirectory}/ holds no group`;
  } catch (error) {
    if (isNew || !isDamage(error)) throw error;
    return error.message;
  }
}

/** Where the log of a cell's node lies, and what its groups need of it. */
export function cellWal({ disk, clock, random, onFatal, wal }: WalOptions): WriteAheadLogOptions {
  const limits = { hardStateBytesMax: groupStateBytesMax, ...wal };
  return { disk, directory: cellWalDirectory, clock, random, onFatal, limits };
}

/** A directory with something in it. */
export async function isUsed(disk: Disk, directory: string): Promise<boolean> {
  return (await disk.exists(directory)) && (await disk.list(directory)).length > 0;
}

export function isDamage(error: unknown): error is QuipuError {
  return error instanceof QuipuError && error.code === "LOG_CORRUPT";
}
