/** `quipu cell recover`, the running: takes the data directory, recovers it, and says in words what that means. */
import { existsSync } from "node:fs";
import path from "node:path";
import { recoverCell, type RecoveryReport } from "@quipu/cluster";
import { nodeOf } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import { holdDataDirectory, metadataDirectory } from "../data-directory.ts";
import { CryptoRandom } from "../ports/crypto-random.ts";
import { nodePorts } from "../ports/node-ports.ts";
import { rosterOf } from "./roster.ts";

export interface RecoveryAnswer {
  readonly outcome: RecoveryReport["outcome"];
  readonly node: number;
  /** Of this node, as the cell's roster has it; null where it has none yet. */
  readonly name: string | null;
  readonly fromCell: string;
  readonly toCell: string | null;
  readonly storedPosition: number;
  readonly keptRecords: number;
  readonly position: number;
  /** Names of the other nodes in the roster: they join again, empty. */
  readonly others: readonly string[];
  readonly text: string;
}

export async function recoverDirectory(directory: string, isMeant: boolean): Promise<RecoveryAnswer> {
  // Taking it would make one.
  if (!existsSync(path.join(directory, metadataDirectory))) {
    const what = `${path.resolve(directory)} is no data directory: it has no ${metadataDirectory}/`;
    throw new QuipuError("INVALID_CONFIGURATION", `there is nothing to recover: ${what}`);
  }
  const ports = nodePorts(() => undefined);
  const data = await holdDataDirectory(directory);
  try {
    let failure: unknown;
    const report = await recoverCell({
      disk: ports.openDisk(data.path),
      store: data.store,
      clock: ports.clock,
      random: new CryptoRandom(),
      isMeant,
      onFatal: (error) => (failure ??= error),
    });
    if (failure !== undefined) throw failure as Error;
    return answerOf(report, data.path);
  } finally {
    await data.release();
  }
}

function answerOf(report: RecoveryReport, directory: string): RecoveryAnswer {
  const { outcome, node, storedPosition, keptRecords, position } = report;
  const roster = rosterOf(report.machine)?.nodes ?? [];
  const nameOf = (number: number): string => roster.find((each) => each.node === number)?.name ?? `node ${number}`;
  const answer = {
    outcome,
    node,
    name: roster.find((each) => each.node === node)?.name ?? null,
    fromCell: report.fromCell.toString(16),
    toCell: report.toCell?.toString(16) ?? null,
    storedPosition,
    keptRecords,
    position,
    others: roster.filter((each) => each.node !== node).map(({ name }) => name),
  };
  const lines = [
    ...headline(
      answer,
      directory,
      report.oldVoters.map((member) => nameOf(nodeOf(member))),
    ),
    ...next(answer),
  ];
  return { ...answer, text: lines.join("\n") };
}

type Facts = Omit<RecoveryAnswer, "text">;

function headline(facts: Facts, directory: string, voters: readonly string[]): readonly string[] {
  const { outcome, node, name, fromCell, toCell, storedPosition, keptRecords, position } = facts;
  const who = `node ${node}${name === null ? "" : ` (${name})`}`;
  if (outcome === "already") {
    return [
      `${directory} was recovered already: it is that of ${who} of the new cell ${toCell}, at position ${position}.`,
      "",
    ];
  }
  const [what, verb] =
    outcome === "would"
      ? [
          `${directory} is that of ${who} of cell ${fromCell}, whose voters are ${voters.join(", ")}.`,
          "It would become",
        ]
      : [`${directory} was that of ${who} of cell ${fromCell}, whose voters were ${voters.join(", ")}.`, "It is now"];
  return [
    what,
    `${verb} that of the only voter of a new cell${toCell === null ? "" : `, ${toCell}`}, which goes on at position ${position}.`,
    "",
    `Kept: the state at position ${storedPosition}, and ${keptRecords} records of the log above it. Some of those may never have`,
    "been acknowledged: whoever sent them was told that the outcome is unknown, and may find it done.",
    "May be missing: what the other voters had acknowledged without this node, after its last record. Nobody can tell from",
    "here whether there is such a thing: recover the node whose position is the highest, on the machine that ran last.",
    "",
  ];
}

function next({ outcome, name, others }: Facts): readonly string[] {
  const rest = others.length === 0 ? "the other nodes" : others.join(" and ");
  const steps = [
    `1. Be sure that no node of the old cell runs any more, and none will: ${rest} must not serve beside this one.`,
    ...(outcome === "would" ? ["2. Say it again with --yes."] : []),
  ];
  const number = steps.length + 1;
  return [
    "Next:",
    ...steps,
    `${number}. Start ${name ?? "this node"} as before: same --name, --cell-peers, secret. It serves alone.`,
    `${number + 1}. Start ${rest} with EMPTY data directories under their old names. They fetch the state and vote again.`,
    `${number + 2}. quipu status: until all are voters, this disk is the only one that has everything.`,
  ];
}
