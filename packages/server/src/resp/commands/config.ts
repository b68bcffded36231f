/** `CONFIG GET|SET|RESETSTAT`: what a running server lets clients see. Settings themselves are changed at start. */
import { encodeUtf8, type RespWriter } from "@quipu/protocol";
import { globMatches } from "@quipu/counters";
import { type CommandArguments, textAt } from "../command-arguments.ts";
import type { CommandEntry, CommandFlag } from "../command.ts";
import type { DoorServices, RespConnection } from "../connection-face.ts";
import { databaseCount, valueBytesMax } from "../limits.ts";
import { Refusal, syntaxError, wrongArity } from "../refusal.ts";

/** Redis' names for what we have, with the values that tell the truth about us. Never a secret. */
function settings(door: DoorServices): ReadonlyMap<string, string> {
  return new Map([
    ["appendfsync", "always"],
    ["appendonly", "yes"],
    ["bind", door.bind],
    ["client-output-buffer-limit", `normal ${door.limits.outputBytesMax} 0 0`],
    ["cluster-enabled", "no"],
    ["databases", String(databaseCount)],
    ["maxclients", String(door.limits.connectionsMax)],
    ["maxmemory", "0"],
    ["maxmemory-policy", "noeviction"],
    ["port", String(door.port)],
    ["proto-max-bulk-len", String(valueBytesMax)],
    ["save", ""],
    ["tcp-keepalive", "300"],
    ["timeout", "0"],
  ]);
}

function get({ door }: RespConnection, args: CommandArguments, reply: RespWriter): void {
  const patterns = args.slice(2).map((_, index) => encodeUtf8(textAt(args, index + 2).toLowerCase()));
  const found = [...settings(door)].filter(([name]) => {
    const bytes = encodeUtf8(name);
    return patterns.some((pattern) => globMatches(pattern, bytes));
  });
  reply.mapHeader(found.length);
  for (const [name, value] of found) {
    reply.bulkText(name);
    reply.bulkText(value);
  }
}

/** Accepts a setting that is so already, which is what scripts and test suites ask for; refuses the rest. */
function set({ door }: RespConnection, args: CommandArguments, reply: RespWriter): void {
  if (args.length < 4) throw new Refusal(wrongArity("config|set"));
  if (args.length % 2 !== 0) throw syntaxError();
  const known = settings(door);
  for (let index = 2; index < args.length; index += 2) {
    const name = textAt(args, index);
    const value = known.get(name.toLowerCase());
    if (value === undefined) {
      throw new Refusal(`ERR Unknown option or number of arguments for CONFIG SET - '${name}'`);
    }
    if (value !== textAt(args, index + 1)) {
      throw new Refusal(`ERR CONFIG SET failed (possibly related to argument '${name}') - can't set immutable config`);
    }
  }
  reply.simpleString("OK");
}

const configFlags: readonly CommandFlag[] = ["admin", "noscript", "loading", "stale"];

function subcommand(
  name: string,
  arity: number,
  summary: string,
  run: (connection: RespConnection, args: CommandArguments, reply: RespWriter) => void,
): CommandEntry {
  return {
    name: `config|${name}`,
    arity,
    flags: configFlags,
    group: "server",
    since: "2.0.0",
    summary,
    complexity: "O(N) where N is the number of settings",
    action: { type: "local", run },
  };
}

export const configCommands: readonly CommandEntry[] = [
  {
    name: "config",
    arity: -2,
    flags: [],
    group: "server",
    since: "2.0.0",
    summary: "A container for server configuration commands",
    complexity: "Depends on subcommand.",
    action: {
      type: "container",
      subcommands: [
        subcommand("get", -3, "Get the values of settings", get),
        subcommand("set", -4, "Accept settings that hold already", set),
        subcommand("resetstat", 2, "Reset the counters that INFO shows", ({ door }, _, reply) => {
          door.statistics.reset();
          reply.simpleString("OK");
        }),
      ],
    },
  },
];
