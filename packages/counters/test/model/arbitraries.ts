/** Commands for fast-check: `any…` with any field there can be, for the codec; `tame…` for the state machine. */
import type { Int64 } from "@quipu/core";
import fc from "fast-check";
import type {
  Command,
  ExpiryChange,
  OnceCommand,
  Operation,
  SessionCommand,
  TransactionCommand,
} from "../../src/operations.ts";
import type { OutcomeValue } from "../../src/outcome.ts";
import { errorNumbers } from "../../src/opcodes.ts";
import {
  anyBytes,
  anyCount,
  anyInt64,
  bytesOf,
  epochMs,
  type Fields,
  tameFields,
  textOf,
  wildFields,
} from "./fields.ts";

export { anyInt64, bytesOf, epochMs, keyNames, tameInt64, textOf } from "./fields.ts";

const flag = fc.boolean();
const orNull = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null, freq: 2 });

/** Negative and zero times reach the machine through EXPIRE only: SET and its kin refuse them at the front door. */
function expiryOf(timeMs: fc.Arbitrary<number>): fc.Arbitrary<Extract<ExpiryChange, { readonly ms: number }>> {
  return fc.oneof(
    fc.record({ type: fc.constant("in" as const), ms: timeMs }),
    fc.record({ type: fc.constant("at" as const), ms: timeMs.map((ms) => absolute(ms)) }),
  );
}

const absolute = (ms: number): number => (Math.abs(ms) < 1e9 ? epochMs + ms : ms);

function writes(fields: Fields): fc.WeightedArbitrary<Operation>[] {
  const { database, key, value, int64 } = fields;
  const expiry: fc.Arbitrary<ExpiryChange> = fc.oneof(
    fc.constantFrom<ExpiryChange>({ type: "clear" }, { type: "keep" }),
    expiryOf(fields.setTimeMs),
  );
  const on = { database, key };
  const pair = fc.record({ key, value });
  const keys = fc.array(key, { minLength: 1, maxLength: 3 });
  return [
    { weight: 12, arbitrary: fc.record({ type: fc.constant("add" as const), ...on, delta: int64 }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant("addDecimal" as const), ...on, increment: fields.decimal }) },
    { weight: 4, arbitrary: addWithin(fields, expiry) },
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant("set" as const),
        ...on,
        value,
        condition: fc.constantFrom("always" as const, "ifAbsent" as const, "ifPresent" as const),
        returnPrevious: flag,
        expiry,
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant("setMany" as const),
        database,
        pairs: fc.array(pair, { minLength: 1, maxLength: 3 }),
        ifNoneExists: flag,
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("getAndDelete" as const), ...on }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant("getAndExpire" as const), ...on, expiry }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant("delete" as const), database, keys }) },
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant("expire" as const),
        ...on,
        expiry: expiryOf(fields.timeMs),
        conditions: conditions(fields),
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("persist" as const), ...on }) },
    { weight: 5, arbitrary: bound(fields) },
    { weight: 4, arbitrary: compareAndSet(fields) },
  ];
}

function conditions(fields: Fields): fc.Arbitrary<Extract<Operation, { type: "expire" }>["conditions"]> {
  const any = fc.record({ ifNone: flag, ifSome: flag, ifLater: flag, ifEarlier: flag });
  if (fields === wildFields) return any;
  // Redis refuses NX with any other, and GT with LT.
  return any.filter((c) => !(c.ifNone && (c.ifSome || c.ifLater || c.ifEarlier)) && !(c.ifLater && c.ifEarlier));
}

function addWithin(fields: Fields, expiry: fc.Arbitrary<ExpiryChange>): fc.Arbitrary<Operation> {
  const { database, key, int64, decimal } = fields;
  const integer = fc.record({
    type: fc.constant("integer" as const),
    delta: int64,
    lower: orNull(int64),
    upper: orNull(int64),
  });
  const tameDecimal = fields === wildFields ? decimal : fc.constantFrom("-3.5", "-1", "0", "2.5", "1e2").map(bytesOf);
  return fc.record({
    type: fc.constant("addWithin" as const),
    database,
    key,
    by: fc.oneof(
      // Redis refuses a lower bound above the upper one before it looks at the key.
      fields === wildFields
        ? integer
        : integer.filter((by) => by.lower === null || by.upper === null || by.lower <= by.upper),
      fc
        .record({
          type: fc.constant("decimal" as const),
          increment: decimal,
          lower: orNull(tameDecimal),
          upper: orNull(tameDecimal),
        })
        .filter(
          (by) =>
            fields === wildFields ||
            Number(by.lower && textOf(by.lower)) <= Number(by.upper && textOf(by.upper)) ||
            by.lower === null ||
            by.upper === null,
        ),
    ),
    saturate: flag,
    expiry,
    expiryOnlyIfNone: flag,
  });
}

function bound(fields: Fields): fc.Arbitrary<Operation> {
  const { database, key, int64 } = fields;
  const end = (usual: fc.Arbitrary<Int64>): fc.Arbitrary<Int64 | "keep" | "clear"> =>
    fc.oneof(
      { weight: 1, arbitrary: fc.constantFrom("keep" as const, "clear" as const) },
      { weight: 1, arbitrary: int64 },
      { weight: fields === wildFields ? 0 : 3, arbitrary: usual },
    );
  const minimum = end(fc.integer({ min: -9, max: 2 }));
  const maximum = end(fc.integer({ min: 0, max: 9 }));
  return fc.record({ type: fc.constant("bound" as const), database, key, minimum, maximum, force: flag });
}

