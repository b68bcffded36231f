/** Strings: values as they are. `GET`, `SET` and their kin (https://redis.io/docs/latest/commands/?group=string). */
import type { ExpiryChange, WriteOperation } from "@quipu/counters";
import {
  type CommandArguments,
  expiryAt,
  expiryCleared,
  expiryKept,
  type ExpiryUnit,
  isExpiryUnit,
  keyAt,
  keysFrom,
  keywordAt,
  requireOptionValue,
  valueAt,
} from "../command-arguments.ts";
import type { CommandEntry, Plan, PlanContext } from "../command.ts";
import { Refusal, syntaxError, wrongArity } from "../refusal.ts";
import { formatBulk, formatInteger, formatStatus, formatWhetherSet } from "../reply-format.ts";

type SetOperation = Extract<WriteOperation, { readonly type: "set" }>;

function planSet(args: CommandArguments, { database }: PlanContext): Plan {
  let condition: SetOperation["condition"] = "always";
  let returnPrevious = false;
  let expiry: ExpiryChange | undefined;
  for (let index = 3; index < args.length; index++) {
    const option = keywordAt(args, index);
    if ((option === "NX" || option === "XX") && condition === "always") {
      condition = option === "NX" ? "ifAbsent" : "ifPresent";
    } else if (option === "GET") {
      returnPrevious = true;
    } else if (option === "KEEPTTL" && expiry === undefined) {
      expiry = expiryKept;
    } else if (isExpiryUnit(option) && expiry === undefined) {
      index = requireOptionValue(args, index);
      expiry = expiryAt(args, index, option, "set");
    } else {
      throw syntaxError();
    }
  }
  const operation: SetOperation = {
    type: "set",
    database,
    key: keyAt(args, 1),
    value: valueAt(args, 2),
    condition,
    returnPrevious,
    expiry: expiry ?? expiryCleared,
  };
  return { operation, format: returnPrevious ? formatBulk : formatStatus };
}

/** SETNX, GETSET and other commands that are SET with fixed options. */
function planPlainSet(
  args: CommandArguments,
  database: number,
  valueIndex: number,
  options: Partial<Pick<SetOperation, "condition" | "returnPrevious" | "expiry">>,
  format: number,
): Plan {
  const operation: SetOperation = {
    type: "set",
    database,
    key: keyAt(args, 1),
    value: valueAt(args, valueIndex),
    condition: "always",
    returnPrevious: false,
    expiry: expiryCleared,
    ...options,
  };
  return { operation, format };
}

function planSetExpiring(unit: ExpiryUnit, command: string) {
  return (args: CommandArguments, { database }: PlanContext): Plan =>
    planPlainSet(args, database, 3, { expiry: expiryAt(args, 2, unit, command) }, formatStatus);
}

function planGetAndExpire(args: CommandArguments, { database }: PlanContext): Plan {
  const key = keyAt(args, 1);
  if (args.length === 2) return { operation: { type: "get", database, key }, format: formatBulk };
  const option = keywordAt(args, 2);
  let expiry: ExpiryChange;
  if (option === "PERSIST" && args.length === 3) expiry = expiryCleared;
  else if (isExpiryUnit(option) && args.length === 4) expiry = expiryAt(args, 3, option, "getex");
  else throw syntaxError();
  return { operation: { type: "getAndExpire", database, key, expiry }, format: formatBulk };
}

function planSetMany(command: "mset" | "msetnx") {
  return (args: CommandArguments, { database }: PlanContext): Plan => {
    if (args.length % 2 === 0) throw new Refusal(wrongArity(command));
    const pairs: { key: Uint8Array; value: Uint8Array }[] = [];
    for (let index = 1; index < args.length; index += 2) {
      pairs.push({ key: keyAt(args, index), value: valueAt(args, index + 1) });
    }
    const ifNoneExists = command === "msetnx";
    return {
      operation: { type: "setMany", database, pairs, ifNoneExists },
      format: ifNoneExists ? formatInteger : formatStatus,
    };
  };
}

