/** The log of a node: write-ahead log, metadata store, and the virtual log on the local engine. */
import type { Clock, Disk } from "@quipu/core";
import {
  fileMetadataStore,
  localEngine,
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

export interface NodeLog {
  readonly log: VirtualLog;
  readonly metadata: MetadataStore;
}

/** The register of the only shard's chain. */
const chainKey = "chain/0";

export async function openNodeLog(options: NodeLogOptions): Promise<NodeLog> {
  const { disk, closers } = options;
  await disk.makeDirectory(metadataDirectory);
  // The names of all directories made so far (the store's too) are durable before anything in them counts.
  await disk.syncDirectory(".");
  const metadata = await fileMetadataStore(disk, metadataDirectory);
  closers.add("the metadata store", () => metadata.close?.());
  const wal = await WriteAheadLog.open({
    disk,
    directory: walDirectory,
    clock: options.clock,
    random: new CryptoRandom(),
    onFatal: options.onFatal,
  });
  closers.add("the write-ahead log", () => wal.close());
  const engines = { local: localEngine(wal) };
  const log = await openVirtualLog({ metadata, key: chainKey, engines, initialEngine: "local" });
  closers.add("the log", () => log.close());
  return { log, metadata };
}
