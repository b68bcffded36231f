/** All commands, from their families; and finding one by the words that a client sent. */
import type { CommandArguments } from "./command-arguments.ts";
import type { CommandEntry } from "./command.ts";
import { batchCommands } from "./commands/batch.ts";
import { clientCommands } from "./commands/client.ts";
import { configCommands } from "./commands/config.ts";
import { connectionCommands } from "./commands/connection.ts";
import { counterCommands } from "./commands/counters.ts";
import { expiryCommands } from "./commands/expiry.ts";
import { introspectionCommands } from "./commands/introspection.ts";
import { keyCommands } from "./commands/keys.ts";
import { onceCommands } from "./commands/once.ts";
import { quipuCommands } from "./commands/quipu.ts";
import { serverCommands } from "./commands/server.ts";
import { stringCommands } from "./commands/strings.ts";
import { transactionCommands } from "./commands/transactions.ts";

export interface FoundCommand {
  readonly entry: CommandEntry | undefined;
  /** Set where the first word is known and the second is not one of its subcommands. */
  readonly container?: CommandEntry;
}

/** What commands about commands need; they are part of the table themselves. */
export interface CommandTable {
  entries(): Iterable<CommandEntry>;
  find(words: CommandArguments): FoundCommand;
  findByName(name: string): CommandEntry | undefined;
}

const table: CommandTable = {
  entries: () => byName.values(),
  find: findCommand,
  findByName: (name) => byFullName.get(name.toLowerCase()),
};

/** Commands, without subcommands. */
const byName = new Map<string, CommandEntry>(
  [
    ...connectionCommands,
    ...clientCommands,
    ...configCommands,
    ...serverCommands,
    ...introspectionCommands(table),
    ...stringCommands,
    ...counterCommands,
    ...keyCommands,
    ...expiryCommands,
    ...transactionCommands,
    ...onceCommands(table),
    ...quipuCommands,
    ...batchCommands,
  ].map((entry) => [entry.name, entry]),
);

/** Subcommands too, as `client|id`. */
const byFullName = new Map<string, CommandEntry>(
  [...byName.values()]
    .flatMap((entry) => (entry.action.type === "container" ? [entry, ...entry.action.subcommands] : [entry]))
    .map((entry) => [entry.name, entry]),
);

const decoder = new TextDecoder("latin1");

/** No name or subcommand is longer; longer words are not worth decoding. */
const nameBytesMax = 32;

export function findCommand(words: CommandArguments): FoundCommand {
  const name = nameOf(words[0]);
  const entry = name === undefined ? undefined : byName.get(name);
  if (entry === undefined || entry.action.type !== "container" || words.length === 1) return { entry };
  const subcommand = nameOf(words[1]);
  const found = subcommand === undefined ? undefined : byFullName.get(`${entry.name}|${subcommand}`);
  return found === undefined ? { entry: undefined, container: entry } : { entry: found };
}

function nameOf(word: Uint8Array | undefined): string | undefined {
  if (word === undefined || word.length > nameBytesMax) return undefined;
  return decoder.decode(word).toLowerCase();
}
