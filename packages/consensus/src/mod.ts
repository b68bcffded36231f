/** Consensus cores without I/O: the contract, quantities, Raft, Multi-Paxos. */
export {
  emptyConfiguration,
  enterChange,
  foundingConfiguration,
  isJoint,
  isLearner,
  isVoter,
  leaveJoint,
  membersMax,
  membersOf,
  sameConfiguration,
} from "./configuration.ts";
export type * from "./contract.ts";
export type * from "./multi-paxos/messages.ts";
export { MultiPaxos } from "./multi-paxos/multi-paxos.ts";
export type { MultiPaxosMutation } from "./multi-paxos/mutation.ts";
export { defaultMultiPaxosSettings, type MultiPaxosSettings } from "./multi-paxos/settings.ts";
export {
  type Configuration,
  generationMax,
  type LogIndex,
  logIndex,
  type MemberId,
  memberId,
  memberOf,
  nodeNumberMax,
  nodeOf,
  type Term,
  term,
} from "./quantities.ts";
export { isQuorum, quorumIndex, voteOutcome } from "./quorum.ts";
export type * from "./raft/messages.ts";
export type { RaftMutation } from "./raft/mutation.ts";
export { Raft } from "./raft/raft.ts";
export { defaultRaftSettings, type RaftSettings } from "./raft/settings.ts";
