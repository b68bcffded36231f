/**
 * Every command that is not on the fast path: looked up, checked in Redis' order (existence, arity, authentication,
 * MULTI), then planned and submitted, answered locally, or queued.
 */
import type { CommandArguments } from "./command-arguments.ts";
import { type CommandEntry, hasArity, hasFlag } from "./command.ts";
import { findCommand } from "./command-table.ts";
import type { RespConnection } from "./connection-face.ts";
import { Refusal, unknownCommandText, unknownSubcommandText, wrongArity } from "./refusal.ts";
import { bytesOf } from "./transaction-state.ts";

/** False: the command must wait; call again with the same arguments once something was answered. */
export function dispatch(connection: RespConnection, args: CommandArguments): boolean {
  const found = findCommand(args);
  try {
    const entry = check(connection, found, args);
    connection.client.lastCommand = entry.name;
    if (connection.transaction.isOpen && !runsInsideMulti(entry)) return enqueue(connection, entry, args);
    return run(connection, entry, args);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return refuse(connection, error, found.entry);
  }
}

function check(
  connection: RespConnection,
  found: ReturnType<typeof findCommand>,
  args: CommandArguments,
): CommandEntry {
  const { entry, container } = found;
  if (entry === undefined) {
    throw new Refusal(
      container === undefined ? unknownCommandText(args) : unknownSubcommandText(container.name, args[1] as Uint8Array),
    );
  }
  if (!hasArity(entry, args.length)) throw new Refusal(wrongArity(entry.name));
  if (!connection.client.isAuthenticated && !hasFlag(entry, "no_auth")) {
    throw new Refusal("NOAUTH Authentication required.");
  }
  if (connection.transaction.isOpen && hasFlag(entry, "no_multi")) {
    throw new Refusal("ERR Command not allowed inside a transaction");
  }
  return entry;
}

function runsInsideMulti(entry: CommandEntry): boolean {
  return entry.action.type === "flow" && entry.action.isImmediate === true;
}

function run(connection: RespConnection, entry: CommandEntry, args: CommandArguments): boolean {
  const { action } = entry;
  switch (action.type) {
    case "state": {
      const { door, client } = connection;
      return connection.submit(
        action.plan(args, { database: client.database, random: door.random, isFlushAllowed: door.isFlushAllowed }),
      );
    }
    case "local":
      if (connection.pendingReads > 0) return false;
      if (action.isBarrier === true && connection.pendingOrdered > 0) return false;
      connection.replyLocally((reply) => action.run(connection, args, reply));
      return true;
    case "flow":
      if (connection.pendingReads > 0 || action.mustWait?.(connection) === true) return false;
      action.run(connection, args);
      return true;
    case "container":
      if (connection.pendingReads > 0) return false;
      connection.replyLocally((reply) => action.run?.(reply));
      return true;
    default:
      return action satisfies never;
  }
}

function enqueue(connection: RespConnection, entry: CommandEntry, args: CommandArguments): boolean {
  if (connection.pendingReads > 0) return false;
  const { transaction } = connection;
  const { queuedCommandsMax, queuedBytesMax } = connection.door.limits;
  if (transaction.queued.length >= queuedCommandsMax || transaction.queuedBytes + bytesOf(args) > queuedBytesMax) {
    throw new Refusal(
      `OVERLOADED a transaction holds at most ${queuedCommandsMax} commands and ${queuedBytesMax} bytes`,
    );
  }
  if (!transaction.isBroken) transaction.queue(entry, args);
  connection.replyLocally((reply) => reply.simpleString("QUEUED"));
  return true;
}

/** Refused before it ran: inside MULTI the transaction is lost, as in Redis. */
function refuse(connection: RespConnection, refusal: Refusal, entry: CommandEntry | undefined): boolean {
  if (connection.pendingReads > 0) return false;
  if (connection.transaction.isOpen && (entry === undefined || !runsInsideMulti(entry))) {
    connection.transaction.isBroken = true;
  }
  connection.door.statistics.errorReplies += 1;
  connection.replyLocally((reply) => reply.error(refusal.text));
  return true;
}
