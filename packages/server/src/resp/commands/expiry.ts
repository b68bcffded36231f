/** When keys go: the EXPIRE family, TTL and its kin, PERSIST. */
import type { ExpireConditions } from "@quipu/counters";
import { anyExpiryAt, type CommandArguments, type ExpiryUnit, keyAt, keywordAt, textAt } from "../command-arguments.ts";
import type { CommandEntry } from "../command.ts";
import { Refusal } from "../refusal.ts";
import { formatInteger } from "../reply-format.ts";

function conditionsFrom(args: CommandArguments, from: number): ExpireConditions {
  const given = new Set<string>();
  for (let index = from; index < args.length; index++) {
    const option = keywordAt(args, index);
    if (!["NX", "XX", "GT", "LT"].includes(option)) throw new Refusal(`ERR Unsupported option ${textAt(args, index)}`);
    given.add(option);
  }
  if (given.has("NX") && given.size > 1) {
    throw new Refusal("ERR NX and XX, GT or LT options at the same time are not compatible");
  }
  if (given.has("GT") && given.has("LT")) {
    throw new Refusal("ERR GT and LT options at the same time are not compatible");
  }
  return {
    ifNone: given.has("NX"),
    ifSome: given.has("XX"),
    ifLater: given.has("GT"),
    ifEarlier: given.has("LT"),
  };
}

function expire(name: string, unit: ExpiryUnit, since: string, summary: string): CommandEntry {
  return {
    name,
    arity: -3,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    group: "generic",
    since,
    summary,
    complexity: "O(1)",
    action: {
      type: "state",
      plan(args, { database }) {
        // Redis looks at the options before the time.
        const conditions = conditionsFrom(args, 3);
        const expiry = anyExpiryAt(args, 2, unit, name);
        return {
          operation: { type: "expire", database, key: keyAt(args, 1), expiry, conditions },
          format: formatInteger,
        };
      },
    },
  };
}

function timeToLive(name: string, unit: "ms" | "s", absolute: boolean, since: string, summary: string): CommandEntry {
  return {
    name,
    arity: 2,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    group: "generic",
    since,
    summary,
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (args, { database }) => ({
        operation: { type: "timeToLive", database, key: keyAt(args, 1), unit, absolute },
        format: formatInteger,
      }),
    },
  };
}

export const expiryCommands: readonly CommandEntry[] = [
  expire("expire", "EX", "1.0.0", "Set a key's time to live in seconds"),
  expire("pexpire", "PX", "2.6.0", "Set a key's time to live in milliseconds"),
  expire("expireat", "EXAT", "1.2.0", "Set the expiration of a key as a UNIX time in seconds"),
  expire("pexpireat", "PXAT", "2.6.0", "Set the expiration of a key as a UNIX time in milliseconds"),
  timeToLive("ttl", "s", false, "1.0.0", "Get the time to live of a key in seconds"),
  timeToLive("pttl", "ms", false, "2.6.0", "Get the time to live of a key in milliseconds"),
  timeToLive("expiretime", "s", true, "7.0.0", "Get the expiration of a key as a UNIX time in seconds"),
  timeToLive("pexpiretime", "ms", true, "7.0.0", "Get the expiration of a key as a UNIX time in milliseconds"),
  {
    name: "persist",
    arity: 2,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    group: "generic",
    since: "2.2.0",
    summary: "Remove the expiration of a key",
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (args, { database }) => ({
        operation: { type: "persist", database, key: keyAt(args, 1) },
        format: formatInteger,
      }),
    },
  },
];
