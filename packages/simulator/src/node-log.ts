/** The log of a simulated node: write-ahead log, metadata file, virtual log on the local engine. */
import type { Clock, Disk, Random } from "@quipu/core";
import {
  fileMetadataStore,
  localEngine,
  type LogMutation,
  type MetadataStore,
  openVirtualLog,
  type VirtualLog,
  WriteAheadLog,
} from "@quipu/log";

export interface NodeLogOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly segmentBytes: number;
  readonly frameBytesMax: number;
  readonly mutation?: LogMutation;
  readonly onFatal: (error: unknown) => void;
}

export interface NodeLog {
  readonly log: VirtualLog;
  readonly metadata: MetadataStore;
  close(): Promise<void>;
}

/** Where the log and its metadata file live. */
export const dataDirectory = "data";
const logDirectory = "data/log";

/** Small, so that a segment's head and reserve leave room for records in segments of a few sectors. */
const hardStateBytesMax = 16;
/** More than a run switches loglets. */
const groupsMax = 60;

export async function openNodeLog(options: NodeLogOptions): Promise<NodeLog> {
  const { disk, clock, random, segmentBytes, frameBytesMax, mutation, onFatal } = options;
  if (!(await disk.exists(dataDirectory))) {
    await disk.makeDirectory(dataDirectory);
    await disk.syncDirectory("");
  }
  const wal = await WriteAheadLog.open({
    disk,
    directory: logDirectory,
    clock,
    random,
    limits: { segmentBytes, frameBytesMax, hardStateBytesMax, groupsMax },
    onFatal,
    ...(mutation === undefined ? {} : { mutation }),
  });
  const metadata = await fileMetadataStore(disk, dataDirectory, onFatal);
  const log = await openVirtualLog({
    metadata,
    key: "chain",
    engines: { local: localEngine(wal) },
    initialEngine: "local",
  });
  const close = async (): Promise<void> => {
    await log.close();
    await metadata.close?.();
    await wal.close();
  };
  return { log, metadata, close };
}
