/** `quipu start`: its flags and help. */
import { Command, Option } from "commander";
import { describeSetting, type SettingName, settingNames, variableOf } from "../config/settings.ts";

export function startCommand(): Command {
  const command = new Command("start").description("run a durable server: alone, or as a node of a cell");
  command.addOption(new Option("--config <FILE>", "YAML file with the same names as the flags").env("QUIPU_CONFIG"));
  for (const name of settingNames) {
    const setting = describeSetting(name);
    if (setting.environmentOnly !== true) command.addOption(optionOf(name));
  }
  return command
    .addHelpText(
      "after",
      `
Flags win over environment variables (QUIPU_DATA, QUIPU_RESP_PORT, ...) over the file.
Tokens for the front doors come from QUIPU_TOKENS or a file (QUIPU_TOKENS_FILE).
The secret of a cell comes from --cell-secret-file or QUIPU_CELL_SECRET.
With --cell-peers it is a node of a cell, which is founded when all listed nodes are there and empty (or one has data).
With --engine etcd or zookeeper alone it stands in front of that service, which keeps the log; any number of nodes may.
A directory stays what it was made as: a single process, a node of a cell, or in front of a service.
SIGTERM and Ctrl-C lose nothing and exit with 0; a second signal ends the process at once.

Examples:
  quipu start --data ./data
  quipu start --data ./data --name n1 --cell-secret-file secret --cell-peers n1=10.0.0.1:7381,n2=10.0.0.2:7381,n3=10.0.0.3:7381
  quipu start --data ./data --engine etcd --endpoints http://127.0.0.1:2379
  QUIPU_TOKENS=$(openssl rand -hex 32) quipu start --data /var/lib/quipu --bind 0.0.0.0`,
    )
    .action(async (_options: unknown, self: Command) => {
      // Loaded only now: the server with all that it stands on takes far longer to load than the other commands.
      const { runStart } = await import("./run-start.ts");
      await runStart(givenFlags(self));
    });
}

/** Defaults and variables are only shown here: the configuration loader applies them, for all three sources alike. */
function optionOf(name: SettingName): Option {
  const { argument, description, default: value } = describeSetting(name);
  const isShown = (typeof value === "string" || typeof value === "number") && argument !== undefined;
  const note = isShown ? `; default ${value}` : "";
  const flags = argument === undefined ? `--${name}` : `--${name} <${argument}>`;
  return new Option(flags, `${description} (${variableOf(name)}${note})`);
}

/** What was given on the command line, under the names of the settings. */
export function givenFlags(command: Command): Readonly<Record<string, unknown>> {
  const given = command.opts<Readonly<Record<string, unknown>>>();
  const flags: Record<string, unknown> = { config: given["config"] };
  for (const name of settingNames) flags[name] = given[camelCase(name)];
  return flags;
}

function camelCase(name: string): string {
  return name.replaceAll(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}
