/** Deliberate bugs: the simulator must catch every one within few seeds, or its other results mean little. */
import { expect, test } from "vitest";
import { mutationCases, runMutation } from "../src/mod.ts";

/** Several times what each needs (docs/testing.md). */
const seedsMax = 60;

test.each(mutationCases)("$name is caught", async (mutation) => {
  const { caughtBy, message } = await runMutation(mutation, seedsMax);
  expect(caughtBy, message).toBeDefined();
});

test("without a mutation the same settings hold", async () => {
  const seedsEach = 2;
  for (const { name, swarm } of mutationCases) {
    const { caughtBy, message } = await runMutation({ name, swarm, mutations: {} }, seedsEach);
    expect(caughtBy, `${name}: ${message}`).toBeUndefined();
  }
});
