/** Keys whatever they hold: existence, deletion, listing. */
import type { CommandArguments } from "../command-arguments.ts";
import { integerAt, keyAt, keysFrom, keywordAt, requireOptionValue } from "../command-arguments.ts";
import type { CommandEntry, Plan, PlanContext } from "../command.ts";
import { Refusal, syntaxError } from "../refusal.ts";
import { slotCount } from "@quipu/routing";
import { formatBulk, formatInteger, formatScanOfNothing, formatType } from "../reply-format.ts";

/** Redis returns ten where COUNT does not say. */
const scanCountDefault = 10;

/** `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`. The cursor is a slot, so it survives splits. */
function planScan(args: CommandArguments, { database }: PlanContext): Plan {
  const cursor = cursorAt(args, 1);
  let count = scanCountDefault;
  let pattern: Uint8Array | null = null;
  let format = formatBulk;
  for (let index = 2; index < args.length; index += 2) {
    const option = keywordAt(args, index);
    const value = requireOptionValue(args, index);
    if (option === "COUNT") {
      count = integerAt(args, value);
      if (count < 1) throw syntaxError();
    } else if (option === "MATCH") {
      pattern = args[value] as Uint8Array;
    } else if (option === "TYPE") {
      if (keywordAt(args, value) !== "STRING") format = formatScanOfNothing;
    } else {
      throw syntaxError();
    }
  }
  return { operation: { type: "scan", database, cursor, count: Math.min(count, scanCountMax), pattern }, format };
}

/** Keys looked at in one SCAN: bounds how long one command holds up the others. */
const scanCountMax = 100_000;

/** An unsigned 64-bit decimal, as Redis takes; what is no slot of ours has nothing left to walk. */
function cursorAt(args: CommandArguments, index: number): number {
  const text = new TextDecoder("latin1").decode(args[index]);
  if (!/^\d{1,20}$/.test(text) || BigInt(text) > 0xffff_ffff_ffff_ffffn) throw new Refusal("ERR invalid cursor");
  return Math.min(Number(text), slotCount);
}

function planDelete(args: CommandArguments, { database }: PlanContext): Plan {
  return { operation: { type: "delete", database, keys: keysFrom(args, 1) }, format: formatInteger };
}

function planExists(args: CommandArguments, { database }: PlanContext): Plan {
  return { operation: { type: "exists", database, keys: keysFrom(args, 1) }, format: formatInteger };
}

const allKeys = [1, -1, 1] as const;

export const keyCommands: readonly CommandEntry[] = [
  {
    name: "del",
    arity: -2,
    flags: ["write"],
    keys: allKeys,
    group: "generic",
    since: "1.0.0",
    summary: "Delete keys",
    complexity: "O(N) where N is the number of keys",
    action: { type: "state", plan: planDelete },
  },
  {
    name: "unlink",
    arity: -2,
    flags: ["write", "fast"],
    keys: allKeys,
    group: "generic",
    since: "4.0.0",
    summary: "Delete keys",
    complexity: "O(N) where N is the number of keys",
    action: { type: "state", plan: planDelete },
  },
  {
    name: "exists",
    arity: -2,
    flags: ["readonly", "fast"],
    keys: allKeys,
    group: "generic",
    since: "1.0.0",
    summary: "Count how many of the keys exist",
    complexity: "O(N) where N is the number of keys",
    action: { type: "state", plan: planExists },
  },
  {
    name: "touch",
    arity: -2,
    flags: ["readonly", "fast"],
    keys: allKeys,
    group: "generic",
    since: "3.2.1",
    summary: "Count how many of the keys exist",
    complexity: "O(N) where N is the number of keys",
    action: { type: "state", plan: planExists },
  },
  {
    name: "type",
    arity: 2,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    group: "generic",
    since: "1.0.0",
    summary: "Determine the type stored at a key",
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (args, { database }) => ({
        operation: { type: "typeOf", database, key: keyAt(args, 1) },
        format: formatType,
      }),
    },
  },
  {
    name: "keys",
    arity: 2,
    flags: ["readonly"],
    group: "generic",
    since: "1.0.0",
    summary: "Find all keys that match a pattern",
    complexity: "O(N) where N is the number of keys in the database",
    action: {
      type: "state",
      plan: (args, { database }) => ({
        operation: { type: "keys", database, pattern: args[1] as Uint8Array },
        format: formatBulk,
      }),
    },
  },
  {
    name: "scan",
    arity: -2,
    flags: ["readonly"],
    group: "generic",
    since: "2.8.0",
    summary: "Walk the keys in steps",
    complexity: "O(1) for every call, O(N) for a complete walk",
    action: { type: "state", plan: planScan },
  },
  {
    name: "randomkey",
    arity: 1,
    flags: ["readonly"],
    group: "generic",
    since: "1.0.0",
    summary: "Return a random key",
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (_, { database, random }) => ({
        operation: { type: "randomKey", database, choice: random.uint32() },
        format: formatBulk,
      }),
    },
  },
  {
    name: "dbsize",
    arity: 1,
    flags: ["readonly", "fast"],
    group: "server",
    since: "1.0.0",
    summary: "Return the number of keys in the selected database",
    complexity: "O(1)",
    action: {
      type: "state",
      plan: (_, { database }) => ({ operation: { type: "databaseSize", database }, format: formatInteger }),
    },
  },
];
