/** `quipu start`: one durable node until a signal ends it. */
import { constants } from "node:os";
import { Command, Option } from "commander";
import { loadConfiguration } from "../config/load.ts";
import { describeSetting, type SettingName, settingNames, variableOf } from "../config/settings.ts";
import { createLog, type Log } from "../log.ts";
import { openNode, type QuipuNode } from "../node.ts";
import { version } from "../version.ts";
import { describeError, exitFailure } from "./exit.ts";

export function startCommand(): Command {
  const command = new Command("start").description("run a durable server on this machine");
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
SIGTERM and Ctrl-C lose nothing and exit with 0; a second signal ends the process at once.

Examples:
  quipu start --data ./data
  QUIPU_TOKENS=$(openssl rand -hex 32) quipu start --data /var/lib/quipu --bind 0.0.0.0`,
    )
    .action(async (_options: unknown, self: Command) => runStart(self));
}

/** Defaults and variables are only shown here: the configuration loader applies them, for all three sources alike. */
function optionOf(name: SettingName): Option {
  const { argument, description, default: value } = describeSetting(name);
  const isShown = value !== undefined && argument !== undefined;
  const note = isShown ? `; default ${String(value)}` : "";
  const flags = argument === undefined ? `--${name}` : `--${name} <${argument}>`;
  return new Option(flags, `${description} (${variableOf(name)}${note})`);
}

async function runStart(command: Command): Promise<void> {
  const given = command.opts<Readonly<Record<string, unknown>>>();
  const flags: Record<string, unknown> = { config: given["config"] };
  for (const name of settingNames) flags[name] = given[camelCase(name)];
  const configuration = loadConfiguration({ flags, environment: process.env });
  const log = createLog(configuration.logLevel);
  const opening = openNode({ configuration, log, onFatal: (error) => endAtOnce(log, error) });
  stopOnSignals(opening, log);
  const node = await opening;
  const { resp, http } = node.endpoints;
  process.stdout.write(
    `quipu ${version} is ready: RESP ${resp.host}:${resp.port}, HTTP ${http.host}:${http.port}, ` +
      `data ${node.dataDirectory}\n`,
  );
}

function camelCase(name: string): string {
  return name.replaceAll(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

/** A failed fsync or a broken invariant: what is in memory may differ from what is on disk, so nothing is saved. */
function endAtOnce(log: Log, error: unknown): void {
  log.fatal({ error: describeError(error) }, "the node cannot go on");
  process.stderr.write(`${describeError(error)}\n`);
  process.exit(exitFailure);
}

function stopOnSignals(opening: Promise<QuipuNode>, log: Log): void {
  let isStopping = false;
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isStopping) process.exit(128 + constants.signals[signal]);
    isStopping = true;
    log.info({ signal }, "stopping");
    opening
      .then((node) => node.close())
      .then(
        () => process.exit(0),
        (error: unknown) => endAtOnce(log, error),
      );
  };
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("SIGTERM", () => stop("SIGTERM"));
}
