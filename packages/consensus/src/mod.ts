/** Consensus cores without I/O: the contract, quantities, Raft. */
export type * from "./contract.ts";
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
export type * from "./raft/messages.ts";
