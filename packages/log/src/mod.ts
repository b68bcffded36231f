/** Write-ahead log, loglet contract, VirtualLog, engines memory and local. */
export type {
  Appended,
  Chain,
  ChainSegment,
  LogDelivery,
  Loglet,
  LogletEngine,
  LogReplication,
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
export { damagedLogsMax, setAside } from "./write-ahead-log/set-aside.ts";
export { fileMetadataStore } from "./metadata/file-metadata-store.ts";
export { memoryMetadataStore } from "./metadata/memory-metadata-store.ts";
export { decodeChain } from "./virtual-log/chain.ts";
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
export { raftEngine, type RaftEngine, type RaftEngineOptions } from "./engines/raft/engine.ts";
export type { RaftGroup } from "./engines/raft/group.ts";
export type { RaftEngineMutation } from "./engines/raft/mutation.ts";
export { type Bootstrap, foundingStart, restoreGroup } from "./engines/raft/restore.ts";
export { raftEngineSettings, type RaftEngineSettings } from "./engines/raft/settings.ts";
export { startTicks, type TickSettings } from "./engines/raft/ticks.ts";
export type { BlobStore, ExternalLog, ExternalService, LogHead } from "./engines/external/service.ts";
export { externalEngine, type ExternalEngineOptions } from "./engines/external/engine.ts";
export type { ExternalMutation } from "./engines/external/mutation.ts";
export { type ExternalEngineSettings, externalEngineSettings } from "./engines/external/settings.ts";
