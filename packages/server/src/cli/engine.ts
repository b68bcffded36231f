/** `quipu engine …`: what keeps the log, and how it goes on elsewhere while clients write. */
import { Command, Option } from "commander";
import type { EngineName } from "../engines/engine-names.ts";
import { engineDescriptions, engineNames } from "../engines/engine-names.ts";
import type { NodeStatus } from "../node-status.ts";
import { askCell, fetchStatus } from "./endpoint.ts";
import { endpointOption, outputOption, type OutputForm, printResult } from "./output.ts";

interface CommonOptions {
  readonly endpoint: string;
  readonly output: OutputForm;
}

interface SwitchOptions extends CommonOptions {
  readonly endpoints?: string;
  readonly prefix?: string;
}

export function engineCommand(): Command {
  const command = new Command("engine").description("see what keeps the log, or switch it live").addHelpText(
    "after",
    `
Which to choose, and what each promises: docs/engines.md.

Examples:
  quipu engine list
  quipu engine switch multi-paxos
  quipu engine switch etcd --endpoints http://10.0.0.7:2379,http://10.0.0.8:2379,http://10.0.0.9:2379
  quipu engine switch raft`,
  );
  command.addCommand(listCommand());
  command.addCommand(switchCommand());
  return command;
}

function listCommand(): Command {
  return new Command("list")
    .description("the engines there are, and the chain of segments of each shard")
    .addOption(endpointOption("the HTTP address of any node"))
    .addOption(outputOption())
    .action(async ({ endpoint, output }: CommonOptions) => {
      const { engine, chain } = await fetchStatus(endpoint, process.env);
      const engines = engineNames.map((name) => ({
        name,
        description: engineDescriptions[name],
        isPresent: name === engine,
      }));
      const document = { engines, shards: [{ shard: 0, chain }] };
      printResult(output, document, () => describe(document));
    });
}

interface EngineList {
  readonly engines: readonly { readonly name: string; readonly description: string; readonly isPresent: boolean }[];
  readonly shards: readonly { readonly shard: number; readonly chain: NodeStatus["chain"] }[];
}

function describe({ engines, shards }: EngineList): string {
  const width = Math.max(...engines.map(({ name }) => name.length));
  const lines = engines.map(
    ({ name, description, isPresent }) => `${isPresent ? "*" : " "} ${name.padEnd(width)}  ${description}`,
  );
  for (const { shard, chain } of shards) {
    lines.push("", `shard ${shard}: ${chain.length} ${chain.length === 1 ? "segment" : "segments"}`);
    for (const { base, end, engine } of chain) {
      const range = end === null ? `from ${base} on` : `from ${base} to before ${end}, sealed`;
      lines.push(`  ${engine.padEnd(width)}  ${range}`);
    }
  }
  return lines.join("\n");
}

function switchCommand(): Command {
  const names = engineNames.join("|");
  return new Command("switch")
    .description("let the log go on on another engine, while clients write")
    .addArgument(new Command().createArgument("<ENGINE>", names).choices(engineNames))
    .option("--endpoints <LIST>", "etcd, zookeeper: where the service is, separated by commas")
    .addOption(new Option("--prefix <PREFIX>", "etcd, zookeeper: keys are below it; /quipu by default"))
    .addOption(endpointOption("the HTTP address of any node"))
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Nothing that was acknowledged is lost, nothing is applied twice; for some milliseconds writes wait. The longest time without
a successful write is printed. User and password of a service are settings of the nodes: --engine-user,
QUIPU_ENGINE_PASSWORD.`,
    )
    .action(async (engine: EngineName, { endpoint, output, endpoints, prefix }: SwitchOptions) => {
      const where = endpoints?.split(",").map((each) => each.trim());
      const request = { type: "switchEngine", engine, endpoints: where, prefix } as const;
      const answer = await askCell(endpoint, request, process.env);
      printResult(output, answer, () => answer.text);
    });
}
