/** Deliberate bugs of a cell: what several test files share of demanding that each is caught. */
import { expect, test } from "vitest";
import { cellMutationCases, runCellMutation } from "../src/mod.ts";

/** Several times what each needs (docs/testing.md). */
const seedsMax = 150;
/** A rare one under a loaded machine. */
const timeoutMs = 240_000;
const files = 2;

/** Every second case, from `file` (0 or 1) on. */
export function cellMutationTests(file: number): void {
  const cases = cellMutationCases.filter((_, i) => i % files === file);
  test.each(cases)(
    "$name is caught",
    async (mutation) => {
      const { caughtBy, message } = await runCellMutation(mutation, seedsMax);
      expect(caughtBy, message).toBeDefined();
    },
    timeoutMs,
  );

  test(
    "without a mutation the same settings hold",
    async () => {
      for (const { name, swarm } of cases) {
        const { caughtBy, message } = await runCellMutation({ name, swarm, mutations: {} }, 1);
        expect(caughtBy, `${name}: ${message}`).toBeUndefined();
      }
    },
    timeoutMs,
  );
}
