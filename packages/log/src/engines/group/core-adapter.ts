/** What the shell has to know of a consensus core beside the contract, and what only one of the cores has. */
import type {
  ConsensusCore,
  LogIndex,
  MemberId,
  MultiPaxosMutation,
  PaxosMessage,
  RaftMessage,
  RestoredState,
} from "@quipu/consensus";
import type { Random } from "@quipu/core";
import type { GroupEngine, PaxosPeerMessage, RaftPeerMessage } from "@quipu/protocol";
import type { RaftMutation } from "@quipu/consensus";
import type { LogLayout } from "./log-layout.ts";
import type { RestoredGroup } from "./restore.ts";
import type { GroupSettings } from "./settings.ts";

export type CoreMessage = RaftMessage | PaxosMessage;
export type CorePeerMessage = RaftPeerMessage | PaxosPeerMessage;

export interface CoreMutations {
  readonly raft: RaftMutation | undefined;
  readonly multiPaxos: MultiPaxosMutation | undefined;
}

export interface CoreAdapter<Message extends CoreMessage> {
  readonly engine: GroupEngine;
  /** Learners, joining, promotion, changes of the voters; else its members are those of its founding. */
  readonly membersChange: boolean;
  /** Slots of its log may be empty beyond what is committed. */
  readonly hasHoles: boolean;
  makeCore(
    member: MemberId,
    random: Random,
    settings: GroupSettings,
    restored: RestoredState,
    mutations: CoreMutations,
  ): ConsensusCore<Message>;
  /** How its log lies in the write-ahead log. */
  layoutOf(restored: RestoredGroup, keepsHardState: boolean): LogLayout;
  /** No leader sends more entries at once, by the size of their records, unless it is a single append. */
  messageBytesMax(settings: GroupSettings): number;
  toPeer(group: number, message: Message): CorePeerMessage;
  /** Undefined: it is of another core. */
  fromPeer(message: CorePeerMessage): Message | undefined;
  /** Size of the records in it. */
  dataBytes(message: Message): number;
  /** The commit position that it tells; undefined: it is about something else. */
  commitSaid(message: Message): LogIndex | undefined;
  /** It tells a commit position, and nothing else. */
  saysOnlyCommit(message: Message): boolean;
}
