/**
 * Layering: which package may import which. The table below is the one place that says so; DESIGN and
 * ARCHITECTURE.md describe it, package.json and tsconfig.json must agree with it, every import is held to it.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

interface Layer {
  /** Workspace packages it may import, by folder name. */
  readonly packages: readonly string[];
  /** Modules of Node.js it may import. */
  readonly node: "all" | readonly string[];
}

const pure: readonly string[] = [];
/** `crc32` of node:zlib is a pure function, eight times faster than one written here. */
const checksumOnly: readonly string[] = ["node:zlib"];

/** From the bottom up: a layer imports only layers above it in this list, and of those only what it needs. */
export const layers: Readonly<Record<string, Layer>> = {
  core: { packages: [], node: pure },
  routing: { packages: ["core"], node: pure },
  counters: { packages: ["core", "routing"], node: pure },
  consensus: { packages: ["core"], node: pure },
  protocol: { packages: ["core", "consensus"], node: checksumOnly },
  log: { packages: ["core", "consensus", "protocol"], node: checksumOnly },
  cluster: { packages: ["core", "counters", "consensus", "protocol", "log"], node: checksumOnly },
  simulator: {
    packages: ["core", "routing", "counters", "consensus", "protocol", "log", "cluster"],
    node: checksumOnly,
  },
  client: { packages: ["core", "routing", "protocol"], node: "all" },
  "log-etcd": { packages: ["core", "log"], node: "all" },
  "log-zookeeper": { packages: ["core", "log"], node: "all" },
  server: {
    packages: [
      "core",
      "routing",
      "counters",
      "consensus",
      "protocol",
      "log",
      "log-etcd",
      "log-zookeeper",
      "cluster",
      "client",
    ],
    node: "all",
  },
};

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

interface Import {
  readonly specifier: string;
  readonly line: number;
}

/** Static imports begin a line, so examples in comments are no imports; dynamic ones may stand anywhere. */
const staticImport = /^(?:import|export)\s+(?:[\w$*{},\s]+?\s+from\s+)?["']([^"'\n]+)["']/gm;
const dynamicImport = /\bimport\(\s*["']([^"'\n]+)["']/g;

export function importsOf(source: string): readonly Import[] {
  return [staticImport, dynamicImport].flatMap((pattern) =>
    [...source.matchAll(pattern)].map((match) => ({
      specifier: match[1] as string,
      line: source.slice(0, match.index).split("\n").length,
    })),
  );
}

/** Every breach of the table, one line each, as `file:line: what`. */
export function checkLayers(root: string): readonly string[] {
  const folders = readdirSync(path.join(root, "packages")).sort();
  const unknown = folders.filter((folder) => layers[folder] === undefined);
  const problems = unknown.map((folder) => `packages/${folder}: not in the table of scripts/tidy-layers.ts`);
  const manifests = new Map(Object.keys(layers).map((folder) => [folder, readManifest(root, folder)]));
  for (const folder of Object.keys(layers)) {
    problems.push(...checkManifest(root, folder, manifests), ...checkImports(root, folder, manifests));
  }
  return problems;
}

function readManifest(root: string, folder: string): Manifest {
  const manifest = JSON.parse(readFileSync(path.join(root, "packages", folder, "package.json"), "utf8")) as Manifest;
  return { ...manifest, dependencies: manifest.dependencies ?? {} };
}

function checkManifest(root: string, folder: string, manifests: ReadonlyMap<string, Manifest>): string[] {
  const where = `packages/${folder}`;
  const declared = workspaceDependencies(folder, manifests);
  const allowed = layerOf(folder).packages;
  const problems = declared
    .filter((dependency) => !allowed.includes(dependency))
    .map((dependency) => `${where}/package.json: ${folder} may not depend on ${dependency}`);
  const tsconfig = JSON.parse(readFileSync(path.join(root, where, "tsconfig.json"), "utf8")) as {
    readonly references?: readonly { readonly path: string }[];
  };
  const references = (tsconfig.references ?? []).map((reference) => path.basename(reference.path)).sort();
  if (references.join() !== [...declared].sort().join()) {
    problems.push(
      `${where}/tsconfig.json: references (${references.join()}) differ from package.json (${declared.join()})`,
    );
  }
  return problems;
}

function workspaceDependencies(folder: string, manifests: ReadonlyMap<string, Manifest>): readonly string[] {
  const dependencies = manifests.get(folder)?.dependencies ?? {};
  return [...manifests].filter(([, manifest]) => manifest.name in dependencies).map(([other]) => other);
}

function layerOf(folder: string): Layer {
  const layer = layers[folder];
  if (layer === undefined) throw new Error(`no layer ${folder}`);
  return layer;
}

function checkImports(root: string, folder: string, manifests: ReadonlyMap<string, Manifest>): string[] {
  const problems: string[] = [];
  for (const part of ["src", "test"] as const) {
    for (const file of typeScriptFiles(path.join(root, "packages", folder, part))) {
      const shown = path.relative(root, file);
      for (const { specifier, line } of importsOf(readFileSync(file, "utf8"))) {
        const problem = specifier.startsWith(".")
          ? checkRelative(root, folder, file, specifier)
          : checkBare(folder, part, shown, specifier, manifests);
        if (problem !== undefined) problems.push(`${shown}:${line}: ${problem}`);
      }
    }
  }
  return problems;
}

function typeScriptFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .sort()
    .map((name) => path.join(directory, name));
}

function checkRelative(root: string, folder: string, file: string, specifier: string): string | undefined {
  const target = path.relative(path.join(root, "packages", folder), path.resolve(path.dirname(file), specifier));
  if (target.startsWith("..")) return `${specifier} reaches out of the package; import its public face by name`;
  return specifier.endsWith(".ts") || specifier.endsWith(".json") ? undefined : `${specifier} must end in .ts`;
}

function checkBare(
  folder: string,
  part: "src" | "test",
  shown: string,
  specifier: string,
  manifests: ReadonlyMap<string, Manifest>,
): string | undefined {
  if (specifier.startsWith("node:")) {
    const allowed = layerOf(folder).node;
    const free = part === "test" || allowed === "all" || allowed.includes(specifier);
    return free ? undefined : `${folder} may not import ${specifier}`;
  }
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  const target = [...manifests].find(([, manifest]) => manifest.name === name);
  const isTesting = shown.includes("/src/testing/");
  if (target === undefined) {
    // Development tools, which the root declares; knip reports those that it does not.
    return part === "test" || isTesting ? undefined : checkForeign(folder, name, manifests);
  }
  const [other, manifest] = target;
  const subpath = `.${specifier.slice(name.length)}`;
  if (!(subpath in manifest.exports)) return `${specifier} is not exported by ${name}`;
  if (other === folder) return part === "test" ? undefined : `${specifier} is the package itself; import the file`;
  // Crash tests of any layer run on the simulator's faulty disk, clock and store.
  if (part === "test" && other === "simulator") return undefined;
  if (!layerOf(folder).packages.includes(other)) return `${folder} may not import ${other}`;
  if (!(name in (manifests.get(folder)?.dependencies ?? {}))) return `${name} is not declared in package.json`;
  // What helps tests has no place in what we ship; the simulator is a test from top to bottom.
  const forTests = part === "test" || folder === "simulator" || isTesting;
  return subpath === "./testing" && !forTests ? `${specifier} is for tests only` : undefined;
}

function checkForeign(folder: string, name: string, manifests: ReadonlyMap<string, Manifest>): string | undefined {
  const declared = manifests.get(folder)?.dependencies ?? {};
  return name in declared ? undefined : `${name} is not declared in packages/${folder}/package.json`;
}
