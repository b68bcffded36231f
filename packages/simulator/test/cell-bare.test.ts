/** Raft cores on the simulated network and disks: the invariants hold without mutations, and see those of the core. */
import type { RaftMutation } from "@quipu/consensus";
import { expect, test } from "vitest";
import type { LifeOptions } from "../src/cell/node-under-test.ts";
import { CellSimulation } from "../src/cell/simulation.ts";
import type { CellSwarm } from "../src/cell/swarm.ts";
import { BareNode } from "./bare-node.ts";

/** No clients, and nothing that needs a state store. */
const bareSwarm: Partial<CellSwarm> = { clients: 0, chaosMsMax: 10_000, checkpoints: 0, diskFull: 0, orderlyStops: 0 };

async function failureOf(seed: number, mutation?: RaftMutation): Promise<string | undefined> {
  const { failure } = await new CellSimulation({
    seed,
    makeNode: (options) => new BareNode(options, mutation),
    swarm: bareSwarm,
  }).run();
  return failure?.message;
}

test.each([1, 11, 21])("ten seeds from %i on hold", async (first) => {
  for (let seed = first; seed < first + 10; seed++) expect(await failureOf(seed), `seed ${seed}`).toBeUndefined();
});

/** What needs neither reads nor snapshots to show. */
const mutations: readonly RaftMutation[] = [
  "vote-not-persisted",
  "acknowledge-before-persist",
  "leader-counts-itself-early",
  "commit-old-term-by-counting",
  "truncate-matching-suffix",
  "vote-ignores-log",
  "two-votes-per-term",
  "learner-counted",
];

/** Several times what each needs. */
const seedsMax = 40;

test.each(mutations)("%s is caught", async (mutation) => {
  for (let seed = 1; seed <= seedsMax; seed++) if ((await failureOf(seed, mutation)) !== undefined) return;
  expect.fail(`survived ${seedsMax} seeds`);
});

/** A sealed log takes no change of members: nobody is lost or taken out. */
const sealedSwarm: Partial<CellSwarm> = {
  ...bareSwarm,
  nodes: 3,
  founders: 3,
  wipes: 0,
  memberChanges: 0,
  bitFlipPercent: 0,
  misdirectedWrites: 0,
};

async function sealedFailureOf(seed: number, mutation?: RaftMutation): Promise<string | undefined> {
  const makeNode = (options: LifeOptions): BareNode => new BareNode(options, mutation, true);
  const { failure } = await new CellSimulation({ seed, makeNode, swarm: sealedSwarm }).run();
  return failure?.message;
}

test("a group that is sealed stays so", async () => {
  for (let seed = 1; seed <= 10; seed++) expect(await sealedFailureOf(seed), `seed ${seed}`).toBeUndefined();
});

test("seal-not-final is caught", async () => {
  for (let seed = 1; seed <= seedsMax; seed++) {
    if ((await sealedFailureOf(seed, "seal-not-final")) !== undefined) return;
  }
  expect.fail(`survived ${seedsMax} seeds`);
});
