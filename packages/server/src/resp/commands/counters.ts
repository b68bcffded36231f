/** Counters: values as numbers. `INCR` and its kin, `INCREX` as in Redis 8.8. */
import { type Int64, int64Compare, int64Negate } from "@quipu/core";
import type { ExpiryChange, WriteOperation } from "@quipu/counters";
import {
  type CommandArguments,
  expiryAt,
  expiryCleared,
  expiryKept,
  int64At,
  isExpiryUnit,
  keyAt,
  keywordAt,
  requireOptionValue,
} from "../command-arguments.ts";
import type { CommandEntry, Plan, PlanContext } from "../command.ts";
import { notAFloatText, notAnIntegerText, Refusal, syntaxError } from "../refusal.ts";
import { formatBulk, formatDoubles, formatInteger } from "../reply-format.ts";

function planAdd(args: CommandArguments, database: number, delta: Int64): Plan {
  return { operation: { type: "add", database, key: keyAt(args, 1), delta }, format: formatInteger };
}

function planDecrementBy(args: CommandArguments, { database }: PlanContext): Plan {
  const delta = int64Negate(int64At(args, 2));
  if (delta === undefined) throw new Refusal("ERR decrement would overflow");
  return planAdd(args, database, delta);
}

interface IncrexOptions {
  readonly isDecimal: boolean;
  /** Index of the increment, or undefined for 1. */
  readonly by: number | undefined;
  readonly lower: number | undefined;
  readonly upper: number | undefined;
  readonly saturate: boolean;
  readonly expiry: ExpiryChange;
  readonly expiryOnlyIfNone: boolean;
}

/** `[BYFLOAT n | BYINT n] [LBOUND n] [UBOUND n] [SATURATE] [EX s | PX ms | EXAT s | PXAT ms | PERSIST] [ENX]`. */
function readIncrexOptions(args: CommandArguments): IncrexOptions {
  const places = new Map<string, number>();
  let saturate = false;
  let expiryOnlyIfNone = false;
  let expiry: ExpiryChange | undefined;
  for (let index = 2; index < args.length; index++) {
    const option = keywordAt(args, index);
    if (option === "BYINT" || option === "BYFLOAT" || option === "LBOUND" || option === "UBOUND") {
      const slot = option.startsWith("BY") ? "BY" : option;
      if (places.has(slot)) throw syntaxError();
      places.set(slot, requireOptionValue(args, index));
      places.set(option, index + 1);
      index += 1;
    } else if (option === "SATURATE" && !saturate) {
      saturate = true;
    } else if (option === "ENX" && !expiryOnlyIfNone) {
      expiryOnlyIfNone = true;
    } else if (option === "PERSIST" && expiry === undefined) {
      expiry = expiryCleared;
    } else if (isExpiryUnit(option) && expiry === undefined) {
      index = requireOptionValue(args, index);
      expiry = expiryAt(args, index, option, "increx");
    } else {
      throw syntaxError();
    }
  }
  if (expiryOnlyIfNone && expiry === expiryCleared) throw syntaxError();
  if (expiryOnlyIfNone && expiry === undefined) throw new Refusal("ERR ENX flag requires an expiration");
  return {
    isDecimal: places.has("BYFLOAT"),
    by: places.get("BY"),
    lower: places.get("LBOUND"),
    upper: places.get("UBOUND"),
    saturate,
    expiry: expiry ?? expiryKept,
    expiryOnlyIfNone,
  };
}

function planIncrex(args: CommandArguments, { database }: PlanContext): Plan {
  const key = keyAt(args, 1);
  const options = readIncrexOptions(args);
  const { saturate, expiry, expiryOnlyIfNone } = options;
  const by = options.isDecimal ? decimalBy(args, options) : integerBy(args, options);
  const operation: WriteOperation = { type: "addWithin", database, key, by, saturate, expiry, expiryOnlyIfNone };
  return { operation, format: options.isDecimal ? formatDoubles : formatInteger };
}

