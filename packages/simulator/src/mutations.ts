/**
 * Deliberate bugs, and whether the simulator sees them: mutation score. Each is run with fresh seeds until one
 * fails; a mutation that survives `seedsMax` of them shows that the simulator has become blind to it.
 */
import type { CheckName } from "./failure.ts";
import type { Mutations } from "./node.ts";
import { Simulation } from "./simulation.ts";
import type { SwarmConfiguration } from "./swarm.ts";

export interface MutationCase {
  readonly name: string;
  readonly mutations: Mutations;
  /** Settings of the swarm without which the bug cannot show, so that no seed is wasted on others. */
  readonly swarm: Partial<SwarmConfiguration>;
}

export interface MutationResult {
  readonly name: string;
  /** The seed that caught it, counted from 1; undefined if none did. */
  readonly seeds: number | undefined;
  readonly caughtBy: CheckName | undefined;
  readonly message: string;
}

const crashes = { incarnationsMax: 8, crashEveryEvents: 200 } as const;
const lossyEngine = { recordsInFlightMax: 4, appendLost: 600, appendAnswerLost: 600, appendZombie: 600 } as const;
const checkpoints = { checkpoints: 2_000, ...crashes } as const;

/** All of them; docs/testing.md has the table. */
export const mutationCases: readonly MutationCase[] = [
  {
    name: "acknowledge-before-sync",
    mutations: { log: "acknowledge-before-sync" },
    swarm: { ...crashes, crashKeeps: "none" },
  },
  {
    name: "torn-tail-rule-in-mid-file",
    mutations: { log: "torn-tail-rule-in-mid-file" },
    swarm: { ...crashes, bitFlipPercent: 50 },
  },
  { name: "fsync-error-retried", mutations: { log: "fsync-error-retried" }, swarm: { ...crashes, syncErrors: 100 } },
  {
    name: "directory-not-synced",
    mutations: { log: "directory-not-synced" },
    swarm: { ...crashes, crashKeeps: "none" },
  },
  {
    name: "position-not-atomic-with-state",
    mutations: { checkpointer: "position-not-atomic-with-state" },
    swarm: { ...checkpoints, crashAtEffect: 400 },
  },
  {
    name: "trim-before-store-sync",
    mutations: { checkpointer: "trim-before-store-sync" },
    swarm: { ...checkpoints, crashAtEffect: 400 },
  },
  { name: "resubmit-with-new-number", mutations: { replica: "resubmit-with-new-number" }, swarm: lossyEngine },
  {
    name: "read-ignores-tail",
    mutations: { replica: "read-ignores-tail" },
    swarm: { peer: true, deliveryDelayUsMax: 5_000 },
  },
  { name: "duplicate-record-applied", mutations: { counters: "duplicate-record-applied" }, swarm: lossyEngine },
  { name: "writer-gap-accepted", mutations: { counters: "writer-gap-accepted" }, swarm: lossyEngine },
  { name: "fold-past-bound", mutations: { counters: "fold-past-bound" }, swarm: {} },
  { name: "bounds-lost-on-set", mutations: { counters: "bounds-lost-on-set" }, swarm: {} },
  { name: "expire-lazily-on-read", mutations: { counters: "expire-lazily-on-read" }, swarm: {} },
  { name: "expired-session-reregistered", mutations: { counters: "expired-session-reregistered" }, swarm: {} },
  { name: "once-entry-not-stored", mutations: { counters: "once-entry-not-stored" }, swarm: {} },
  { name: "snapshot-without-sessions", mutations: { counters: "snapshot-without-sessions" }, swarm: checkpoints },
  { name: "snapshot-without-idempotency", mutations: { counters: "snapshot-without-idempotency" }, swarm: checkpoints },
];

export async function runMutation(
  test: MutationCase,
  seedsMax: number,
  firstSeed: number = 1,
): Promise<MutationResult> {
  for (let seeds = 1; seeds <= seedsMax; seeds++) {
    const { name, mutations, swarm } = test;
    const { failure } = await new Simulation({ seed: firstSeed + seeds - 1, mutations, swarm }).run();
    if (failure !== undefined) return { name, seeds, caughtBy: failure.check, message: failure.message };
  }
  return { name: test.name, seeds: undefined, caughtBy: undefined, message: "survived" };
}

/** A Markdown table: what docs/testing.md shows. */
export function mutationTable(results: readonly MutationResult[]): string {
  const rows = results.map(
    ({ name, seeds, caughtBy }) => `| ${name} | ${seeds ?? "none"} | ${caughtBy ?? "**survived**"} |`,
  );
  return ["| mutation | caught by seed number | check |", "|---|---|---|", ...rows].join("\n");
}
