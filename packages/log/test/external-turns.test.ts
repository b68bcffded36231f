/** Turns among several writers of one log: a ring of those who wrote lately, the next one first. */
import { expect, test } from "vitest";
import { Turns } from "../src/engines/external/turns.ts";

const id = (writer: string): string => `${writer}${"0".repeat(24)}`;
const [a, b, c] = ["aaaaaaaa", "bbbbbbbb", "cccccccc"] as const;

test("alone a node never waits; behind another's batch the next in the ring goes at once, the others in turn", () => {
  let nowMs = 0;
  const turns = new Turns(b, { monotonicMs: () => nowMs });
  expect(turns.waitMs(10)).toBe(0);
  turns.appended(id(b));
  expect(turns.waitMs(10)).toBe(0);
  turns.appended(id(c));
  turns.appended(id(a));
  expect(turns.waitMs(10)).toBe(0);
  // Behind itself the two others come first, behind c only a.
  turns.appended(id(b));
  expect(turns.waitMs(10)).toBe(20);
  turns.appended(id(c));
  expect(turns.waitMs(10)).toBe(10);
  // Who lets its turn pass holds nobody up.
  nowMs += 10;
  expect(turns.waitMs(10)).toBe(0);
});

test("a writer that has been silent for long is not waited for", () => {
  let nowMs = 0;
  const turns = new Turns(a, { monotonicMs: () => nowMs });
  turns.appended(id(b));
  nowMs += 1_000;
  turns.appended(id(a));
  expect(turns.waitMs(10)).toBe(0);
});
