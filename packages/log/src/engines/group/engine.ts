/**
 * The engines of a cell: loglets that are groups of a consensus core. All groups of a node share its write-ahead log, its
 * peer hub and one timer for their ticks.
 */
import type { Configuration, MemberId, MultiPaxosMutation, RaftMutation } from "@quipu/consensus";
import type { Clock, Random } from "@quipu/core";
import type { GroupEngine } from "@quipu/protocol";
import type { LogletEngine } from "../../loglet.ts";
import type { PeerHub } from "../../peer/peer-hub.ts";
import type { WriteAheadLog } from "../../write-ahead-log/write-ahead-log.ts";
import type { ConsensusGroup, GroupMessage } from "./group.ts";
import type { GroupMutation } from "./mutation.ts";
import { NodeGroups } from "./node-groups.ts";
import { decodeGroupParameters } from "./parameters.ts";
import { Preparations } from "./preparations.ts";
import { checkedSettings, type GroupSettings } from "./settings.ts";
import { startTicks } from "./ticks.ts";

export interface GroupEnginesOptions {
  readonly wal: WriteAheadLog;
  readonly hub: PeerHub;
  readonly clock: Clock;
  readonly random: Random;
  /** Number and founding voters of a new group. The number was never given to another one, in the whole cell. */
  readonly plan: (engine: GroupEngine) => Promise<NewGroup>;
  /** Another node has made this group and counts on this one: false of a number that this node has seen pass. */
  readonly mayMake: (group: number) => boolean;
  /** Awaited before a group of this node, which is on its disk by then, says a word. */
  readonly beforeDriven?: (group: number) => Promise<void>;
  readonly settings?: Partial<GroupSettings>;
  /** Called when a group is broken, or the disk: production ends the process. */
  readonly onFatal: (error: unknown) => void;
  /** Tests only. */
  readonly mutation?: GroupMutation;
  readonly coreMutation?: RaftMutation;
  readonly multiPaxosMutation?: MultiPaxosMutation;
  /** After every step of a core, before its effects are carried out: the simulator's invariants. */
  readonly observe?: (group: number, group_: ConsensusGroup) => void;
  /** The configuration of a group as it is found on disk, and whenever its log has another, committed or not. */
  readonly onConfiguration?: (configuration: Configuration, group: number) => void;
}

export interface NewGroup {
  readonly group: number;
  readonly members: readonly MemberId[];
}

/**
 * `prepare` rejects with NOQUORUM where the group has no leader in time; it is dropped again then, and the same call may
 * succeed later. `open` resolves to undefined where this node keeps no part of the group. Opened twice it is one loglet.
 */
export interface GroupEngines {
  readonly raft: LogletEngine;
  readonly multiPaxos: LogletEngine;
  /** Those that are open, ascending. */
  groups(): readonly ConsensusGroup[];
  /** Numbers of those that this node has a part of, opened or not, ascending. */
  made(): readonly number[];
  /** The group is in no chain any more, or never will be. Idempotent; it must not be opened again. */
  discardGroup(group: number): Promise<void>;
  /** Groups whose logs keep old segments of the write-ahead log are written again: call it when a segment is begun. */
  rewritePinned(): void;
  /** Ticks that were left out, because the process did not run for a while. */
  pauses(): number;
  close(): Promise<void>;
}

const groupMessageTypes = [
  "raft",
  "paxos",
  "forward",
  "forwardReply",
  "barrier",
  "barrierReply",
  "checkpointed",
  "join",
] as const satisfies readonly GroupMessage["type"][];

export function groupEngines(options: GroupEnginesOptions): GroupEngines {
  const { wal, hub, clock } = options;
  const settings = checkedSettings(options.settings, wal.frameBytesMax);
  const groups = new NodeGroups(options, settings);
  const preparations = new Preparations(options, settings, groups);
  for (const type of groupMessageTypes) {
    hub.handle(type, (from, message) => {
      const group = groups.get(message.group);
      if (group === undefined) preparations.onStray(from, message.group);
      else group.receive(from, message);
    });
  }
  const ticks = startTicks(clock, settings, () => {
    for (const group of groups.all()) group.tick();
    preparations.tick();
  });
  const engineOf = (engine: GroupEngine): LogletEngine => ({
    prepare: () => preparations.prepare(engine),
    open: async (parameters) => groups.open(engine, decodeGroupParameters(parameters)),
    discard: async (parameters) => preparations.discard(decodeGroupParameters(parameters)),
  });
  return {
    raft: engineOf("raft"),
    multiPaxos: engineOf("multi-paxos"),
    groups: () => groups.all(),
    made: () => wal.groups(),
    discardGroup: (group) => groups.discard(group),
    rewritePinned(): void {
      for (const group of wal.pinningGroups()) groups.get(group)?.rewrite();
    },
    pauses: () => ticks.pauses(),
    close(): Promise<void> {
      ticks.stop();
      preparations.close();
      groups.close();
      return Promise.resolve();
    },
  };
}
