/** MULTI, EXEC, DISCARD, WATCH, UNWATCH: one transaction is one record (https://redis.io/docs/latest/develop/using-commands/transactions/). */
import { lsn, type QuipuError } from "@quipu/core";
import type { Operation, OutcomeValue, Position, TransactionCommand } from "@quipu/counters";
import { RespWriter } from "@quipu/protocol";
import type { CommandArguments } from "../command-arguments.ts";
import { keysFrom } from "../command-arguments.ts";
import type { CommandEntry, CommandFlag } from "../command.ts";
import type { ReplyContext, RespConnection } from "../connection-face.ts";
import { failureText, Refusal } from "../refusal.ts";
import { formatByContext, type ReplyFormat, writeOutcome } from "../reply-format.ts";
import type { QueuedCommand } from "../transaction-state.ts";

/** One reply of EXEC: the next outcome of the state machine in this format, or bytes that are ready. */
type Part = ReplyFormat | Uint8Array;

export interface BuiltTransaction {
  readonly command: TransactionCommand;
  readonly context: ReplyContext;
}

function multi(connection: RespConnection): void {
  const { transaction } = connection;
  if (transaction.isOpen) throw new Refusal("ERR MULTI calls can not be nested");
  transaction.begin();
  transaction.isOpen = true;
  connection.transactionChanged();
  connection.replyLocally((reply) => reply.simpleString("OK"));
}

function discard(connection: RespConnection): void {
  if (!connection.transaction.isOpen) throw new Refusal("ERR DISCARD without MULTI");
  connection.transaction.end();
  connection.transactionChanged();
  connection.replyLocally((reply) => reply.simpleString("OK"));
}

function exec(connection: RespConnection): void {
  const { command, context } = takeTransaction(connection, "EXEC");
  if (command.operations.length === 0 && command.watches.length === 0) {
    // Nothing for the log.
    connection.replyLocally((reply) => context.write(reply, { type: "array", items: [] }));
  } else {
    connection.submitCommand(command, formatByContext, context);
  }
}

/** Ends the open MULTI and turns it into one command; for EXEC and `Q.ONCE key EXEC`. */
export function takeTransaction(connection: RespConnection, name: string): BuiltTransaction {
  const { transaction } = connection;
  if (!transaction.isOpen) throw new Refusal(`ERR ${name} without MULTI`);
  const { isBroken, queued, watches } = transaction;
  transaction.end();
  connection.transactionChanged();
  if (isBroken) throw new Refusal("EXECABORT Transaction discarded because of previous errors.");
  const operations: Operation[] = [];
  const parts = queued.map((each) => buildPart(connection, each, operations));
  return { command: { type: "transaction", watches, operations }, context: partsContext(parts) };
}

function buildPart(connection: RespConnection, { entry, args }: QueuedCommand, operations: Operation[]): Part {
  const { door, client } = connection;
  const reply = new RespWriter(connection.protocol);
  const { action } = entry;
  try {
    if (action.type === "state") {
      // The database may have been selected by an earlier command of the same transaction.
      const planned = action.plan(args, {
        database: client.database,
        random: door.random,
        isFlushAllowed: door.isFlushAllowed,
      });
      operations.push(planned.operation);
      return planned.format;
    }
    if (action.type !== "local") throw new Refusal("ERR Command not allowed inside a transaction");
    action.run(connection, args, reply);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    reply.truncate(0);
    reply.error(error.text);
  }
  return reply.take();
}

function partsContext(parts: readonly Part[]): ReplyContext {
  return {
    write(reply: RespWriter, outcome: OutcomeValue): void {
      if (outcome.type === "nil") return reply.nullArray();
      if (outcome.type !== "array") return writeOutcome(reply, outcome, 0);
      reply.arrayHeader(parts.length);
      let next = 0;
      for (const part of parts) {
        if (typeof part === "number") writeOutcome(reply, outcome.items[next++] as OutcomeValue, part);
        else reply.raw(part);
      }
    },
    fail: (reply: RespWriter, error: QuipuError): void => reply.error(failureText(error)),
  };
}

/** Asks for the versions of the keys; EXEC waits until they are known and passes them on. */
function watch(connection: RespConnection, args: CommandArguments): void {
  const { transaction, client, door } = connection;
  if (transaction.isOpen) throw new Refusal("ERR WATCH inside MULTI is not allowed");
  const keys = keysFrom(args, 1);
  if (transaction.watches.length + transaction.watchesPending + keys.length > door.limits.watchedKeysMax) {
    throw new Refusal(`OVERLOADED a connection watches at most ${door.limits.watchedKeysMax} keys`);
  }
  const { database } = client;
  let failure: QuipuError | undefined;
  keys.forEach((key, index) => {
    const isLast = index === keys.length - 1;
    const answered = (reply: RespWriter): void => {
      transaction.watchesPending -= 1;
      if (!isLast) return;
      if (failure === undefined) reply.simpleString("OK");
      else reply.error(failureText(failure));
    };
    transaction.watchesPending += 1;
    connection.submitRead(
      { operation: { type: "versionOf", database, key }, format: formatByContext },
      {
        write(reply, outcome) {
          transaction.watch({ database, key, version: positionOf(outcome) });
          answered(reply);
        },
        fail(reply, error) {
          failure ??= error;
          answered(reply);
        },
      },
    );
  });
}

/** Reads `lsn-index`. */
function positionOf(outcome: OutcomeValue): Position {
  const text = outcome.type === "bytes" ? new TextDecoder().decode(outcome.value) : "";
  const [position, index] = text.split("-").map(Number);
  return { lsn: lsn(position ?? Number.NaN), index: index ?? 0 };
}

function transactionCommand(
  name: string,
  arity: number,
  since: string,
  summary: string,
  run: (connection: RespConnection, args: CommandArguments) => void,
  mustWait?: (connection: RespConnection) => boolean,
): CommandEntry {
  const flags: readonly CommandFlag[] = ["noscript", "loading", "stale", "fast"];
  return {
    name,
    arity,
    flags,
    ...(name === "watch" ? { keys: [1, -1, 1] as const } : {}),
    group: "transactions",
    since,
    summary,
    complexity: name === "exec" ? "Depends on commands in the transaction" : "O(1)",
    action: { type: "flow", isImmediate: name !== "unwatch", run, ...(mustWait === undefined ? {} : { mustWait }) },
  };
}

/** The versions that WATCH asked for go into the transaction. */
export function hasUnknownWatches({ transaction }: RespConnection): boolean {
  return transaction.watchesPending > 0;
}

export const transactionCommands: readonly CommandEntry[] = [
  transactionCommand("multi", 1, "1.2.0", "Mark the start of a transaction block", multi),
  transactionCommand("exec", 1, "1.2.0", "Execute all commands queued after MULTI", exec, hasUnknownWatches),
  transactionCommand("discard", 1, "2.0.0", "Discard all commands queued after MULTI", discard, hasUnknownWatches),
  transactionCommand("watch", -2, "2.2.0", "Make EXEC depend on keys not having changed", watch),
  {
    name: "unwatch",
    arity: 1,
    flags: ["noscript", "loading", "stale", "fast"],
    group: "transactions",
    since: "2.2.0",
    summary: "Forget about all watched keys",
    complexity: "O(1)",
    action: {
      type: "local",
      isBarrier: true,
      run({ transaction }, _, reply) {
        transaction.watches = [];
        reply.simpleString("OK");
      },
    },
  },
];
