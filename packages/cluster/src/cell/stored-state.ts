/**
 * A state store that is brought up to the end of a log which ends here, so that another log may begin above it: what
 * adoption and recovery have in common.
 */
import { logIndex, type MemberId } from "@quipu/consensus";
import { type Clock, type KeyValueStore, lsn, type Lsn } from "@quipu/core";
import type { CounterMachine } from "@quipu/counters";
import { encodeLogWords, foundingStart, type VirtualLog } from "@quipu/log";
import { encodeLogStart } from "@quipu/protocol";
import { Checkpointer } from "../checkpointer.ts";
import { firstSegmentOf } from "./group-numbers.ts";
import { putLogStart } from "../snapshot/log-start.ts";

export interface StoredStateOptions {
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly onFatal: (error: unknown) => void;
  /** With everything applied that is to be in the store. */
  readonly machine: CounterMachine;
  /** Where the state in the store stood before. */
  readonly storedUpTo: Lsn;
  /** The only founder of the cell whose log begins here. */
  readonly founder: MemberId;
}

/**
 * The state at the machine's position, and how a log of one founder goes on above it: durable when it resolves. The old
 * log is left as it is: should anything go wrong before the store is known to be whole, it is still there.
 */
export async function storeState(options: StoredStateOptions): Promise<void> {
  const { store, clock, onFatal, machine, storedUpTo, founder } = options;
  const log: Pick<VirtualLog, "trim"> = { trim: () => Promise.resolve() };
  const trimLimit = (): number => 0;
  await new Checkpointer({ store, machine, log, clock, onFatal, storedUpTo, trimLimit }).checkpoint();
  const last = machine.appliedLsn;
  const start = encodeLogStart(foundingStart([founder], logIndex(last)));
  const segment = firstSegmentOf([founder], last, "raft");
  const words = last === lsn(0) ? undefined : encodeLogWords({ ...segment, words: start });
  const batch = store.batch();
  putLogStart(batch, founder, words);
  await batch.write({ sync: true });
}
