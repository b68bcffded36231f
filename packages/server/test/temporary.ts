/** A directory per test file, removed at its end. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "vitest";

export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), "quipu-test-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
