import { expect, test } from "vitest";
import { SyncPolicy } from "../src/ports/sync-policy.ts";

test("fast syncs stay on the loop; one outlier sends the next ones to the pool; fast again, they come back", () => {
  const policy = new SyncPolicy();
  for (let commit = 0; commit < 100; commit++) policy.took(0.1);
  expect(policy.inline).toBe(true);
  policy.took(12);
  expect(policy.inline).toBe(false);
  let commits = 0;
  for (; !policy.inline; commits++) policy.took(0.1);
  expect(commits).toBe(256);
});

test("a disk that is slow on average never holds the loop", () => {
  const policy = new SyncPolicy();
  for (let commit = 0; commit < 100; commit++) policy.took(2.5);
  expect(policy.inline).toBe(false);
});
