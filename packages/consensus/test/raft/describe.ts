/** Effects, messages, entries in a line each, for traces that people read. */
import type { Configuration, CoreView, Entry, LogStart, RaftMessage } from "@quipu/consensus";
import type { Flight, Persist, RaftEffect } from "./cell.ts";

const decoder = new TextDecoder();

/** `3/2 x`: index, term, content. */
export function describeEntry(entry: Entry): string {
  return `${entry.index}/${entry.term} ${describeContent(entry)}`;
}

function describeContent(entry: Entry): string {
  switch (entry.kind) {
    case "record":
      return decoder.decode(entry.data);
    case "configuration":
      return describeConfiguration(entry.configuration);
    case "noop":
    case "seal":
      return `<${entry.kind}>`;
    default:
      return entry satisfies never;
  }
}

/** `(1 2 3)`; joint `(1 2 4 from 1 2 3)`; `learners 5`; `then learners 3`. */
export function describeConfiguration(configuration: Configuration): string {
  const { voters, outgoing, learners, learnersNext } = configuration;
  const from = outgoing.length > 0 ? ` from ${outgoing.join(" ")}` : "";
  const learning = learners.length > 0 ? ` learners ${learners.join(" ")}` : "";
  const next = learnersNext.length > 0 ? ` then learners ${learnersNext.join(" ")}` : "";
  return `(${voters.join(" ")}${from}${learning}${next})`;
}

function describeEntries(entries: readonly Entry[]): string {
  return `[${entries.map(describeEntry).join(", ")}]`;
}

function describeStart(start: LogStart): string {
  return `${start.index}/${start.term} ${describeConfiguration(start.configuration)}`;
}

export function describeMessage(message: RaftMessage): string {
  const at = `t${message.term}`;
  switch (message.type) {
    case "appendEntries": {
      const entries = describeEntries(message.entries);
      return `append ${at} after ${message.previousIndex}/${message.previousTerm} ${entries} commit ${message.commit}${barrier(message)}`;
    }
    case "appendAccepted":
      return `accepted ${at} match ${message.match}${barrier(message)}`;
    case "appendRejected":
      return `rejected ${at} at ${message.rejected} hint ${message.hintIndex}/${message.hintTerm}${barrier(message)}`;
    case "heartbeat":
      return `heartbeat ${at} commit ${message.commit}${barrier(message)}`;
    case "heartbeatReply":
      return `heartbeat-reply ${at}${barrier(message)}`;
    case "requestVote": {
      const kind = message.preVote ? "pre-vote?" : "vote?";
      return `${kind} ${at} last ${message.lastIndex}/${message.lastTerm}${message.transfer ? " transfer" : ""}`;
    }
    case "voteReply":
      return `${message.preVote ? "pre-vote" : "vote"} ${message.granted ? "granted" : "refused"} ${at}`;
    case "timeoutNow":
      return `timeout-now ${at}`;
    case "snapshotNeeded":
      return `snapshot-needed ${at} at least ${message.atLeast} commit ${message.commit}${barrier(message)}`;
    default:
      return message satisfies never;
  }
}

/** Only where one was asked for: most traces have none. */
function barrier(message: { readonly barrier: number }): string {
  return message.barrier > 0 ? ` barrier ${message.barrier}` : "";
}

export function describeFlight(flight: Flight): string {
  return `${flight.from}->${flight.to} ${describeMessage(flight.message)}`;
}

/** What becomes durable together. What is sent after it shows when it is sent. */
export function describePersist(persist: Persist): string {
  const { hardState, restart, trim, truncateFrom, append, sendAfter } = persist;
  return [
    hardState === undefined ? "" : ` t${hardState.term} vote ${hardState.vote ?? "none"}`,
    restart === undefined ? "" : ` restart ${describeStart(restart)}`,
    trim === undefined ? "" : ` trim ${describeStart(trim)}`,
    truncateFrom === undefined ? "" : ` from ${truncateFrom}`,
    append.length === 0 ? "" : ` ${describeEntries(append)}`,
    sendAfter.length === 0 ? "" : `; then ${sendAfter.map((envelope) => `->${envelope.to}`).join(" ")}`,
  ].join("");
}

/** All but sends, which show as messages. */
export function describeEffect(effect: Exclude<RaftEffect, { readonly type: "send" }>): string {
  switch (effect.type) {
    case "persist":
      return `persist #${effect.token}${describePersist(effect)}`;
    case "commit":
      return `commit ${effect.upTo}`;
    case "proposed":
      return `request ${effect.request}: proposed ${effect.first}..${effect.last} t${effect.term}`;
    case "barrierReady":
      return `request ${effect.request}: barrier ready at ${effect.index}`;
    case "reply":
      return `request ${effect.request}: ${effect.reason}, leader ${effect.leader ?? "none"}`;
    case "needSnapshot":
      return `needs a snapshot from ${effect.from}, at least ${effect.atLeast}`;
    case "role":
      return `${effect.role} t${effect.term}, leader ${effect.leader ?? "none"}`;
    case "configuration":
      return `configuration ${describeConfiguration(effect.configuration)} at ${effect.index}`;
    default:
      return effect satisfies never;
  }
}

export function describeView(view: CoreView): string {
  const parts = [
    `${view.member} ${view.role} t${view.term} vote ${view.vote ?? "none"} leader ${view.leader ?? "none"}`,
    `log ${view.start.index}/${view.start.term}..${view.last}/${view.lastTerm}`,
    `committed ${view.committed} delivered ${view.delivered} persisted ${view.persisted}`,
    describeConfiguration(view.configuration),
  ];
  if (view.sealedAt !== undefined) parts.push(`sealed at ${view.sealedAt}`);
  return parts.join("; ");
}

export function describeProgress(view: CoreView): string[] {
  return view.progress.map(
    ({ member, state, match, next, active }) =>
      `${view.member} of ${member}: ${state} match ${match} next ${next}${active ? " active" : ""}`,
  );
}
