/**
 * Checks that no other tool makes: layering, and texts that must not be in the repository.
 * Prints one line for each problem as `file:line: what`; exit code 1 if there is any. Writes nothing.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { checkLayers } from "./tidy-layers.ts";

const root = path.resolve(import.meta.dirname, "..");

/** What belongs to one machine or one network and breaks a clone anywhere else. */
const forbiddenTexts: readonly { readonly pattern: RegExp; readonly why: string }[] = [
  { pattern: /(?<![\w.~-])\/(?:work|home|Users|root|tmp)\/[\w.]/, why: "a path of one machine" },
  { pattern: /\bregistry\.[\w-]+\.\w+/, why: "a package registry's host" },
  { pattern: /"resolved": "https?:/, why: "a lock file must not name hosts (see .npmrc)" },
];

/** A NUL byte in the first part of a file means that it is not text; git decides in the same way. */
const binaryProbeBytes = 8_000;

function trackedFiles(): readonly string[] {
  const listing = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  return listing.split("\0").filter((name) => name !== "" && existsSync(path.join(root, name)));
}

function checkTexts(): readonly string[] {
  const problems: string[] = [];
  for (const name of trackedFiles()) {
    const bytes = readFileSync(path.join(root, name));
    if (bytes.subarray(0, binaryProbeBytes).includes(0)) continue;
    const lines = bytes.toString("utf8").split("\n");
    for (const { pattern, why } of forbiddenTexts) {
      const index = lines.findIndex((line) => pattern.test(line));
      if (index >= 0) problems.push(`${name}:${index + 1}: ${why}: ${lines[index]?.trim().slice(0, 100)}`);
    }
  }
  return problems;
}

const problems = [...checkLayers(root), ...checkTexts()];
for (const problem of problems) process.stdout.write(`${problem}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
