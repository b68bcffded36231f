/** Effects, messages, entries in a line each, for traces that people read. Ballots as `round.ordinal`. */
import type { CoreView, Entry, PaxosMessage, Term } from "@quipu/consensus";
import { ordinalsMax, roundOf } from "../../src/multi-paxos/ballot.ts";
import type { Flight, PaxosEffect, Persist } from "./cell.ts";

const decoder = new TextDecoder();

/** `3.1`: round 3, the second voter. Priorities are left out. */
export function describeBallot(ballot: Term): string {
  return ballot === 0 ? "0" : `${roundOf(ballot)}.${ballot % ordinalsMax}`;
}

export function describeContent(entry: Entry): string {
  return entry.kind === "record" ? decoder.decode(entry.data) : `<${entry.kind}>`;
}

/** `3/2.1 x`: slot, ballot, content. */
export function describeEntry(entry: Entry): string {
  return `${entry.index}/${describeBallot(entry.term)} ${describeContent(entry)}`;
}

function describeEntries(entries: readonly Entry[]): string {
  return `[${entries.map(describeEntry).join(", ")}]`;
}

export function describeMessage(message: PaxosMessage): string {
  const barrier = "barrier" in message && message.barrier > 0 ? ` barrier ${message.barrier}` : "";
  const at = "ballot" in message ? `b${describeBallot(message.ballot)}` : "";
  switch (message.type) {
    case "prepare":
      return `prepare ${at} from ${message.from}`;
    case "promised": {
      const { ballot, freeFrom } = message.accepted;
      const accepted = ballot === 0 ? "" : ` accepted b${describeBallot(ballot)} free from ${freeFrom}`;
      const trimmed = message.start >= message.from ? ` trimmed up to ${message.start}` : "";
      return `promised ${at} ${message.from}..${message.through} of ${message.last} chosen ${message.chosen}${accepted}${trimmed} ${describeEntries(message.entries)}`;
    }
    case "accept":
      return `accept ${at} free from ${message.freeFrom} ${describeEntries(message.entries)} chosen ${message.chosen}${barrier}`;
    case "accepted":
      return `accepted ${at} ${message.first}..${message.last} match ${message.match}${barrier}`;
    case "rejected":
      return `rejected ${at} promised b${describeBallot(message.promised)}`;
    case "chosen":
      return `chosen ${at} ${message.chosen}`;
    case "paxosHeartbeat":
      return `heartbeat ${at} chosen ${message.chosen}${barrier}`;
    case "paxosHeartbeatReply":
      return `heartbeat-reply ${at} match ${message.match} received ${message.received}${barrier}`;
    case "paxosSnapshotNeeded":
      return `snapshot-needed ${at} at least ${message.atLeast}${barrier}`;
    case "takeOver":
      return `take-over ${at}`;
    case "electionRequest":
      return `election?`;
    case "electionReply": {
      const mood = message.happy ? "happy" : "unhappy";
      return `election ${at} leader b${describeBallot(message.leader)} ${mood}`;
    }
    default:
      return message satisfies never;
  }
}

export function describeFlight(flight: Flight): string {
  return `${flight.from}->${flight.to} ${describeMessage(flight.message)}`;
}

/** What becomes durable together. What is sent after it shows when it is sent. */
export function describePersist(persist: Persist): string {
  const { hardState, restart, trim, truncateFrom, append, sendAfter } = persist;
  const accepted = hardState?.accepted;
  return [
    hardState === undefined ? "" : ` promise b${describeBallot(hardState.term)}`,
    accepted === undefined ? "" : ` accepted b${describeBallot(accepted.ballot)} free from ${accepted.freeFrom}`,
    restart === undefined ? "" : ` restart ${restart.index}`,
    trim === undefined ? "" : ` trim ${trim.index}`,
    truncateFrom === undefined ? "" : ` from ${truncateFrom}`,
    append.length === 0 ? "" : ` ${describeEntries(append)}`,
    sendAfter.length === 0 ? "" : `; then ${sendAfter.map((envelope) => `->${envelope.to}`).join(" ")}`,
  ].join("");
}

/** All but sends, which show as messages. */
export function describeEffect(effect: Exclude<PaxosEffect, { readonly type: "send" }>): string {
  switch (effect.type) {
    case "persist":
      return `persist #${effect.token}${describePersist(effect)}`;
    case "commit":
      return `commit ${effect.upTo}`;
    case "proposed":
      return `request ${effect.request}: proposed ${effect.first}..${effect.last} b${describeBallot(effect.term)}`;
    case "barrierReady":
      return `request ${effect.request}: barrier ready at ${effect.index}`;
    case "reply":
      return `request ${effect.request}: ${effect.reason}, leader ${effect.leader ?? "none"}`;
    case "needSnapshot":
      return `needs a snapshot from ${effect.from}, at least ${effect.atLeast}`;
    case "role":
      return `${effect.role} b${describeBallot(effect.term)}, leader ${effect.leader ?? "none"}`;
    case "configuration":
      return `configuration at ${effect.index}`;
    default:
      return effect satisfies never;
  }
}

export function describeView(view: CoreView): string {
  const sealed = view.sealedAt === undefined ? "" : `; sealed at ${view.sealedAt}`;
  return [
    `${view.member} ${view.role} b${describeBallot(view.term)} leader ${view.leader ?? "none"}`,
    `slots ${view.start.index}..${view.last}`,
    `chosen ${view.committed} delivered ${view.delivered} persisted ${view.persisted}${sealed}`,
  ].join("; ");
}
