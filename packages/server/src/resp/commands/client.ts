/** `CLIENT …`: who is connected, under which name, and how replies go. */
import type { RespWriter } from "@quipu/protocol";
import { type CommandArguments, integerAt, keywordAt, requireOptionValue, textAt } from "../command-arguments.ts";
import type { CommandEntry, CommandFlag } from "../command.ts";
import type { RespConnection } from "../connection-face.ts";
import { Refusal, syntaxError } from "../refusal.ts";
import { nameAt } from "./connection.ts";

/** One line of CLIENT LIST. Fields that mean nothing here hold what Redis shows for an idle client. */
function describe(connection: RespConnection): string {
  const { client, transaction } = connection;
  const nowMs = connection.door.clock.monotonicMs();
  const seconds = (sinceMs: number): number => Math.max(0, Math.floor((nowMs - sinceMs) / 1000));
  const fields: readonly (readonly [string, string | number])[] = [
    ["id", client.id],
    ["addr", client.address],
    ["laddr", client.localAddress],
    ["fd", -1],
    ["name", client.name],
    ["age", seconds(client.connectedAtMs)],
    ["idle", seconds(client.lastActiveAtMs)],
    ["flags", (transaction.isOpen ? "x" : "") + (client.isNoEvict ? "e" : "") || "N"],
    ["db", client.database],
    ["sub", 0],
    ["psub", 0],
    ["ssub", 0],
    ["multi", transaction.isOpen ? transaction.queued.length : -1],
    ["watch", transaction.watches.length],
    ["pending", connection.pendingOrdered + connection.pendingReads],
    ["events", connection.hasOutput ? "rw" : "r"],
    ["cmd", client.lastCommand],
    ["user", "default"],
    ["redir", -1],
    ["resp", connection.protocol],
    ["lib-name", client.libraryName],
    ["lib-ver", client.libraryVersion],
  ];
  return `${fields.map(([name, value]) => `${name}=${value}`).join(" ")}\n`;
}

function list(connection: RespConnection, args: CommandArguments, reply: RespWriter): void {
  let matches = (_: RespConnection): boolean => true;
  if (args.length > 2) {
    const filter = keywordAt(args, 2);
    if (filter === "TYPE" && args.length === 4) {
      const type = clientTypeAt(args, 3);
      matches = () => type === "normal";
    } else if (filter === "ID" && args.length > 3) {
      const ids = new Set<number>();
      for (let index = 3; index < args.length; index++) ids.add(integerAt(args, index, "ERR Invalid client ID"));
      matches = (other) => ids.has(other.client.id);
    } else {
      throw syntaxError();
    }
  }
  reply.verbatim([...connection.door.connections()].filter(matches).map(describe).join(""));
}

/** Every client here is a normal one. */
function clientTypeAt(args: CommandArguments, index: number): string {
  const type = textAt(args, index).toLowerCase();
  if (!["normal", "master", "replica", "slave", "pubsub"].includes(type)) {
    throw new Refusal(`ERR Unknown client type '${textAt(args, index)}'`);
  }
  return type;
}

/** `CLIENT KILL addr:port`, or filters with SKIPME (default yes). */
function kill(connection: RespConnection, args: CommandArguments, reply: RespWriter): void {
  if (args.length === 3) {
    const victim = [...connection.door.connections()].find(({ client }) => client.address === textAt(args, 2));
    if (victim === undefined) throw new Refusal("ERR No such client");
    reply.simpleString("OK");
    end(connection, victim);
    return;
  }
  const filters: ((victim: RespConnection) => boolean)[] = [];
  let skipMe = true;
  for (let index = 2; index < args.length; index += 2) {
    const option = keywordAt(args, index);
    const value = requireOptionValue(args, index);
    if (option === "SKIPME") skipMe = yesOrNoAt(args, value);
    else filters.push(killFilter(option, args, value));
  }
  const victims = [...connection.door.connections()].filter(
    (victim) => (!skipMe || victim !== connection) && filters.every((matches) => matches(victim)),
  );
  reply.integer(victims.length);
  for (const victim of victims) end(connection, victim);
}

