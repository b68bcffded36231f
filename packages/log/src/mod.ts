/** Write-ahead log, loglet contract, VirtualLog, engines memory and local. */
export type {
  Appended,
  Chain,
  ChainSegment,
  LogDelivery,
  Loglet,
  LogletEngine,
  MetadataStore,
  Subscription,
  Tail,
  VirtualLog,
} from "./loglet.ts";
export { localEngine } from "./engines/local.ts";
export { memoryEngine } from "./engines/memory.ts";
export { type WriteAheadLogLimits, writeAheadLogLimits, type WriteAheadLogOptions } from "./write-ahead-log/options.ts";
export type { GroupWrite } from "./write-ahead-log/group-write.ts";
export { type Completion, WriteAheadLog } from "./write-ahead-log/write-ahead-log.ts";
export { fileMetadataStore } from "./metadata/file-metadata-store.ts";
export { memoryMetadataStore } from "./metadata/memory-metadata-store.ts";
export { openVirtualLog, type VirtualLogOptions } from "./virtual-log/virtual-log.ts";
export type { LogMutation } from "./write-ahead-log/mutation.ts";
