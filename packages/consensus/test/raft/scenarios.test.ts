/**
 * Runs the scenarios of testdata/raft. `UPDATE=1 npx vitest run packages/consensus/test/raft/scenarios.test.ts` writes
 * the traces as they are now; read the difference before it is kept.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { Scenario } from "./scenario.ts";

const folder = path.resolve(import.meta.dirname, "../../testdata/raft");
const isUpdate = process.env["UPDATE"] === "1";

/** The file with every trace as it is now; comments and commands as they were. */
function replay(text: string): string {
  const scenario = new Scenario();
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

describe("scenarios", () => {
  const names = readdirSync(folder).filter((name) => name.endsWith(".txt"));
  test.each(names)("%s", (name) => {
    const file = path.join(folder, name);
    const text = readFileSync(file, "utf8");
    expect(text, "says in its heading what it proves").toMatch(/^# /);
    const replayed = replay(text);
    if (isUpdate) writeFileSync(file, replayed);
    else expect(replayed).toBe(text);
  });
});
