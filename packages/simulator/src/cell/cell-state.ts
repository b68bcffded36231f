/** What a node of a cell was doing when a fault met it: the columns of the coverage table. */
import type { CoreView } from "@quipu/consensus";
import { CoverageTable } from "../coverage.ts";

/** A node is in several of these at once. */
export type CellState =
  | "down"
  | "starting"
  | "leader"
  | "follower"
  | "candidate"
  | "learner"
  | "in a joint configuration"
  | "between persist and send"
  | "between persist and send in a joint configuration"
  | "installing a snapshot"
  | "checkpointing"
  | "stopping"
  | "healing";

const columns: readonly CellState[] = [
  "down",
  "starting",
  "leader",
  "follower",
  "candidate",
  "learner",
  "in a joint configuration",
  "between persist and send",
  "between persist and send in a joint configuration",
  "installing a snapshot",
  "checkpointing",
  "stopping",
  "healing",
];

export class CellCoverage extends CoverageTable<CellState> {
  constructor() {
    super(columns);
  }
}

/** Of one group on one member. */
export function statesOf(view: CoreView, isHardStateDurable: boolean): readonly CellState[] {
  const { role, configuration, member, last, persisted } = view;
  const states: CellState[] = [];
  const isVoter = configuration.voters.includes(member) || configuration.outgoing.includes(member);
  if (!isVoter) states.push("learner");
  else if (role === "preCandidate") states.push("candidate");
  else states.push(role);
  const isJoint = configuration.outgoing.length > 0;
  const isPersisting = persisted < last || !isHardStateDurable;
  if (isJoint) states.push("in a joint configuration");
  if (isPersisting) states.push("between persist and send");
  if (isJoint && isPersisting) states.push("between persist and send in a joint configuration");
  return states;
}
