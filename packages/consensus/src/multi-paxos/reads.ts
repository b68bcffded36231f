/**
 * Linearizable reads: the leader proves that after the request came a quorum had still promised nothing higher, one that
 * every phase-1 quorum meets, so that no other leader can have chosen anything by then.
 */
import type { RequestId } from "../contract.ts";
import { reachedBy } from "../quorum.ts";
import { broadcastBarrier } from "./replication.ts";
import type { Leader } from "./role.ts";
import type { PaxosState } from "./state.ts";

export function readBarrier(state: PaxosState, leader: Leader, request: RequestId): void {
  if (leader.reads.waiting >= state.settings.barriersWaitingMax) {
    state.refuse(request, "overloaded");
    return;
  }
  if (state.mutation === "barrier-without-quorum") {
    state.outbox.push({ type: "barrierReady", request, index: state.log.committed });
    return;
  }
  leader.reads.add(request);
  if (!leader.reads.asks) askBarrier(state, leader);
}

/** Asks on behalf of all that gathered, once everything that phase 1 recovered is chosen: some of it may be long since. */
export function askBarrier(state: PaxosState, leader: Leader): void {
  const { log, mutation } = state;
  const isRecovered = log.committed >= leader.recoveredUpTo || log.sealedAt !== undefined;
  if (!leader.reads.gathers || !(isRecovered || mutation === "read-before-recovered")) return;
  leader.reads.ask(log.committed, mutation === "barrier-reused");
  // A single voter is its own quorum: nobody else could lead.
  confirmBarriers(state, leader);
  if (leader.reads.asks) broadcastBarrier(state, leader);
}

/** Answers what a quorum has echoed; then the next batch may ask. */
export function confirmBarriers(state: PaxosState, leader: Leader): void {
  if (!leader.reads.asks) return;
  const number = reachedBy(state.voters, state.quorums.phase2, (member) =>
    member === state.member ? leader.reads.number : (leader.progress.get(member)?.barrier ?? 0),
  );
  for (;;) {
    const confirmed = leader.reads.takeConfirmed(number);
    if (confirmed === undefined) break;
    for (const request of confirmed.requests) {
      state.outbox.push({ type: "barrierReady", request, index: confirmed.index });
    }
  }
  if (!leader.reads.asks) askBarrier(state, leader);
}
