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

/** What SET and GETEX may do with the expiry. An option may stand twice; its last value counts, as in Redis. */
type ExpiryOption = "KEEPTTL" | "PERSIST" | ExpiryUnit;

interface ChosenExpiry {
  readonly option: ExpiryOption;
  /** Where its value stands; read once all options are known to be in order. */
  readonly valueIndex: number;
}

/** The option at `index`, unless another one about the expiry stands before it. */
function expiryOptionAt(args: CommandArguments, index: number, earlier: ChosenExpiry | undefined): ChosenExpiry {
  const option = keywordAt(args, index);
  if (option !== "KEEPTTL" && option !== "PERSIST" && !isExpiryUnit(option)) throw syntaxError();
  if (earlier !== undefined && earlier.option !== option) throw syntaxError();
  return { option, valueIndex: isExpiryUnit(option) ? requireOptionValue(args, index) : index };
}

function chosenExpiry(args: CommandArguments, { option, valueIndex }: ChosenExpiry, command: string): ExpiryChange {
  if (option === "KEEPTTL") return expiryKept;
  return option === "PERSIST" ? expiryCleared : expiryAt(args, valueIndex, option, command);
}

function planSet(args: CommandArguments, { database }: PlanContext): Plan {
  let condition: SetOperation["condition"] = "always";
  let returnPrevious = false;
  let chosen: ChosenExpiry | undefined;
  for (let index = 3; index < args.length; index++) {
    const option = keywordAt(args, index);
    if (option === "NX" && condition !== "ifPresent") condition = "ifAbsent";
    else if (option === "XX" && condition !== "ifAbsent") condition = "ifPresent";
    else if (option === "GET") returnPrevious = true;
    else if (option === "PERSIST") throw syntaxError();
    else {
      chosen = expiryOptionAt(args, index, chosen);
      index = chosen.valueIndex;
    }
  }
  const operation: SetOperation = {
    type: "set",
    database,
    key: keyAt(args, 1),
    value: valueAt(args, 2),
    condition,
    returnPrevious,
    expiry: chosen === undefined ? expiryCleared : chosenExpiry(args, chosen, "set"),
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
  let chosen: ChosenExpiry | undefined;
  for (let index = 2; index < args.length; index++) {
    chosen = expiryOptionAt(args, index, chosen);
    if (chosen.option === "KEEPTTL") throw syntaxError();
    index = chosen.valueIndex;
  }
  const expiry = chosen === undefined ? expiryKept : chosenExpiry(args, chosen, "getex");
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
