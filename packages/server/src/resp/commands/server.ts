/** The server: INFO, TIME, FLUSHDB, FLUSHALL, WAIT. */
import { type CommandArguments, int64At, integerAt, keywordAt, textAt } from "../command-arguments.ts";
import type { CommandEntry, Plan, PlanContext } from "../command.ts";
import { infoText } from "../info.ts";
import { Refusal, syntaxError } from "../refusal.ts";
import { formatStatus } from "../reply-format.ts";

/** NOPERM is what Redis answers to a user who may not run the command. */
function planFlush(command: "flushdb" | "flushall") {
  return (args: CommandArguments, { database, isFlushAllowed }: PlanContext): Plan => {
    if (args.length > 2) throw syntaxError();
    if (args.length === 2 && keywordAt(args, 1) !== "ASYNC" && keywordAt(args, 1) !== "SYNC") throw syntaxError();
    if (!isFlushAllowed) {
      throw new Refusal(`NOPERM ${command.toUpperCase()} is refused unless the server was started with --allow-flush`);
    }
    return { operation: { type: "flush", database: command === "flushdb" ? database : null }, format: formatStatus };
  };
}

export const serverCommands: readonly CommandEntry[] = [
  {
    name: "info",
    arity: -1,
    flags: ["loading", "stale"],
    group: "server",
    since: "1.0.0",
    summary: "Get information and statistics about the server",
    complexity: "O(1)",
    action: {
      type: "local",
      run(connection, args, reply) {
        const sections = args.slice(1).map((_, index) => textAt(args, index + 1).toLowerCase());
        reply.verbatim(infoText(connection.door, sections));
      },
    },
  },
  {
    name: "time",
    arity: 1,
    flags: ["loading", "stale", "fast"],
    group: "server",
    since: "2.6.0",
    summary: "Return the server time",
    complexity: "O(1)",
    action: {
      type: "local",
      run({ door }, _, reply) {
        const wallMs = door.clock.wallMs();
        const seconds = Math.floor(wallMs / 1000);
        reply.arrayHeader(2);
        reply.bulkText(String(seconds));
        reply.bulkText(String(Math.floor((wallMs - seconds * 1000) * 1000)));
      },
    },
  },
  {
    name: "flushdb",
    arity: -1,
    flags: ["write"],
    group: "server",
    since: "1.0.0",
    summary: "Remove all keys of the selected database",
    complexity: "O(N) where N is the number of keys in the database",
    action: { type: "state", plan: planFlush("flushdb") },
  },
  {
    name: "flushall",
    arity: -1,
    flags: ["write"],
    group: "server",
    since: "1.0.0",
    summary: "Remove all keys of all databases",
    complexity: "O(N) where N is the number of keys",
    action: { type: "state", plan: planFlush("flushall") },
  },
  {
    name: "wait",
    arity: 3,
    flags: ["blocking"],
    group: "generic",
    since: "3.0.0",
    summary: "Count the replicas that acknowledged this connection's writes",
    complexity: "O(1)",
    action: {
      type: "local",
      // Our replies come after the disk, so once everything before is answered it is durable. One process has no replicas.
      isBarrier: true,
      run(_, args, reply) {
        int64At(args, 1);
        const timeoutMs = integerAt(args, 2, "ERR timeout is not an integer or out of range");
        if (timeoutMs < 0) throw new Refusal("ERR timeout is negative");
        reply.integer(0);
      },
    },
  },
];
