/** Replica: batches commands into records, appends, applies, answers; checkpoints. On a cell also: snapshots, shards. */
export type { AgreementStatus, DivergenceReport } from "./agreement/agreement.ts";
export type { Caller, ReplicaDoor } from "./caller.ts";
export {
  Checkpointer,
  type CheckpointerOptions,
  type CheckpointSettings,
  defaultCheckpointSettings,
  type StoredState,
} from "./checkpointer.ts";
export { defaultReplicaLimits, type ReplicaLimits } from "./limits.ts";
export { isTemporary } from "./log-errors.ts";
export { LogClock } from "./log-clock.ts";
export type {
  CellMutation,
  MetadataMutation,
  CheckpointerMutation,
  FoundingMutation,
  ReplicaMutation,
  ShardMutation,
} from "./mutation.ts";
export { Replica, type ReplicaOptions } from "./replica.ts";
export { ShardDoor } from "./shard-door.ts";
export { Shard, type ShardOptions, type ShardPhase, type ShardStatus } from "./shard.ts";
export { isSameSnapshot, SnapshotBuilder, SnapshotBytes, SnapshotReader } from "./snapshot/format.ts";
export { type FetchedSnapshot, SnapshotFetcher } from "./snapshot/fetcher.ts";
export { installSnapshot, loadSnapshot, tellLogStart } from "./snapshot/install.ts";
export { defaultSnapshotSettings, type SnapshotLink, type SnapshotSettings } from "./snapshot/settings.ts";
export { type OfferedSnapshot, SnapshotSource } from "./snapshot/source.ts";
export { loadLogStart, putLogStart, type StoredLogStart } from "./snapshot/log-start.ts";
export { loadMachine } from "./state-store.ts";
export type { WriterIdentity } from "./submitter.ts";
export {
  CellNode,
  type CellMutations,
  type CellNodeOptions,
  type CellNodeSettings,
  type CellNodeStatus,
  type CellView,
} from "./cell/cell-node.ts";
export { isCellEngine } from "./cell/group-numbers.ts";
export type { CellIdentity } from "./cell/identity.ts";
export { mayRefetch } from "./cell/only-voter.ts";
export { type CellBootstrap, cellMetadataDirectory } from "./cell/node-log.ts";
export { cellWalDirectory } from "./cell/node-wal.ts";
export { type CellMembership, prepareCell, type PrepareCellOptions } from "./cell/founding/prepare.ts";
export { FoundingResponder, type FoundingResponderOptions } from "./cell/founding/responder.ts";
export type { FoundingLink, FoundingMessage, Proposal, Standing } from "./cell/founding/messages.ts";
export { recoverCell, type RecoverCellOptions, type RecoveryReport } from "./cell/recovery.ts";
export { cellIdentityOf, requireFront, requireSingle } from "./cell/founding/directory.ts";
export { describeFront, type FrontHome, type FrontIdentity, loadFront, requireHome } from "./front/directory.ts";
export { FrontKeeper } from "./front/front-keeper.ts";
export { FrontNode, type FrontNodeOptions, type FrontNodeSettings } from "./front/front-node.ts";
export { defaultPublisherSettings, type PublisherSettings, SnapshotPublisher } from "./snapshot/publisher.ts";
export { makeSnapshot, type MakeSnapshotOptions } from "./snapshot/make.ts";
export { SnapshotRepository } from "./snapshot/repository.ts";
