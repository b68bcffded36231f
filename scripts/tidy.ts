/**
 * Checks that no other tool makes: layering, texts that must not be in the repository, a subject for each file, a
 * reason for each dependency.
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

/** A reader learns from the first lines of a file what it is about. */
function checkOpenings(): readonly string[] {
  return trackedFiles()
    .filter((name) => /^(?:packages\/[^/]+\/src|scripts)\/.*\.ts$/.test(name))
    .filter((name) => !/^(?:#!.*\n)?\/\*\*/.test(readFileSync(path.join(root, name), "utf8")))
    .map((name) => `${name}:1: does not open with a comment that says its subject`);
}

/** Every dependency earns a line in docs/dependencies.md, and a line without its dependency goes. */
function checkDependencyReasons(): readonly string[] {
  const page = "docs/dependencies.md";
  const named = new Set(
    readFileSync(path.join(root, page), "utf8")
      .split("\n")
      .filter((line) => line.startsWith("| `"))
      .flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`([^`]+)`/g)].map((match) => match[1] as string)),
  );
  const used = new Set(trackedFiles().filter(isManifest).flatMap(foreignDependencies));
  return [
    ...[...used].filter((name) => !named.has(name)).map((name) => `${page}:1: no reason for ${name}`),
    ...[...named].filter((name) => !used.has(name)).map((name) => `${page}:1: ${name} is no dependency`),
  ];
}

const isManifest = (name: string): boolean => name === "package.json" || /^packages\/[^/]+\/package\.json$/.test(name);

function foreignDependencies(manifestFile: string): readonly string[] {
  const manifest = JSON.parse(readFileSync(path.join(root, manifestFile), "utf8")) as Readonly<
    Record<string, Readonly<Record<string, string>> | undefined>
  >;
  return ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies", "overrides"]
    .flatMap((kind) => Object.keys(manifest[kind] ?? {}))
    .filter((name) => name !== "quipu" && !name.startsWith("@quipu/"));
}

const problems = [...checkLayers(root), ...checkTexts(), ...checkOpenings(), ...checkDependencyReasons()];
for (const problem of problems) process.stdout.write(`${problem}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