function killFilter(option: string, args: CommandArguments, value: number): (victim: RespConnection) => boolean {
  const text = textAt(args, value);
  switch (option) {
    case "ID": {
      const id = integerAt(args, value, "ERR client-id should be greater than 0");
      if (id < 1) throw new Refusal("ERR client-id should be greater than 0");
      return ({ client }) => client.id === id;
    }
    case "ADDR":
      return ({ client }) => client.address === text;
    case "LADDR":
      return ({ client }) => client.localAddress === text;
    case "TYPE": {
      const type = clientTypeAt(args, value);
      return () => type === "normal";
    }
    case "USER":
      return () => text === "default";
    default:
      throw syntaxError();
  }
}

function yesOrNoAt(args: CommandArguments, index: number): boolean {
  const word = keywordAt(args, index);
  if (word !== "YES" && word !== "NO") throw syntaxError();
  return word === "YES";
}

/** Whoever ends itself still gets the reply. */
function end(connection: RespConnection, victim: RespConnection): void {
  if (victim === connection) connection.closeWhenAnswered();
  else victim.destroy();
}

function setInfo({ client }: RespConnection, args: CommandArguments, reply: RespWriter): void {
  const attribute = keywordAt(args, 2);
  const refusal = `ERR ${attribute.toLowerCase()} cannot contain spaces, newlines or special characters.`;
  if (attribute === "LIB-NAME") client.libraryName = nameAt(args, 3, refusal);
  else if (attribute === "LIB-VER") client.libraryVersion = nameAt(args, 3, refusal);
  else throw new Refusal(`ERR Unrecognized option '${textAt(args, 2)}'`);
  reply.simpleString("OK");
}

/** The reply mode changes between this command's reply and the next one's. */
function setReplies(connection: RespConnection, args: CommandArguments): void {
  const mode = keywordAt(args, 2);
  if (mode === "ON") {
    connection.setReplyMode("on");
    connection.replyLocally((reply) => reply.simpleString("OK"));
  } else if (mode === "OFF") {
    connection.setReplyMode("off");
  } else if (mode === "SKIP") {
    if (connection.replyMode === "on") connection.setReplyMode("skip");
  } else {
    throw syntaxError();
  }
}

type LocalRun = (connection: RespConnection, args: CommandArguments, reply: RespWriter) => void;

const clientFlags: readonly CommandFlag[] = ["noscript", "loading", "stale"];

function subcommand(name: string, arity: number, since: string, summary: string, run: LocalRun): CommandEntry {
  return {
    name: `client|${name}`,
    arity,
    flags: clientFlags,
    group: "connection",
    since,
    summary,
    complexity: "O(1)",
    action: { type: "local", run },
  };
}

export const clientCommands: readonly CommandEntry[] = [
  {
    name: "client",
    arity: -2,
    flags: [],
    group: "connection",
    since: "2.4.0",
    summary: "A container for client connection commands",
    complexity: "Depends on subcommand.",
    action: {
      type: "container",
      subcommands: [
        subcommand("id", 2, "5.0.0", "Return the client ID of this connection", ({ client }, _, reply) =>
          reply.integer(client.id),
        ),
        subcommand("info", 2, "6.2.0", "Describe this connection", (connection, _, reply) =>
          reply.verbatim(describe(connection)),
        ),
        subcommand("list", -2, "2.4.0", "Describe the open connections", list),
        subcommand("getname", 2, "2.6.9", "Get the name of this connection", ({ client }, _, reply) =>
          client.name === "" ? reply.null() : reply.bulkText(client.name),
        ),
        subcommand("setname", 3, "2.6.9", "Set the name of this connection", ({ client }, args, reply) => {
          client.name = nameAt(args, 2);
          reply.simpleString("OK");
        }),
        subcommand("setinfo", 4, "7.2.0", "Set information about the client library", setInfo),
        subcommand("no-evict", 3, "7.0.0", "Accepted: no client is ever evicted", ({ client }, args, reply) => {
          const word = keywordAt(args, 2);
          if (word !== "ON" && word !== "OFF") throw syntaxError();
          client.isNoEvict = word === "ON";
          reply.simpleString("OK");
        }),
        subcommand("kill", -3, "2.4.0", "Close connections", kill),
        {
          name: "client|reply",
          arity: 3,
          flags: [...clientFlags, "no_multi"],
          group: "connection",
          since: "3.2.0",
          summary: "Choose whether the server replies to commands",
          complexity: "O(1)",
          action: { type: "flow", run: setReplies },
        },
      ],
    },
  },
];
