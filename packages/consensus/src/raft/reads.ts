/** Linearizable reads (Raft §8, thesis §6.4): the leader proves that it still was one after the request came. */
import type { RequestId } from "../contract.ts";
import { quorumIndex } from "../quorum.ts";
import { broadcastBarrier } from "./replication.ts";
import type { Leader } from "./role.ts";
import type { RaftState } from "./state.ts";

export function readBarrier(state: RaftState, leader: Leader, request: RequestId): void {
  if (leader.reads.waiting >= state.settings.barriersWaitingMax) {
    state.refuse(request, "overloaded");
    return;
  }
  if (state.mutation === "read-without-quorum") {
    state.outbox.push({ type: "barrierReady", request, index: state.log.committed });
    return;
  }
  leader.reads.add(request);
  if (!leader.reads.asks) askBarrier(state, leader);
}

/** Asks for an echo on behalf of all that gathered, if an entry of the own term is committed: before, the leader may
 * not know yet what is committed (thesis §6.4, step 1). */
export function askBarrier(state: RaftState, leader: Leader): void {
  const early = state.mutation === "read-before-own-term-commit";
  if (!leader.reads.gathers || (state.log.committed < leader.openedAt && !early)) return;
  leader.reads.ask(state.log.committed, state.mutation === "barrier-reused");
  // A single voter is its own quorum: nobody else could have been elected.
  confirmBarriers(state, leader);
  if (leader.reads.asks) broadcastBarrier(state, leader);
}

/** Answers what a quorum has echoed; then the next batch may ask. */
export function confirmBarriers(state: RaftState, leader: Leader): void {
  if (!leader.reads.asks) return;
  const number = quorumIndex(state.quorum, (member) =>
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
