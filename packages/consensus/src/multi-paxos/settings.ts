/** What can be set on a Multi-Paxos core: times in ticks, quorums, and the limits of everything that could grow. */
import { invariant } from "@quipu/core";
import { prioritiesMax } from "./ballot.ts";

export interface MultiPaxosSettings {
  /**
   * Two rounds of ballot leader election: a leader that is gone is replaced after one to one and a half times this. Also
   * how long a leader goes without a quorum before it steps down, and how long a transfer of leadership may take.
   */
  readonly electionTicks: number;
  /** Between heartbeats of a leader, and before what was lost is sent again. */
  readonly heartbeatTicks: number;
  /** Of two members that could lead the one with the higher priority wins: 0 .. 7. */
  readonly priority: number;
  /** How many voters promise a leader; 0: a majority. Both quorums together must be more than there are voters. */
  readonly phase1Quorum: number;
  /** How many voters choose a value; 0: a majority. */
  readonly phase2Quorum: number;
  readonly messageEntriesMax: number;
  /** A message holds at least one entry, however large. */
  readonly messageBytesMax: number;
  /** Accepts on their way to one member, not yet answered. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Slots beyond the chosen prefix: more proposals are refused as `overloaded`. One alone is always taken. */
  readonly windowSlotsMax: number;
  /** The same by the size of what stands there. */
  readonly windowBytesMax: number;
  /**
   * The whole retained log is in memory: beyond this, proposals are refused until it is trimmed. An acceptor, which may
   * trim later than its leader, takes nothing more beyond twice as much.
   */
  readonly retainedBytesMax: number;
  /** Read barriers that wait for a quorum. */
  readonly barriersWaitingMax: number;
  /** After how many further slots the chosen prefix is noted on disk, with the next persist: less is found out again. */
  readonly chosenNotedSlots: number;
}

export const defaultMultiPaxosSettings: MultiPaxosSettings = {
  electionTicks: 10,
  heartbeatTicks: 1,
  priority: 0,
  phase1Quorum: 0,
  phase2Quorum: 0,
  messageEntriesMax: 4096, // Keeps one message's work well under a millisecond.
  messageBytesMax: 1024 * 1024, // Large enough to fill a link, small enough not to hold heartbeats up behind it.
  inflightMessagesMax: 64, // Hides a round trip of 64 messages' time; more only fills buffers.
  inflightBytesMax: 8 * 1024 * 1024, // Per member; bounds what a member that stopped reading costs.
  windowSlotsMax: 65_536, // Half a second's records of a fast group; a new leader proposes them all again.
  windowBytesMax: 32 * 1024 * 1024, // Without a quorum nothing is chosen: what piles up meanwhile is bounded.
  retainedBytesMax: 256 * 1024 * 1024, // As much as a member may pin of the write-ahead log (DESIGN §4.3).
  barriersWaitingMax: 65_536, // The engine above asks once for many readers; more is a runaway caller.
  chosenNotedSlots: 1024, // Proposed again in a moment after a restart, while the note costs nothing.
};

const mayBeZero: readonly string[] = ["priority", "phase1Quorum", "phase2Quorum"];

export function checkSettings(settings: MultiPaxosSettings): void {
  for (const [name, value] of Object.entries(settings)) {
    const least = mayBeZero.includes(name) ? 0 : 1;
    invariant(Number.isSafeInteger(value) && value >= least, `Multi-Paxos setting ${name} is ${value}`);
  }
  const { heartbeatTicks, electionTicks, priority } = settings;
  invariant(heartbeatTicks < electionTicks, `heartbeat ${heartbeatTicks} ticks, election ${electionTicks}`);
  invariant(priority < prioritiesMax, `priority ${priority}`);
}
