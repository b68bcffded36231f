/** What a driver makes of heads that come in another order than they were written. */
import { lsn } from "@quipu/core";
import { expect, test } from "vitest";
import { Heads } from "../src/engines/external/heads.ts";
import type { ExternalLog, LogHead } from "../src/mod.ts";

const head = (nextBatch: number, firstBatch: number, sealed = false): LogHead => ({
  nextBatch,
  tail: lsn(nextBatch),
  firstBatch,
  trimmedUpTo: firstBatch - 1,
  sealed,
  token: String(nextBatch),
  wearsOut: false,
});

function heads(first: LogHead, next?: LogHead): { readonly heads: Heads; readonly damages: unknown[] } {
  const damages: unknown[] = [];
  const log = { head: () => Promise.resolve(next) } as unknown as ExternalLog;
  const hooks = { changed: () => undefined, damaged: (error: unknown) => void damages.push(error) };
  return { heads: new Heads(log, "a log", first, hooks), damages };
}

test("an append that was overtaken by a trim, and a trim by an append: of each the later part counts", () => {
  const { heads: known } = heads(head(10, 3));
  known.learn(head(10, 7));
  // Written when the trim was not done yet.
  known.learn(head(11, 3));
  expect(known.newest).toEqual(head(11, 7));
  known.learn(head(9, 8));
  expect(known.newest).toEqual(head(11, 8));
});

test("an answer to a question that was asked later shows no less: else something was lost", async () => {
  for (const older of [head(9, 3), head(10, 2)]) {
    const { heads: known, damages } = heads(head(10, 3), older);
    await expect(known.fresh()).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    expect(damages).toHaveLength(1);
  }
  const { heads: known } = heads(head(10, 3));
  expect(() => known.learn({ ...head(10, 3), tail: lsn(9), nextBatch: 11 })).toThrow("went from");
});
