/** Quipu's own: bounds, read mode, sessions. */
import { type Int64, lsn } from "@quipu/core";
import { type CommandArguments, int64At, integerAt, keyAt, keywordAt, textAt } from "../command-arguments.ts";
import type { CommandEntry, Plan, PlanContext } from "../command.ts";
import type { ReadMode, RespConnection } from "../connection-face.ts";
import { sessionLifetimeMsDefault, sessionLifetimeMsMax } from "../limits.ts";
import { Refusal, syntaxError } from "../refusal.ts";
import { formatInteger } from "../reply-format.ts";
import { makeSessionId } from "../session-id.ts";
import type { RespWriter } from "@quipu/protocol";

/** `Q.BOUND key [MIN n|NONE] [MAX n|NONE] [FORCE]`. Answers [min, max], null where there is none. */
function planBound(args: CommandArguments, { database }: PlanContext): Plan {
  let minimum: Int64 | "keep" | "clear" = "keep";
  let maximum: Int64 | "keep" | "clear" = "keep";
  let force = false;
  for (let index = 2; index < args.length; index++) {
    const option = keywordAt(args, index);
    if (option === "FORCE" && !force) force = true;
    else if (option === "MIN" && minimum === "keep") minimum = boundAt(args, ++index);
    else if (option === "MAX" && maximum === "keep") maximum = boundAt(args, ++index);
    else throw syntaxError();
  }
  if (typeof minimum !== "string" && typeof maximum !== "string" && minimum > maximum) {
    throw new Refusal("ERR MIN can't be greater than MAX");
  }
  const operation = { type: "bound", database, key: keyAt(args, 1), minimum, maximum, force } as const;
  return { operation, format: formatInteger };
}

function boundAt(args: CommandArguments, index: number): Int64 | "clear" {
  if (index >= args.length) throw syntaxError();
  return keywordAt(args, index) === "NONE" ? "clear" : int64At(args, index);
}

/** `Q.READMODE linearizable | session [position] | stale`. */
function setReadMode({ client }: RespConnection, args: CommandArguments, reply: RespWriter): void {
  client.readMode = readModeFrom(args);
  reply.simpleString("OK");
}

function readModeFrom(args: CommandArguments): ReadMode {
  const mode = keywordAt(args, 1);
  if (mode === "SESSION" && args.length <= 3) {
    return { type: "session", position: lsn(args.length === 3 ? lsnAt(args, 2) : 0) };
  }
  if (args.length === 2 && mode === "LINEARIZABLE") return { type: "linearizable" };
  if (args.length === 2 && mode === "STALE") return { type: "stale" };
  throw syntaxError();
}

/** The record of a position `lsn-index` (a bare `lsn` will do). */
function lsnAt(args: CommandArguments, index: number): number {
  const match = /^(\d{1,15})(-\d{1,15})?$/.exec(textAt(args, index));
  if (match === null) throw new Refusal("ERR a position is written lsn-index");
  return Number(match[1]);
}

/** `Q.SESSION [ttl-ms]`: [id, expires-at-ms]. */
function openSession({ door }: RespConnection, args: CommandArguments, reply: RespWriter): void {
  const lifetimeMs = args.length === 2 ? integerAt(args, 1) : sessionLifetimeMsDefault;
  if (lifetimeMs < 1 || lifetimeMs > sessionLifetimeMsMax) {
    throw new Refusal(`ERR a session lives between 1 and ${sessionLifetimeMsMax} ms`);
  }
  const expiresAtMs = Math.floor(door.replica.stampNowMs()) + lifetimeMs;
  reply.arrayHeader(2);
  reply.bulkText(makeSessionId(door.random, expiresAtMs));
  reply.integer(expiresAtMs);
}

/** `Q.CELL`: rows of name, host, port: where the cell can be reached. */
function listDoors({ door }: RespConnection, _args: CommandArguments, reply: RespWriter): void {
  const doors = door.doors();
  reply.arrayHeader(doors.length);
  for (const { name, host, port } of doors) {
    reply.arrayHeader(3);
    reply.bulkText(name);
    reply.bulkText(host);
    reply.integer(port);
  }
}

export const quipuCommands: readonly CommandEntry[] = [
  {
    name: "q.bound",
    arity: -2,
    flags: ["write", "denyoom", "fast"],
    keys: [1, 1, 1],
    group: "quipu",
    since: "0.1.0",
    summary: "Set, clear or show the bounds of a counter",
    complexity: "O(1)",
    action: { type: "state", plan: planBound },
  },
  {
    name: "q.readmode",
    arity: -2,
    flags: ["loading", "stale", "fast"],
    group: "quipu",
    since: "0.1.0",
    summary: "Choose how fresh the reads of this connection are",
    complexity: "O(1)",
    // A barrier: a read of the new mode must not overtake one of the old.
    action: { type: "local", isBarrier: true, run: setReadMode },
  },
  {
    name: "q.session",
    arity: -1,
    flags: ["fast"],
    group: "quipu",
    since: "0.1.0",
    summary: "Make the id of a session for Q.BATCH",
    complexity: "O(1)",
    action: {
      type: "local",
      run(connection, args, reply) {
        if (args.length > 2) throw syntaxError();
        openSession(connection, args, reply);
      },
    },
  },
  {
    name: "q.cell",
    arity: 1,
    flags: ["loading", "stale", "fast"],
    group: "quipu",
    since: "0.1.0",
    summary: "List the nodes of the cell that take commands",
    complexity: "O(N) of the nodes",
    action: { type: "local", run: listDoors },
  },
];
