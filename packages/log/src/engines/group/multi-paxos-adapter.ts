/** Multi-Paxos under the shell: slots that are accepted in any order, members that stay. */
import { type LogIndex, MultiPaxos, type PaxosMessage } from "@quipu/consensus";
import type { CoreAdapter } from "./core-adapter.ts";
import { JournalLayout } from "./journal.ts";
import { recordBytes } from "./raft-adapter.ts";
import { multiPaxosSettings } from "./settings.ts";

export const multiPaxosAdapter: CoreAdapter<PaxosMessage> = {
  engine: "multi-paxos",
  membersChange: false,
  hasHoles: true,
  makeCore: (member, random, settings, restored, { multiPaxos }) =>
    new MultiPaxos({
      member,
      random,
      settings: multiPaxosSettings(settings),
      restored,
      ...(multiPaxos !== undefined && { mutation: multiPaxos }),
    }),
  layoutOf: (restored, keepsHardState) => new JournalLayout(restored, keepsHardState),
  messageBytesMax: (settings) => multiPaxosSettings(settings).messageBytesMax,
  toPeer: (group, message) => ({ type: "paxos", group, message }),
  fromPeer: (message) => (message.type === "paxos" ? message.message : undefined),
  dataBytes: (message) => (message.type === "accept" || message.type === "promised" ? recordBytes(message.entries) : 0),
  commitSaid: (message): LogIndex | undefined =>
    message.type === "accept" || message.type === "chosen" ? message.chosen : undefined,
  saysOnlyCommit: (message) => message.type === "chosen",
};
