/** The log of a single process: write-ahead log, metadata store, and the virtual log, whose segments are here or in a service. */
import { requireSingle } from "@quipu/cluster";
import { type Clock, type Disk, QuipuError } from "@quipu/core";
import {
  decodeChain,
  fileMetadataStore,
  localEngine,
  type LogletEngine,
  type LogletName,
  type MetadataStore,
  openVirtualLog,
  type VirtualLog,
  WriteAheadLog,
} from "@quipu/log";
import type { Closers } from "./closers.ts";
import { metadataDirectory, walDirectory } from "./data-directory.ts";
import { CryptoRandom } from "./ports/crypto-random.ts";

export interface NodeLogOptions {
  /** Rooted in the data directory. */
  readonly disk: Disk;
  readonly clock: Clock;
  readonly onFatal: (error: unknown) => void;
  readonly closers: Closers;
}

export interface NodeLogFiles {
  readonly metadata: MetadataStore;
  readonly wal: WriteAheadLog;
  /** As the file says before the log is opened; empty: it is new. */
  readonly segments: readonly LogletName[];
}

/** The register of the only shard's chain. */
const chainKey = "chain/0";

export async function openNodeLogFiles(options: NodeLogOptions): Promise<NodeLogFiles> {
  const { disk, closers } = options;
  await disk.makeDirectory(metadataDirectory);
  // The names of all directories made so far (the store's too) are durable before anything in them counts.
  await disk.syncDirectory(".");
  const metadata = await fileMetadataStore(disk, metadataDirectory, options.onFatal);
  closers.add("the metadata store", () => metadata.close?.());
  await requireSingle(metadata);
  const wal = await WriteAheadLog.open({
    disk,
    directory: walDirectory,
    clock: options.clock,
    random: new CryptoRandom(),
    onFatal: options.onFatal,
  });
  closers.add("the write-ahead log", () => wal.close());
  await requireChain(metadata, wal);
  const stored = await metadata.get(chainKey);
  const segments = stored === undefined ? [] : decodeChain(chainKey, stored.version, stored.value).segments;
  return { metadata, wal, segments };
}

/** `services`: engines beside the local one. Rejects as they do where the service of a segment is away. */
export function openNodeLog(
  { metadata, wal }: NodeLogFiles,
  services: Readonly<Record<string, LogletEngine>>,
): Promise<VirtualLog> {
  const engines = { ...services, local: namingWhatIsMissing(wal) };
  return openVirtualLog({ metadata, key: chainKey, engines, initialEngine: "local" });
}

/** Records without a chain that leads to them would silently be left out. An empty group is a founding cut short. */
async function requireChain(metadata: MetadataStore, wal: WriteAheadLog): Promise<void> {
  if ((await metadata.get(chainKey)) !== undefined) return;
  if (!wal.groups().some((group) => wal.nextIndex(group) > 1)) return;
  throw new QuipuError(
    "LOG_CORRUPT",
    `${walDirectory}/ holds records, but ${metadataDirectory}/ names no log: was it removed? ` +
      "Restore the data directory as a whole.",
  );
}

/** The local engine; a group that the chain names and the write-ahead log lacks is a damaged directory, not a bug. */
function namingWhatIsMissing(wal: WriteAheadLog): LogletEngine {
  const engine = localEngine(wal);
  return {
    prepare: () => engine.prepare(),
    discard: (parameters) => engine.discard(parameters),
    open: (parameters) => {
      if (wal.hardState(Number(parameters)) !== undefined) return engine.open(parameters);
      const missing = `${walDirectory}/ lacks group ${parameters}, which ${metadataDirectory}/ names: was it removed?`;
      return Promise.reject(new QuipuError("LOG_CORRUPT", `${missing} Restore the data directory as a whole.`));
    },
  };
}
