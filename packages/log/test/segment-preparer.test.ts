/** A full disk while the next segment is prepared: whenever room is made, one preparation at a time. */
import { SeededRandom } from "@quipu/core";
import { SimulatedDisk } from "@quipu/simulator";
import { expect, test } from "vitest";
import { SegmentPreparer } from "../src/write-ahead-log/segment-preparer.ts";

const segmentBytes = 4096;
/** More than the operations of a failed and a good preparation together. */
const stepsMax = 40;

async function microtasks(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

test.each(Array.from({ length: stepsMax }, (_, step) => step))("room is made at step %i", async (roomAt) => {
  const due: (() => void)[] = [];
  const disk = new SimulatedDisk({ random: new SeededRandom(1), complete: (action) => void due.push(action) });
  let refusals = 1;
  disk.fault = ({ type }) => (type === "write" && refusals-- > 0 ? { type: "error", code: "ENOSPC" } : undefined);
  const preparer = new SegmentPreparer(disk, ".", segmentBytes, { monotonicMs: () => 0 }, 1, undefined);
  const failures: unknown[] = [];
  let taken: number | undefined;
  const take = (): void => {
    preparer.take().then(
      (segment) => {
        taken ??= segment?.number;
      },
      (error: unknown) => failures.push(error),
    );
  };
  take();
  for (let step = 0; step < stepsMax; step++) {
    if (step === roomAt) preparer.roomWasMade();
    due.shift()?.();
    await microtasks();
  }
  preparer.roomWasMade();
  take();
  for (let step = 0; step < stepsMax; step++) {
    due.shift()?.();
    await microtasks();
  }
  expect(failures).toEqual([]);
  expect(taken).toBe(1);
});