const oneKey = [1, 1, 1] as const;

export const stringCommands: readonly CommandEntry[] = [
  {
    name: "get",
    arity: 2,
    flags: ["readonly", "fast"],
    keys: oneKey,
    group: "string",
    since: "1.0.0",
    summary: "Get the value of a key",
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (args, { database }) => ({
        operation: { type: "get", database, key: keyAt(args, 1) },
        format: formatBulk,
      }),
    },
  },
  {
    name: "set",
    arity: -3,
    flags: ["write", "denyoom"],
    keys: oneKey,
    group: "string",
    since: "1.0.0",
    summary: "Set the value of a key",
    complexity: "O(1)",
    action: { type: "state", plan: planSet },
  },
  {
    name: "setnx",
    arity: 3,
    flags: ["write", "denyoom", "fast"],
    keys: oneKey,
    group: "string",
    since: "1.0.0",
    summary: "Set the value of a key, only if the key does not exist",
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (args, { database }) => planPlainSet(args, database, 2, { condition: "ifAbsent" }, formatWhetherSet),
    },
  },
  {
    name: "setex",
    arity: 4,
    flags: ["write", "denyoom"],
    keys: oneKey,
    group: "string",
    since: "2.0.0",
    summary: "Set the value and expiration of a key, in seconds",
    complexity: "O(1)",
    action: { type: "state", plan: planSetExpiring("EX", "setex") },
  },
  {
    name: "psetex",
    arity: 4,
    flags: ["write", "denyoom"],
    keys: oneKey,
    group: "string",
    since: "2.6.0",
    summary: "Set the value and expiration of a key, in milliseconds",
    complexity: "O(1)",
    action: { type: "state", plan: planSetExpiring("PX", "psetex") },
  },
  {
    name: "getset",
    arity: 3,
    flags: ["write", "denyoom", "fast"],
    keys: oneKey,
    group: "string",
    since: "1.0.0",
    summary: "Set the value of a key and return its old value",
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (args, { database }) => planPlainSet(args, database, 2, { returnPrevious: true }, formatBulk),
    },
  },
  {
    name: "getdel",
    arity: 2,
    flags: ["write", "fast"],
    keys: oneKey,
    group: "string",
    since: "6.2.0",
    summary: "Get the value of a key and delete the key",
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (args, { database }) => ({
        operation: { type: "getAndDelete", database, key: keyAt(args, 1) },
        format: formatBulk,
      }),
    },
  },
  {
    name: "getex",
    arity: -2,
    flags: ["write", "fast"],
    keys: oneKey,
    group: "string",
    since: "6.2.0",
    summary: "Get the value of a key and optionally set its expiration",
    complexity: "O(1)",
    action: { type: "state", plan: planGetAndExpire },
  },
  {
    name: "mget",
    arity: -2,
    flags: ["readonly", "fast"],
    keys: [1, -1, 1],
    group: "string",
    since: "1.0.0",
    summary: "Get the values of all the given keys",
    complexity: "O(N) where N is the number of keys to retrieve",
    action: {
      type: "state",
      plan: (args, { database }) => ({
        operation: { type: "getMany", database, keys: keysFrom(args, 1) },
        format: formatBulk,
      }),
    },
  },
  {
    name: "mset",
    arity: -3,
    flags: ["write", "denyoom"],
    keys: [1, -1, 2],
    group: "string",
    since: "1.0.1",
    summary: "Set multiple keys to multiple values",
    complexity: "O(N) where N is the number of keys to set",
    action: { type: "state", plan: planSetMany("mset") },
  },
  {
    name: "msetnx",
    arity: -3,
    flags: ["write", "denyoom"],
    keys: [1, -1, 2],
    group: "string",
    since: "1.0.1",
    summary: "Set multiple keys to multiple values, only if none of the keys exist",
    complexity: "O(N) where N is the number of keys to set",
    action: { type: "state", plan: planSetMany("msetnx") },
  },
];
