/** The connection itself: PING, HELLO, AUTH, SELECT, RESET, QUIT. Quipu's read mode is in quipu.ts. */
import { type CommandArguments, integerAt, int64At, keywordAt, textAt } from "../command-arguments.ts";
import type { CommandEntry } from "../command.ts";
import type { RespConnection } from "../connection-face.ts";
import { databaseCount } from "../limits.ts";
import { Refusal, wrongArity } from "../refusal.ts";
import { compatibleRedisVersion } from "../redis-version.ts";
import type { RespWriter } from "@quipu/protocol";

const wrongPassText = "WRONGPASS invalid username-password pair or user is disabled.";

const nameText = "ERR Client names cannot contain spaces, newlines or special characters.";

/** Client and library names stand in CLIENT LIST, whose fields are parted by blanks. */
export function nameAt(args: CommandArguments, index: number, refusal: string = nameText): string {
  const name = textAt(args, index);
  if (/[^!-~]/.test(name)) throw new Refusal(refusal);
  return name;
}

/** The token is the password. With tokens any user name will do; without them there is only Redis' `default`. */
function authenticate(connection: RespConnection, user: string, token: string): void {
  const { door } = connection;
  const isUserKnown = door.isAuthenticationRequired || user === "default";
  if (!isUserKnown || !door.acceptsToken(token)) throw new Refusal(wrongPassText);
  connection.setAuthenticated(true);
}

function auth(connection: RespConnection, args: CommandArguments, reply: RespWriter): void {
  if (args.length > 3) throw new Refusal("ERR syntax error");
  if (args.length === 2 && !connection.door.isAuthenticationRequired) {
    throw new Refusal(
      "ERR AUTH <password> called without any password configured for the default user. " +
        "Are you sure your configuration is correct?",
    );
  }
  authenticate(connection, args.length === 3 ? textAt(args, 1) : "default", textAt(args, args.length - 1));
  reply.simpleString("OK");
}

function hello(connection: RespConnection, args: CommandArguments, reply: RespWriter): void {
  let version: 2 | 3 | undefined;
  if (args.length > 1) {
    const asked = integerAt(args, 1, "ERR Protocol version is not an integer or out of range");
    if (asked !== 2 && asked !== 3) throw new Refusal("NOPROTO unsupported protocol version");
    version = asked;
  }
  let credentials: readonly [user: string, token: string] | undefined;
  let name: string | undefined;
  for (let index = 2; index < args.length;) {
    const option = keywordAt(args, index);
    if (option === "AUTH" && index + 2 < args.length) {
      credentials = [textAt(args, index + 1), textAt(args, index + 2)];
      index += 3;
    } else if (option === "SETNAME" && index + 1 < args.length) {
      name = nameAt(args, index + 1);
      index += 2;
    } else {
      throw new Refusal(`ERR Syntax error in HELLO option '${textAt(args, index)}'`);
    }
  }
  if (credentials !== undefined) authenticate(connection, ...credentials);
  if (!connection.client.isAuthenticated) {
    throw new Refusal(
      "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> " +
        "<pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    );
  }
  if (name !== undefined) connection.client.name = name;
  if (version !== undefined) connection.protocol = version;
  reply.version = connection.protocol;
  writeGreeting(connection, reply);
}

function writeGreeting(connection: RespConnection, reply: RespWriter): void {
  reply.mapHeader(7);
  reply.bulkText("server");
  // Clients look here for what to expect; what speaks is told by INFO's quipu_version.
  reply.bulkText("redis");
  reply.bulkText("version");
  reply.bulkText(compatibleRedisVersion);
  reply.bulkText("proto");
  reply.integer(connection.protocol);
  reply.bulkText("id");
  reply.integer(connection.client.id);
  reply.bulkText("mode");
  reply.bulkText("standalone");
  reply.bulkText("role");
  reply.bulkText("master");
  reply.bulkText("modules");
  reply.arrayHeader(0);
}

function reset(connection: RespConnection, _: CommandArguments, reply: RespWriter): void {
  const { client } = connection;
  connection.transaction.end();
  connection.transactionChanged();
  client.name = "";
  client.database = 0;
  client.isNoEvict = false;
  client.readMode = { type: "linearizable" };
  connection.protocol = 2;
  reply.version = 2;
  connection.setReplyMode("on");
  connection.setAuthenticated(!connection.door.isAuthenticationRequired);
  reply.simpleString("RESET");
}

function select(connection: RespConnection, args: CommandArguments, reply: RespWriter): void {
  const database = int64At(args, 1);
  if (database < 0 || database >= databaseCount) throw new Refusal("ERR DB index is out of range");
  connection.client.database = Number(database);
  reply.simpleString("OK");
}

export const connectionCommands: readonly CommandEntry[] = [
  {
    name: "ping",
    arity: -1,
    flags: ["fast"],
    group: "connection",
    since: "1.0.0",
    summary: "Ping the server",
    complexity: "O(1)",
    action: {
      type: "local",
      run(_, args, reply) {
        if (args.length > 2) throw new Refusal(wrongArity("ping"));
        if (args.length === 2) reply.bulk(args[1] as Uint8Array);
        else reply.simpleString("PONG");
      },
    },
  },
  {
    name: "echo",
    arity: 2,
    flags: ["fast"],
    group: "connection",
    since: "1.0.0",
    summary: "Echo the given string",
    complexity: "O(1)",
    action: { type: "local", run: (_, args, reply) => reply.bulk(args[1] as Uint8Array) },
  },
  {
    name: "hello",
    arity: -1,
    flags: ["noscript", "loading", "stale", "fast", "no_auth", "no_multi"],
    group: "connection",
    since: "6.0.0",
    summary: "Handshake with the server",
    complexity: "O(1)",
    action: { type: "local", isBarrier: true, run: hello },
  },
  {
    name: "auth",
    arity: -2,
    flags: ["noscript", "loading", "stale", "fast", "no_auth", "no_multi"],
    group: "connection",
    since: "1.0.0",
    summary: "Authenticate to the server with a token",
    complexity: "O(N) where N is the number of tokens",
    action: { type: "local", run: auth },
  },
  {
    name: "select",
    arity: 2,
    flags: ["loading", "stale", "fast"],
    group: "connection",
    since: "1.0.0",
    summary: "Change the selected database of the connection",
    complexity: "O(1)",
    action: { type: "local", run: select },
  },
  {
    name: "reset",
    arity: 1,
    flags: ["noscript", "loading", "stale", "fast", "no_auth"],
    group: "connection",
    since: "6.2.0",
    summary: "Reset the connection",
    complexity: "O(1)",
    action: {
      type: "flow",
      isImmediate: true,
      mustWait: (connection) => connection.pendingOrdered > 0,
      run: (connection, args) => connection.replyLocally((reply) => reset(connection, args, reply)),
    },
  },
  {
    name: "quit",
    arity: -1,
    flags: ["noscript", "loading", "stale", "fast", "no_auth"],
    group: "connection",
    since: "1.0.0",
    summary: "Close the connection",
    complexity: "O(1)",
    action: {
      type: "flow",
      isImmediate: true,
      run(connection) {
        connection.replyLocally((reply) => reply.simpleString("OK"));
        connection.closeWhenAnswered();
      },
    },
  },
];