type AddWithin = Extract<WriteOperation, { readonly type: "addWithin" }>;

function integerBy(args: CommandArguments, { by, lower, upper }: IncrexOptions): AddWithin["by"] {
  const bounds = {
    lower: lower === undefined ? null : int64At(args, lower),
    upper: upper === undefined ? null : int64At(args, upper),
  };
  if (bounds.lower !== null && bounds.upper !== null && int64Compare(bounds.lower, bounds.upper) > 0) {
    throw new Refusal(crossedBoundsText);
  }
  return { type: "integer", delta: by === undefined ? 1 : int64At(args, by, notAnIntegerText), ...bounds };
}

function decimalBy(args: CommandArguments, { by, lower, upper }: IncrexOptions): AddWithin["by"] {
  const bounds = {
    lower: lower === undefined ? null : decimalAt(args, lower),
    upper: upper === undefined ? null : decimalAt(args, upper),
  };
  if (lower !== undefined && upper !== undefined && Number(asText(args, lower)) > Number(asText(args, upper))) {
    throw new Refusal(crossedBoundsText);
  }
  return { type: "decimal", increment: decimalAt(args, by as number), ...bounds };
}

const crossedBoundsText = "ERR LBOUND can't be greater than UBOUND";

function asText(args: CommandArguments, index: number): string {
  return new TextDecoder("latin1").decode(args[index]);
}

/** The exact decimal is the state machine's to read; here only what is no number at all is refused. */
function decimalAt(args: CommandArguments, index: number): Uint8Array {
  const text = asText(args, index);
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) throw new Refusal(notAFloatText);
  return args[index] as Uint8Array;
}

const oneKey = [1, 1, 1] as const;

export const counterCommands: readonly CommandEntry[] = [
  {
    name: "incr",
    arity: 2,
    flags: ["write", "denyoom", "fast"],
    keys: oneKey,
    group: "string",
    since: "1.0.0",
    summary: "Increment the integer value of a key by one",
    complexity: "O(1)",
    action: { type: "state", plan: (args, { database }) => planAdd(args, database, 1) },
  },
  {
    name: "decr",
    arity: 2,
    flags: ["write", "denyoom", "fast"],
    keys: oneKey,
    group: "string",
    since: "1.0.0",
    summary: "Decrement the integer value of a key by one",
    complexity: "O(1)",
    action: { type: "state", plan: (args, { database }) => planAdd(args, database, -1) },
  },
  {
    name: "incrby",
    arity: 3,
    flags: ["write", "denyoom", "fast"],
    keys: oneKey,
    group: "string",
    since: "1.0.0",
    summary: "Increment the integer value of a key by the given amount",
    complexity: "O(1)",
    action: { type: "state", plan: (args, { database }) => planAdd(args, database, int64At(args, 2)) },
  },
  {
    name: "decrby",
    arity: 3,
    flags: ["write", "denyoom", "fast"],
    keys: oneKey,
    group: "string",
    since: "1.0.0",
    summary: "Decrement the integer value of a key by the given number",
    complexity: "O(1)",
    action: { type: "state", plan: planDecrementBy },
  },
  {
    name: "incrbyfloat",
    arity: 3,
    flags: ["write", "denyoom", "fast"],
    keys: oneKey,
    group: "string",
    since: "2.6.0",
    summary: "Increment the float value of a key by the given amount",
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (args, { database }) => ({
        operation: { type: "addDecimal", database, key: keyAt(args, 1), increment: args[2] as Uint8Array },
        format: formatBulk,
      }),
    },
  },
  {
    name: "increx",
    arity: -2,
    flags: ["write", "denyoom", "fast"],
    keys: oneKey,
    group: "string",
    since: "8.8.0",
    summary: "Increment a number within bounds and set its expiration",
    complexity: "O(1)",
    action: { type: "state", plan: planIncrex },
  },
];
