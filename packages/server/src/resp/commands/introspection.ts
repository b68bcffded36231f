/** `COMMAND …`: the command table as clients read it (https://redis.io/docs/latest/commands/command/). */
import { globMatches } from "@quipu/counters";
import type { RespWriter } from "@quipu/protocol";
import { type CommandArguments, isWord, keywordAt, textAt } from "../command-arguments.ts";
import { type CommandEntry, hasArity, hasFlag } from "../command.ts";
import type { CommandTable } from "../command-table.ts";
import type { RespConnection } from "../connection-face.ts";
import { Refusal, syntaxError } from "../refusal.ts";
import { keyIndexes } from "./once.ts";

/** ACL categories follow from flags and group, as they do in Redis, in Redis' order. */
function categoriesOf(entry: CommandEntry): readonly string[] {
  const isAdmin = hasFlag(entry, "admin");
  const candidates: readonly (readonly [category: string, applies: boolean])[] = [
    ["@keyspace", entry.group === "generic"],
    ["@read", hasFlag(entry, "readonly")],
    ["@write", hasFlag(entry, "write")],
    ["@string", entry.group === "string"],
    ["@admin", isAdmin],
    ["@fast", hasFlag(entry, "fast")],
    ["@slow", !hasFlag(entry, "fast")],
    ["@blocking", hasFlag(entry, "blocking")],
    ["@dangerous", isAdmin],
    ["@connection", entry.group === "connection"],
    ["@transaction", entry.group === "transactions"],
    ["@quipu", entry.group === "quipu"],
  ];
  return candidates.filter(([, applies]) => applies).map(([category]) => category);
}

function writeInfo(reply: RespWriter, entry: CommandEntry): void {
  const [first, last, step] = entry.keys ?? [0, 0, 0];
  reply.arrayHeader(10);
  reply.bulkText(entry.name);
  reply.integer(entry.arity);
  writeStatusSet(reply, entry.flags);
  reply.integer(first);
  reply.integer(last);
  reply.integer(step);
  writeStatusSet(reply, categoriesOf(entry));
  reply.setHeader(0);
  if (entry.keys === undefined) reply.setHeader(0);
  else writeKeySpecification(reply, entry, entry.keys);
  const subcommands = entry.action.type === "container" ? entry.action.subcommands : [];
  if (subcommands.length === 0) reply.setHeader(0);
  else {
    reply.arrayHeader(subcommands.length);
    for (const subcommand of subcommands) writeInfo(reply, subcommand);
  }
}

function writeStatusSet(reply: RespWriter, names: readonly string[]): void {
  reply.setHeader(names.length);
  for (const name of names) reply.simpleString(name);
}

function writeKeySpecification(
  reply: RespWriter,
  entry: CommandEntry,
  [first, last, step]: readonly [number, number, number],
): void {
  reply.setHeader(1);
  reply.mapHeader(3);
  reply.bulkText("flags");
  writeStatusSet(reply, hasFlag(entry, "write") ? ["RW", "access", "update"] : ["RO", "access"]);
  reply.bulkText("begin_search");
  reply.mapHeader(2);
  writeTextPair(reply, "type", "index");
  reply.bulkText("spec");
  reply.mapHeader(1);
  reply.bulkText("index");
  reply.integer(first);
  reply.bulkText("find_keys");
  reply.mapHeader(2);
  writeTextPair(reply, "type", "range");
  reply.bulkText("spec");
  reply.mapHeader(3);
  reply.bulkText("lastkey");
  // Relative to the first key, in a key specification.
  reply.integer(last < 0 ? last : last - first);
  reply.bulkText("keystep");
  reply.integer(step);
  reply.bulkText("limit");
  reply.integer(0);
}

function writeTextPair(reply: RespWriter, name: string, value: string): void {
  reply.bulkText(name);
  reply.bulkText(value);
}

function writeDocs(reply: RespWriter, entry: CommandEntry): void {
  const subcommands = entry.action.type === "container" ? entry.action.subcommands : [];
  reply.bulkText(entry.name);
  reply.mapHeader(subcommands.length === 0 ? 4 : 5);
  writeTextPair(reply, "summary", entry.summary);
  writeTextPair(reply, "since", entry.since);
  writeTextPair(reply, "group", entry.group);
  writeTextPair(reply, "complexity", entry.complexity);
  if (subcommands.length === 0) return;
  reply.bulkText("subcommands");
  reply.mapHeader(subcommands.length);
  for (const subcommand of subcommands) writeDocs(reply, subcommand);
}

