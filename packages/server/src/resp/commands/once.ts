/**
 * `Q.ONCE <key> [AT ms] <command…>`: the command is applied once however often it is sent (DESIGN §4.5).
 * `Q.ONCE <key> EXEC` names the open MULTI. A key that is a UUIDv7 bears its time, as `AT` does.
 */
import type { OnceCommand } from "@quipu/counters";
import { type CommandArguments, integerAt, isWord, keyAt } from "../command-arguments.ts";
import { type CommandEntry, hasArity } from "../command.ts";
import type { CommandTable } from "../command-table.ts";
import type { RespConnection } from "../connection-face.ts";
import { Refusal, syntaxError, unknownCommandText, wrongArity } from "../refusal.ts";
import { formatByContext } from "../reply-format.ts";
import { takeTransaction, hasUnknownWatches } from "./transactions.ts";
import { timeOfUuid7 } from "../uuid7.ts";

interface OnceHeader {
  readonly id: Uint8Array;
  readonly bornAtMs: number | null;
  /** The words of the inner command. */
  readonly inner: CommandArguments;
}

function readHeader(args: CommandArguments): OnceHeader {
  const id = keyAt(args, 1);
  if (id.length === 0) throw new Refusal("ERR the idempotency key is empty");
  const hasTime = args.length > 2 && isWord(args[2] as Uint8Array, "at");
  if (hasTime && args.length < 5) throw syntaxError();
  const bornAtMs = hasTime ? integerAt(args, 3) : timeOfUuid7(id, 0, id.length);
  return { id, bornAtMs: bornAtMs ?? null, inner: args.slice(hasTime ? 4 : 2) };
}

function once(table: CommandTable, connection: RespConnection, args: CommandArguments): void {
  const { transaction, client, door } = connection;
  const { id, bornAtMs, inner } = readHeader(args);
  const wrap = (command: OnceCommand["command"]): OnceCommand => ({
    type: "once",
    id,
    retentionMs: door.idempotencyRetentionMs,
    bornAtMs,
    command,
  });
  if (isWord(inner[0] as Uint8Array, "exec")) {
    if (inner.length > 1) throw new Refusal(wrongArity("exec"));
    const { command, context } = takeTransaction(connection, "EXEC");
    connection.submitCommand(wrap(command), formatByContext, context);
    return;
  }
  if (transaction.isOpen) {
    transaction.isBroken = true;
    throw new Refusal("ERR Q.ONCE inside MULTI takes only EXEC");
  }
  const { entry } = table.find(inner);
  if (entry === undefined) throw new Refusal(unknownCommandText(inner));
  if (!hasArity(entry, inner.length)) throw new Refusal(wrongArity(entry.name));
  if (entry.action.type !== "state") throw new Refusal(`ERR Q.ONCE cannot run '${entry.name}'`);
  const { operation, format } = entry.action.plan(inner, {
    database: client.database,
    random: door.random,
    isFlushAllowed: door.isFlushAllowed,
  });
  connection.submitCommand(wrap(operation), format);
}

/** Words before the inner command. */
function innerStart(args: CommandArguments): number {
  return args.length > 4 && isWord(args[2] as Uint8Array, "at") ? 4 : 2;
}

export function onceCommands(table: CommandTable): readonly CommandEntry[] {
  return [
    {
      name: "q.once",
      arity: -3,
      flags: ["write", "denyoom", "movablekeys"],
      movableKeys(args) {
        const start = innerStart(args);
        const inner = args.slice(start);
        const { entry } = table.find(inner);
        return entry === undefined ? [] : keyIndexes(entry, inner).map((index) => index + start);
      },
      group: "quipu",
      since: "0.1.0",
      summary: "Run a command at most once per idempotency key",
      complexity: "That of the command",
      action: {
        type: "flow",
        isImmediate: true,
        mustWait: hasUnknownWatches,
        run: (connection, args) => once(table, connection, args),
      },
    },
  ];
}

/** Where the keys of a command stand among its words. */
export function keyIndexes(entry: CommandEntry, args: CommandArguments): readonly number[] {
  if (entry.movableKeys !== undefined) return entry.movableKeys(args);
  if (entry.keys === undefined) return [];
  const [first, last, step] = entry.keys;
  const end = last < 0 ? args.length + last : last;
  const indexes: number[] = [];
  for (let index = first; index <= end; index += step) indexes.push(index);
  return indexes;
}
