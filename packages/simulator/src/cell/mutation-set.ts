/** Every deliberate bug of a cell, wherever it lives. */
import type { CounterMutation } from "@quipu/counters";
import type { CheckpointerMutation, ReplicaMutation } from "@quipu/cluster";
import type { LogMutation } from "@quipu/log";

export interface CellMutationSet {
  readonly counters?: CounterMutation;
  readonly log?: LogMutation;
  readonly replica?: ReplicaMutation;
  readonly checkpointer?: CheckpointerMutation;
}
