/** Limits and intervals of consensus groups, each with its reason. Time is in ticks but for the tick itself. */
import {
  defaultMultiPaxosSettings,
  defaultRaftSettings,
  type MemberId,
  type MultiPaxosSettings,
  type RaftSettings,
} from "@quipu/consensus";
import { invariant } from "@quipu/core";
import { groupStateBytesMax } from "@quipu/protocol";

export interface GroupSettings {
  /** The core's unit of time: its settings count elections and heartbeats in it. */
  readonly tickMs: number;
  /** A tick that comes later than this after the last one was no tick: the process did not run. */
  readonly pauseMs: number;
  /** Of one append: it is one Forward, one AppendEntries, one frame of the write-ahead log. */
  readonly appendBytesMax: number;
  /** Appends (and seals) of this member without an outcome. */
  readonly appendsMax: number;
  readonly appendsBytesMax: number;
  /** An append that has no outcome by then gets one: unknown, or OVERLOADED if it never left. */
  readonly appendDeadlineTicks: number;
  /** Forwards of one stream without a reply. The leader remembers as many replies for each stream. */
  readonly forwardWindow: number;
  /** Forwards that nobody answered are sent again. */
  readonly forwardRetryTicks: number;
  /** Of what goes out again within one tick; one forward goes in any case. */
  readonly forwardRetryBytesMax: number;
  /** Of one stream: what may be without a reply, and so what may come to the leader before the ones below it. */
  readonly forwardEarlyBytesMax: number;
  /** Members whose streams a leader follows. */
  readonly forwardSendersMax: number;
  /** Callers of `tail()` that wait. */
  readonly tailsMax: number;
  readonly tailDeadlineTicks: number;
  /** Barriers under way; who comes later waits for the next one. */
  readonly barriersMax: number;
  readonly barrierRetryTicks: number;
  /** Barriers that a leader has under way for other members. */
  readonly peerBarriersMax: number;
  /** How much log a leader keeps for a member that is behind; beyond it, that member gets a snapshot (DESIGN §4.3). */
  readonly followerPinBytesMax: number;
  /** How often a member repeats to the others how far its snapshots reach. */
  readonly checkpointRepeatTicks: number;
  /** A write that the write-ahead log refused is tried again. */
  readonly persistRetryTicks: number;
  /** What waits for the write under way goes together into the next one, up to this. */
  readonly persistBytesMax: number;
  /** Persists that wait; beyond, those that are only messages for when the disk has caught up are lost. */
  readonly persistsWaitingMax: number;
  /** A log up to this size that keeps an old segment is written again in the newest one. */
  readonly rewriteBytesMax: number;
  /** Inputs that wait while effects are carried out; messages beyond are dropped, as a network may. */
  readonly waitingInputsMax: number;
  /** A reader that catches up is given this much at once. */
  readonly readBytesMax: number;
  /** Who was heard of within this time is alive. */
  readonly aliveTicks: number;
  /** How often a member that is in no configuration asks to be let in. */
  readonly joinTicks: number;
  /** A learner that is behind by at most this many entries becomes a voter. */
  readonly promoteLagMax: number;
  /** Learners are not promoted beyond this many voters. */
  readonly votersMax: number;
  /** A member of a node that has none in the configuration becomes a learner when it asks. */
  readonly admitNewNodes: boolean;
  /** Who may be let in at all, by node number: what stands above the log may know who belongs to the cell. */
  readonly admits: (node: number, group: number) => boolean;
  /** Members that the leader takes out of the group, because they are out of the cell. */
  readonly expels: (member: MemberId, group: number) => boolean;
  readonly promoteLearners: boolean;
  /** A change of members that is not through by then ends as unknown. */
  readonly changeDeadlineTicks: number;
  /** A new group is announced again to the others of its members. */
  readonly announceTicks: number;
  /** A new group that has no leader by then is given up. */
  readonly prepareDeadlineTicks: number;
  /** Of Raft; and of Multi-Paxos, where it has a setting of the same name. */
  readonly core: Partial<RaftSettings>;
  /** Of Multi-Paxos alone. */
  readonly multiPaxosCore: Partial<MultiPaxosSettings>;
}

const mebibyte = 1024 * 1024;

