/** Broken invariants stop whoever meets them, and say with which numbers. */
import { invariant, InvariantViolation, lsn, unreachable } from "@quipu/core";
import { expect, test } from "vitest";

test("invariant throws its message, or nothing", () => {
  invariant(true, "never seen");
  expect(() => invariant(false, "commit went back: 5 -> 4")).toThrow(
    new InvariantViolation("commit went back: 5 -> 4"),
  );
});

test("unreachable shows the variant that should not exist", () => {
  expect(() => unreachable({ type: "surprise" } as never)).toThrow(/"type":"surprise"/);
});

test("lsn takes 0 and every safe integer above it", () => {
  for (const good of [0, 1, Number.MAX_SAFE_INTEGER]) expect(lsn(good)).toBe(good);
  for (const bad of [-1, 0.5, Number.NaN, 2 ** 53]) expect(() => lsn(bad)).toThrow(InvariantViolation);
});
