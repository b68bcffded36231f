/** Raft under the shell: a log without holes, members that change. */
import { type Entry, type LogIndex, Raft, type RaftMessage } from "@quipu/consensus";
import type { CoreAdapter } from "./core-adapter.ts";
import { DenseLayout } from "./log-layout.ts";
import { raftSettings } from "./settings.ts";

export const raftAdapter: CoreAdapter<RaftMessage> = {
  engine: "raft",
  membersChange: true,
  hasHoles: false,
  makeCore: (member, random, settings, restored, { raft }) =>
    new Raft({
      member,
      random,
      settings: raftSettings(settings),
      restored,
      ...(raft !== undefined && { mutation: raft }),
    }),
  layoutOf: (restored, keepsHardState) => new DenseLayout(restored, keepsHardState),
  messageBytesMax: (settings) => raftSettings(settings).messageBytesMax,
  toPeer: (group, message) => ({ type: "raft", group, message }),
  fromPeer: (message) => (message.type === "raft" ? message.message : undefined),
  dataBytes: (message) => (message.type === "appendEntries" ? recordBytes(message.entries) : 0),
  commitSaid: (message): LogIndex | undefined => (message.type === "appendEntries" ? message.commit : undefined),
  saysOnlyCommit: (message) => message.type === "appendEntries" && message.entries.length === 0,
};

export function recordBytes(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) if (entry.kind === "record") bytes += entry.data.length;
  return bytes;
}