export const groupSettings: GroupSettings = {
  // With elections of ten ticks and more: 0.5 s and more, below which a collection of garbage looks like a death.
  tickMs: 50,
  // Ten ticks in vain are an election; half of that is no accident of the timer.
  pauseMs: 250,
  // Half of the write-ahead log's largest frame, so that two fit, and a third of the largest peer frame.
  appendBytesMax: 4 * mebibyte,
  // A replica has some 64 records under way, and several shards may share a member.
  appendsMax: 4096,
  // A second of a fast network.
  appendsBytesMax: 64 * mebibyte,
  // 10 s: several elections one after another.
  appendDeadlineTicks: 200,
  // A round trip of 1 ms at 64,000 appends in a second.
  forwardWindow: 64,
  // 0.2 s: far above a round trip, far below an election.
  forwardRetryTicks: 4,
  // 5 MB/s: a link on which large forwards take longer than the retry must not be filled with repeats of them.
  forwardRetryBytesMax: 256 * 1024,
  // Two appends of the largest size.
  forwardEarlyBytesMax: 8 * mebibyte,
  // Twice as many as a configuration holds.
  forwardSendersMax: 64,
  // One for each connection that waits for a read.
  tailsMax: 16_384,
  // 10 s, as for appends.
  tailDeadlineTicks: 200,
  // More would serve nobody sooner: a round trip divided by four is the longest wait for the next.
  barriersMax: 4,
  barrierRetryTicks: 4,
  // Four for each of many members.
  peerBarriersMax: 256,
  // Half of what the core keeps in memory: the other half is for what comes between two checkpoints.
  followerPinBytesMax: 128 * mebibyte,
  // 1 s.
  checkpointRepeatTicks: 20,
  persistRetryTicks: 2,
  persistBytesMax: 4 * mebibyte,
  // More than all messages in flight from a leader.
  persistsWaitingMax: 1024,
  // 10 ms of a disk, once per segment.
  rewriteBytesMax: mebibyte,
  waitingInputsMax: 4096,
  readBytesMax: mebibyte,
  // 2 s: some elections and a pause.
  aliveTicks: 40,
  // 1 s.
  joinTicks: 20,
  // Less than what a group commits in a heartbeat.
  promoteLagMax: 1024,
  // More voters survive no more failures that come one by one, and cost each append.
  votersMax: 7,
  admitNewNodes: true,
  admits: () => true,
  expels: () => false,
  promoteLearners: true,
  // 20 s: a joint configuration needs two commits and may see elections between.
  changeDeadlineTicks: 400,
  // 0.2 s: far above a round trip, below an election.
  announceTicks: 4,
  // 10 s: several elections one after another.
  prepareDeadlineTicks: 200,
  core: {},
  multiPaxosCore: {},
};

type CoreSettings = Pick<GroupSettings, "core" | "multiPaxosCore">;

export function raftSettings({ core }: CoreSettings): RaftSettings {
  return { ...defaultRaftSettings, ...core };
}

export function multiPaxosSettings({ core, multiPaxosCore }: CoreSettings): MultiPaxosSettings {
  const common = Object.entries(core).filter(([name]) => name in defaultMultiPaxosSettings);
  return { ...defaultMultiPaxosSettings, ...Object.fromEntries(common), ...multiPaxosCore };
}

/** Of a write beside its entries: the group's state, its headers, and what fills the last sector. */
const writeOverheadBytes = groupStateBytesMax + 1024;

/**
 * Settings that contradict each other, or the write-ahead log, are a bug of whoever made them. What a group takes, be it from
 * a caller or from a leader, it has to be able to write in one frame: else it would try for ever.
 */
export function checkedSettings(given: Partial<GroupSettings> | undefined, frameBytesMax: number): GroupSettings {
  const settings = { ...groupSettings, ...given };
  const { followerPinBytesMax, appendBytesMax, appendsBytesMax, persistBytesMax } = settings;
  const cores = [raftSettings(settings), multiPaxosSettings(settings)];
  for (const { retainedBytesMax } of cores) {
    invariant(followerPinBytesMax < retainedBytesMax, `followers pin ${followerPinBytesMax} of ${retainedBytesMax}`);
  }
  invariant(appendBytesMax <= appendsBytesMax, `an append of ${appendBytesMax} among ${appendsBytesMax}`);
  const messages = cores.map(({ messageBytesMax }) => ["messageBytesMax", messageBytesMax] as const);
  for (const [name, bytes] of [...Object.entries({ appendBytesMax, persistBytesMax }), ...messages]) {
    const needed = bytes + writeOverheadBytes;
    invariant(needed <= frameBytesMax, `${name} ${bytes} needs frames of ${needed}, the log's are ${frameBytesMax}`);
  }
  return settings;
}
