/** Write-ahead log, loglet contract, VirtualLog, engines memory and local. */
export type {
  Appended,
  Chain,
  ChainSegment,
  LogDelivery,
  Loglet,
  LogletEngine,
  LogletName,
  LogReplication,
  MetadataStore,
  Register,
  Subscription,
  Tail,
  VirtualLog,
} from "./loglet.ts";
export { localEngine } from "./engines/local.ts";
export { memoryEngine } from "./engines/memory.ts";
export { type WriteAheadLogLimits, writeAheadLogLimits, type WriteAheadLogOptions } from "./write-ahead-log/options.ts";
export type { GroupWrite } from "./write-ahead-log/group-write.ts";
export { type Completion, WriteAheadLog } from "./write-ahead-log/write-ahead-log.ts";
export { damagedLogsMax, setAside } from "./write-ahead-log/set-aside.ts";
export { fileMetadataStore } from "./metadata/file-metadata-store.ts";
export { memoryMetadataStore } from "./metadata/memory-metadata-store.ts";
export { decodeChain } from "./virtual-log/chain.ts";
export type { ChainMembers } from "./virtual-log/chain-replication.ts";
export { decodeLogWords, encodeLogWords } from "./virtual-log/log-words.ts";
export type { VirtualLogMutation } from "./virtual-log/mutation.ts";
export { openVirtualLog, type VirtualLogOptions } from "./virtual-log/virtual-log.ts";
export type { LogMutation } from "./write-ahead-log/mutation.ts";
export {
  openPeerHub,
  type PeerHandler,
  type PeerHub,
  type PeerHubOptions,
  type PeerHubStatistics,
  type PeerMessageType,
} from "./peer/peer-hub.ts";
export { groupEngines, type GroupEngines, type GroupEnginesOptions, type NewGroup } from "./engines/group/engine.ts";
export type { ConsensusGroup } from "./engines/group/group.ts";
export type { GroupMutation } from "./engines/group/mutation.ts";
export { decodeGroupParameters, encodeGroupParameters, type GroupParameters } from "./engines/group/parameters.ts";
export { foundingStart, restoreGroup, type RestoredGroup } from "./engines/group/restore.ts";
export { groupSettings, type GroupSettings } from "./engines/group/settings.ts";
export { startTicks, type TickSettings } from "./engines/group/ticks.ts";
export type { BlobStore, ExternalLog, ExternalService, LogHead } from "./engines/external/service.ts";
export { externalEngine, type ExternalEngineOptions } from "./engines/external/engine.ts";
export type { ExternalMutation } from "./engines/external/mutation.ts";
export { type ExternalEngineSettings, externalEngineSettings } from "./engines/external/settings.ts";