function info(table: CommandTable, args: CommandArguments, reply: RespWriter): void {
  if (args.length === 2) return writeAll(table, reply);
  reply.arrayHeader(args.length - 2);
  for (let index = 2; index < args.length; index++) {
    const entry = table.findByName(textAt(args, index));
    if (entry === undefined) reply.null();
    else writeInfo(reply, entry);
  }
}

function writeAll(table: CommandTable, reply: RespWriter): void {
  const entries = [...table.entries()];
  reply.arrayHeader(entries.length);
  for (const entry of entries) writeInfo(reply, entry);
}

function docs(table: CommandTable, args: CommandArguments, reply: RespWriter): void {
  const asked = args.slice(2).map((_, index) => table.findByName(textAt(args, index + 2)));
  const entries = args.length === 2 ? [...table.entries()] : asked.filter((entry) => entry !== undefined);
  reply.mapHeader(entries.length);
  for (const entry of entries) writeDocs(reply, entry);
}

/** `COMMAND LIST [FILTERBY MODULE m | ACLCAT c | PATTERN p]`. */
function list(table: CommandTable, args: CommandArguments, reply: RespWriter): void {
  const matches = args.length === 2 ? (): boolean => true : listFilter(args);
  const names = [...table.entries()]
    .flatMap((entry) => (entry.action.type === "container" ? [entry, ...entry.action.subcommands] : [entry]))
    .filter(matches)
    .map(({ name }) => name);
  reply.arrayHeader(names.length);
  for (const name of names) reply.bulkText(name);
}

function listFilter(args: CommandArguments): (entry: CommandEntry) => boolean {
  if (args.length !== 5 || !isWord(args[2] as Uint8Array, "filterby")) throw syntaxError();
  const pattern = new TextEncoder().encode(textAt(args, 4).toLowerCase());
  switch (keywordAt(args, 3)) {
    case "MODULE":
      return () => false;
    case "ACLCAT":
      return (entry) => categoriesOf(entry).includes(`@${textAt(args, 4).toLowerCase()}`);
    case "PATTERN":
      return (entry) => globMatches(pattern, new TextEncoder().encode(entry.name));
    default:
      throw syntaxError();
  }
}

function getKeys(table: CommandTable, args: CommandArguments, reply: RespWriter): void {
  const words = args.slice(2);
  const { entry } = table.find(words);
  if (entry === undefined) throw new Refusal("ERR Invalid command specified");
  if (entry.keys === undefined && entry.movableKeys === undefined) {
    throw new Refusal("ERR The command has no key arguments");
  }
  if (!hasArity(entry, words.length)) throw new Refusal("ERR Invalid number of arguments specified for command");
  const indexes = keyIndexes(entry, words);
  if (indexes.length === 0) throw new Refusal("ERR The command has no key arguments");
  reply.arrayHeader(indexes.length);
  for (const index of indexes) reply.bulk(words[index] as Uint8Array);
}

export function introspectionCommands(table: CommandTable): readonly CommandEntry[] {
  const subcommand = (
    name: string,
    arity: number,
    since: string,
    summary: string,
    run: (table: CommandTable, args: CommandArguments, reply: RespWriter) => void,
  ): CommandEntry => ({
    name: `command|${name}`,
    arity,
    flags: ["loading", "stale"],
    group: "server",
    since,
    summary,
    complexity: "O(N) where N is the number of commands",
    action: {
      type: "local",
      run: (_: RespConnection, args, reply) => run(table, args, reply),
    },
  });
  const subcommands = [
    subcommand("count", 2, "2.8.13", "Count the commands", (_, __, reply) =>
      reply.integer([...table.entries()].length),
    ),
    subcommand("docs", -2, "7.0.0", "Describe commands for people", docs),
    subcommand("info", -2, "2.8.13", "Describe commands for clients", info),
    subcommand("list", -2, "7.0.0", "Name the commands", list),
    subcommand("getkeys", -4, "2.8.13", "Extract the keys of a command", getKeys),
  ];
  return [
    {
      name: "command",
      arity: -1,
      flags: ["loading", "stale"],
      group: "server",
      since: "2.8.13",
      summary: "Describe all commands for clients",
      complexity: "O(N) where N is the number of commands",
      action: { type: "container", subcommands, run: (reply) => writeAll(table, reply) },
    },
  ];
}
