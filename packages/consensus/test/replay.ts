/** Replays the scenarios of a folder: each block of a file is commands, a line of dashes, the trace that they must leave. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

interface Scenario {
  /** The trace of one command line. */
  run(line: string): readonly string[];
}

const isUpdate = process.env["UPDATE"] === "1";

/** The file with every trace as it is now; comments and commands as they were. */
function replay(scenario: Scenario, text: string): string {
  const blocks = text.trimEnd().split(/\n{2,}/);
  return `${blocks.map((block) => replayBlock(scenario, block)).join("\n\n")}\n`;
}

function replayBlock(scenario: Scenario, block: string): string {
  const lines = block.split("\n");
  const end = lines.indexOf("----");
  const commands = end === -1 ? lines : lines.slice(0, end);
  const trace = commands.filter((line) => !line.startsWith("#")).flatMap((line) => scenario.run(line));
  // A comment of its own has no trace, and needs no line of dashes.
  if (commands.every((line) => line.startsWith("#"))) return commands.join("\n");
  return [...commands, "----", ...trace].join("\n");
}

/** A test for each file of `testdata/<folder>`; with UPDATE=1 it writes the traces as they are now. */
export function testScenarios(folder: string, create: () => Scenario): void {
  const directory = path.resolve(import.meta.dirname, "../testdata", folder);
  const names = readdirSync(directory).filter((name) => name.endsWith(".txt"));
  test.each(names)("%s", (name) => {
    const file = path.join(directory, name);
    const text = readFileSync(file, "utf8");
    expect(text, "says in its heading what it proves").toMatch(/^# /);
    const replayed = replay(create(), text);
    if (isUpdate) writeFileSync(file, replayed);
    else expect(replayed).toBe(text);
  });
}
