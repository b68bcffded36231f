/** The `quipu` command: parses, runs, and turns what went wrong into one line and an exit code. */
import { Command, CommanderError } from "commander";
import { version } from "../version.ts";
import { benchCommand } from "./bench.ts";
import { cellCommand } from "./cell.ts";
import { engineCommand } from "./engine.ts";
import { devCommand } from "./dev.ts";
import { describeError, exitCodeOf, exitUsage } from "./exit.ts";
import { replayCommand } from "./replay.ts";
import { startCommand } from "./start.ts";
import { statusCommand } from "./status.ts";

function createProgram(terminal: Terminal): Command {
  const program = new Command("quipu")
    .description("The numbers an application may not get wrong: a durable, exactly-once counter store.")
    .version(version, "--version", "print the version")
    .helpOption("--help", "show this help")
    .addHelpText(
      "after",
      `
Exit codes: 0 all is well, 1 it failed, 2 wrong usage or configuration.

Examples:
  quipu start --data ./data
  quipu dev --nodes 3
  redis-cli -p 7379 INCR visits
  quipu replay access.log --field path`,
    );
  const commands = [
    startCommand(),
    devCommand(),
    statusCommand(),
    cellCommand(),
    engineCommand(),
    replayCommand(),
    benchCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  const all = [program, ...commands, ...commands.flatMap((command) => command.commands)];
  for (const command of all.slice(1)) command.helpOption("--help", "show this help");
  for (const command of all) {
    command.configureOutput({ writeOut: terminal.stdout, writeErr: terminal.stderr });
    command.exitOverride().showHelpAfterError(`(${commandLine(command)} --help shows what there is)`);
  }
  return program;
}

function commandLine(command: Command): string {
  return command.parent === null ? command.name() : `${commandLine(command.parent)} ${command.name()}`;
}

/** Where help and errors go. */
export interface Terminal {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/** Runs one command line (without the program's name) and resolves to its exit code. */
export async function runCommandLine(words: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await createProgram(terminal).parseAsync(words, { from: "user" });
    return 0;
  } catch (error) {
    // Commander has already said what is wrong, or shown the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitUsage;
    terminal.stderr(`${describeError(error)}\n`);
    return exitCodeOf(error);
  }
}
