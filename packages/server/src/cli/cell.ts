/** `quipu cell …`: changes who belongs to a cell, and who leads it. Any node takes the request. */
import { Command } from "commander";
import { QuipuError } from "@quipu/core";
import type { CellRequest } from "../cell/cell-requests.ts";
import { parseNamedPeer, parseNodeName } from "../cell/cell-settings.ts";
import { askCell } from "./endpoint.ts";
import { endpointOption, outputOption, type OutputForm, printResult } from "./output.ts";

interface CellOptions {
  readonly endpoint: string;
  readonly output: OutputForm;
}

export function cellCommand(): Command {
  const command = new Command("cell").description("change the nodes of a cell, or who leads it").addHelpText(
    "after",
    `
Any running node takes the request and hands it to the leader; only recover works on a stopped node. See who is there: quipu status.
Where the servers ask for a token, set QUIPU_TOKEN.

Examples:
  quipu cell add n4=10.0.0.4:7381
  quipu cell transfer-leadership n2
  quipu cell replace n3=10.0.0.9:7381    # the machine of n3 is lost, another takes its place
  quipu cell remove n4
  quipu cell recover --data ./data       # a majority is lost for good; offline, on a machine that is left`,
  );
  command.addCommand(
    asking("add", "let another node join", "<NAME=HOST:PORT>", "its name and peer address", (word) => {
      const [name, address] = parseNamedPeer(word, "quipu cell add");
      return { type: "add", name, address };
    }),
  );
  command.addCommand(
    asking(
      "move",
      "a node has another address; its data and its vote stay",
      "<NAME=HOST:PORT>",
      "where it is now",
      (word) => {
        const [name, address] = parseNamedPeer(word, "quipu cell move");
        return { type: "move", name, address };
      },
    ),
  );
  command.addCommand(
    asking("remove", "take a node out, for good", "<NAME>", "the node", (name) => ({
      type: "remove",
      name: parseNodeName(name, "quipu cell remove"),
    })),
  );
  command.addCommand(
    asking(
      "promote",
      "make a learner a voter now; it becomes one by itself once it has caught up",
      "<NAME>",
      "the node",
      (name) => ({
        type: "promote",
        name: parseNodeName(name, "quipu cell promote"),
      }),
    ),
  );
  command.addCommand(
    asking("transfer-leadership", "let another node lead", "<NAME>", "the node", (to) => ({
      type: "transferLeadership",
      to: parseNodeName(to, "quipu cell transfer-leadership"),
    })),
  );
  command.addCommand(replaceCommand());
  command.addCommand(recoverCommand());
  return command;
}

function replaceCommand(): Command {
  const command = asking(
    "replace",
    "another machine takes the place of one that is lost",
    "<NAME[=HOST:PORT]>",
    "the lost node, and where the new machine is if not there",
    (word, options) => {
      const force = options["force"] === true;
      if (!word.includes("=")) return { type: "replace", name: parseNodeName(word, "quipu cell replace"), force };
      const [name, address] = parseNamedPeer(word, "quipu cell replace");
      return { type: "replace", name, address, force };
    },
  );
  return command.option("--force", "although the node is alive", false);
}

function recoverCommand(): Command {
  return new Command("recover")
    .description("a majority of the cell is lost for good: make this node's data that of a new cell of one")
    .requiredOption("--data <DIR>", "the data directory; its node must not run")
    .option("--yes", "do it; without, it is only told what would be done", false)
    .addOption(outputOption())
    .action(async ({ data, yes, output }: { data: string; yes: boolean; output: OutputForm }) => {
      // Loaded only now, as with `quipu start`.
      const { recoverDirectory } = await import("../cell/recover-directory.ts");
      const answer = await recoverDirectory(data, yes);
      printResult(output, answer, () => answer.text);
      if (answer.outcome === "would")
        throw new QuipuError("INVALID_CONFIGURATION", "nothing was changed: --yes is missing");
    });
}

function asking(
  name: string,
  description: string,
  argument: string,
  argumentDescription: string,
  requestOf: (word: string, options: Readonly<Record<string, unknown>>) => CellRequest,
): Command {
  return new Command(name)
    .description(description)
    .argument(argument, argumentDescription)
    .addOption(endpointOption("the HTTP address of any node"))
    .addOption(outputOption())
    .action(async (word: string, options: CellOptions & Readonly<Record<string, unknown>>) => {
      const answer = await askCell(options.endpoint, requestOf(word, options), process.env);
      printResult(options.output, answer, () => answer.text);
    });
}
