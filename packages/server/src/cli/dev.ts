/** `quipu dev`: a cell on this machine, to try things on. */
import { Command, InvalidArgumentError, Option } from "commander";
import { type EngineName, engineNames } from "../engines/engine-names.ts";

/** More than seven voters survive no more failures in practice, and cost each write. */
const nodesMax = 7;

export function devCommand(): Command {
  return new Command("dev")
    .description("run a cell of several nodes on this machine, to try things on")
    .option("--nodes <N>", "how many processes", parseNodes, 3)
    .option("--data <DIR>", "where their data goes; without it a temporary directory, removed at the end")
    .addOption(
      new Option(
        "--engine <ENGINE>",
        "what keeps the log of a new cell; raft by default, of one node local too",
      ).choices(engineNames),
    )
    .option("--endpoints <LIST>", "etcd, zookeeper: where the service is, separated by commas")
    .option("--resp-port <PORT>", "Redis protocol of the first node; the second has it + 10, ...", parsePort, 7379)
    .option("--http-port <PORT>", "HTTP of the first node, likewise", parsePort, 7380)
    .option("--peer-port <PORT>", "of the first node for the others, likewise", parsePort, 7381)
    .addHelpText(
      "after",
      `
Any node takes any request. A node that you kill (kill -9) is started again after a second: watch the others go on.
Ctrl-C stops them all. FLUSHALL is allowed here.

Examples:
  quipu dev --nodes 3
  quipu dev --nodes 3 --engine multi-paxos
  redis-cli -p 7389 INCR visits          # through the second node
  quipu status`,
    )
    .action(async (options: DevOptions) => {
      const { runDev } = await import("./run-dev.ts");
      await runDev(options);
    });
}

export interface DevOptions {
  readonly nodes: number;
  readonly data?: string;
  readonly engine?: EngineName;
  readonly endpoints?: string;
  readonly respPort: number;
  readonly httpPort: number;
  readonly peerPort: number;
}

function parseNodes(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1 && value <= nodesMax) return value;
  throw new InvalidArgumentError(`expected a whole number from 1 to ${nodesMax}`);
}

function parsePort(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1 && value <= 65_000) return value;
  throw new InvalidArgumentError("expected a port from 1 to 65000");
}
