/** What can be set on a Raft core: times in ticks, and the limits of everything that could grow. */
import { invariant } from "@quipu/core";

export interface RaftSettings {
  /**
   * A member that hears nothing for [n, 2n) ticks, drawn anew each time, campaigns (Raft §5.2). Also how long a leader
   * goes without a quorum before it steps down, and how long a transfer of leadership may take.
   */
  readonly electionTicks: number;
  /** Between heartbeats; several must fit into an election timeout, so that one lost heartbeat is no election. */
  readonly heartbeatTicks: number;
  readonly messageEntriesMax: number;
  /** A message holds at least one entry, however large. */
  readonly messageBytesMax: number;
  /** AppendEntries on their way to one member, not yet answered. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Proposals beyond this are refused as `overloaded`; one alone is always taken, however large. */
  readonly uncommittedBytesMax: number;
  /**
   * The whole retained log is in memory: beyond this, proposals are refused until it is trimmed. A follower, which may
   * trim later than its leader, takes nothing more beyond twice as much.
   */
  readonly retainedBytesMax: number;
  /** How far a new voter may be behind; further, it would stop commits while it catches up (thesis §4.2.1). */
  readonly promotionLagEntriesMax: number;
  /** Read barriers that wait for a quorum. */
  readonly barriersWaitingMax: number;
}

export const defaultRaftSettings: RaftSettings = {
  electionTicks: 10,
  heartbeatTicks: 1,
  messageEntriesMax: 4096, // Keeps one message's work well under a millisecond.
  messageBytesMax: 1024 * 1024, // Large enough to fill a link, small enough not to hold heartbeats up behind it.
  inflightMessagesMax: 64, // Hides a round trip of 64 messages' time; more only fills buffers.
  inflightBytesMax: 8 * 1024 * 1024, // Per member; bounds what a member that stopped reading costs.
  uncommittedBytesMax: 32 * 1024 * 1024, // Without a quorum nothing commits: what piles up meanwhile is bounded.
  retainedBytesMax: 256 * 1024 * 1024, // As much as a member may pin of the write-ahead log (DESIGN §4.3).
  promotionLagEntriesMax: 4096, // One message.
  barriersWaitingMax: 65_536, // The engine above asks once for many readers; more is a runaway caller.
};

export function checkSettings(settings: RaftSettings): void {
  for (const [name, value] of Object.entries(settings)) {
    invariant(Number.isSafeInteger(value) && value >= 1, `Raft setting ${name} is ${value}`);
  }
  invariant(
    settings.heartbeatTicks < settings.electionTicks,
    `heartbeat ${settings.heartbeatTicks} ticks, election ${settings.electionTicks}`,
  );
}