function compareAndSet({ database, key, int64, version }: Fields): fc.Arbitrary<Operation> {
  return fc.record({
    type: fc.constant("compareAndSet" as const),
    database,
    key,
    expected: fc.oneof(
      fc.constant({ type: "absent" as const }),
      fc.record({ type: fc.constant("value" as const), value: int64 }),
      fc.record({ type: fc.constant("version" as const), version }),
    ),
    value: int64,
  });
}

function reads(fields: Fields): fc.Arbitrary<Operation> {
  const { database, key } = fields;
  const keys = fc.array(key, { minLength: 1, maxLength: 3 });
  return fc.oneof<fc.Arbitrary<Operation>[]>(
    fc.record({
      type: fc.constantFrom("get" as const, "typeOf" as const, "describe" as const, "versionOf" as const),
      database,
      key,
    }),
    fc.record({ type: fc.constantFrom("getMany" as const, "exists" as const), database, keys }),
    fc.record({
      type: fc.constant("timeToLive" as const),
      database,
      key,
      unit: fc.constantFrom("ms" as const, "s" as const),
      absolute: flag,
    }),
    fc.record({ type: fc.constant("databaseSize" as const), database }),
    fc.record({
      type: fc.constant("scan" as const),
      database,
      cursor: fields.cursor,
      count: fields.count,
      pattern: orNull(fields.pattern),
    }),
    fc.record({ type: fc.constant("keys" as const), database, pattern: fields.pattern }),
    fc.record({ type: fc.constant("randomKey" as const), database, choice: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }),
  );
}

/** Rare: it changes all 16,384 slots, which is slow to hash and to snapshot. */
const flush = ({ database }: Fields): fc.Arbitrary<Operation> =>
  fc.record({ type: fc.constant("flush" as const), database: orNull(database) });

const operation = (fields: Fields): fc.Arbitrary<Operation> =>
  fc.oneof(
    { weight: 1, arbitrary: flush(fields) },
    { weight: 250, arbitrary: fc.oneof(...writes(fields), { weight: 12, arbitrary: reads(fields) }) },
  );

function transaction(fields: Fields): fc.Arbitrary<TransactionCommand> {
  return fc.record({
    type: fc.constant("transaction" as const),
    watches: fc.array(fc.record({ database: fields.database, key: fields.key, version: fields.version }), {
      maxLength: 2,
    }),
    operations: fc.array(operation(fields), { maxLength: 4 }),
  });
}

function once(
  fields: Fields,
  times: { id: fc.Arbitrary<Uint8Array>; retentionMs: fc.Arbitrary<number>; bornAtMs: fc.Arbitrary<number | null> },
): fc.Arbitrary<OnceCommand> {
  return fc.record({
    type: fc.constant("once" as const),
    ...times,
    command: fc.oneof({ weight: 3, arbitrary: operation(fields) }, { weight: 1, arbitrary: transaction(fields) }),
  });
}

export const anyOperation: fc.Arbitrary<Operation> = operation(wildFields);

export const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: anyOperation },
  { weight: 1, arbitrary: transaction(wildFields) },
  { weight: 1, arbitrary: once(wildFields, { id: anyBytes, retentionMs: anyCount, bornAtMs: orNull(anyCount) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("session" as const),
      session: anyBytes,
      expiresAtMs: anyCount,
      number: anyCount,
      lowestOpen: anyCount,
      operations: fc.array(anyOperation, { maxLength: 4 }),
    }),
  },
);

export const anyOutcome: fc.Arbitrary<OutcomeValue> = fc.letrec<{ outcome: OutcomeValue }>((tie) => ({
  outcome: fc.oneof(
    { depthSize: "small", maxDepth: 7 },
    fc.constantFrom<OutcomeValue>({ type: "ok" }, { type: "nil" }),
    fc.record({ type: fc.constant("integer" as const), value: anyInt64 }),
    fc.record({ type: fc.constant("bytes" as const), value: anyBytes }),
    fc.record({
      type: fc.constant("error" as const),
      code: fc.constantFrom(...(Object.keys(errorNumbers) as (keyof typeof errorNumbers)[])),
    }),
    fc.record({ type: fc.constant("array" as const), items: fc.array(tie("outcome"), { maxLength: 4 }) }),
  ),
})).outcome;

export const tameOperation: fc.Arbitrary<Operation> = operation(tameFields);
export const tameFlush: fc.Arbitrary<Operation> = flush(tameFields);
export const tameTransaction: fc.Arbitrary<TransactionCommand> = transaction(tameFields);

export const tameOnce: fc.Arbitrary<OnceCommand> = once(tameFields, {
  id: fc.constantFrom("k1", "k2").map(bytesOf),
  retentionMs: fc.constantFrom(1, 50, 2000),
  bornAtMs: orNull(fc.integer({ min: epochMs - 100, max: epochMs + 2000 })),
});

export const tameSession: fc.Arbitrary<SessionCommand> = fc
  .record({
    type: fc.constant("session" as const),
    session: fc.constant(bytesOf("s1")),
    expiresAtMs: fc.constantFrom(
      epochMs + 50,
      ...[1, 2, 3, 4].map((s) => epochMs + s * 1000),
      epochMs + 9 * 86_400_000,
    ),
    number: fc.integer({ min: 1, max: 5 }),
    lowestOpen: fc.integer({ min: 1, max: 5 }),
    operations: fc.array(tameOperation, { maxLength: 3 }),
  })
  .map((session) => ({ ...session, lowestOpen: Math.min(session.lowestOpen, session.number) }));

export const tameCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 10, arbitrary: tameOperation },
  { weight: 2, arbitrary: tameTransaction },
  { weight: 2, arbitrary: tameOnce },
  { weight: 2, arbitrary: tameSession },
);
