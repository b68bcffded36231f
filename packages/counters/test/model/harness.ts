/** Drives a machine through records as a replica would, and reads everything back. */
import { type Lsn, lsn } from "@quipu/core";
import fc from "fast-check";
import { CounterMachine } from "../../src/machine.ts";
import type { Command, Operation, Position, ReadOperation } from "../../src/operations.ts";
import type { OutcomeValue, RunOutcome } from "../../src/outcome.ts";
import { RecordBuilder } from "../../src/record.ts";
import { bytesOf, keyNames, tameCommand, textOf } from "./arbitraries.ts";

/** A record as generated: how far the clock moves before it, and its commands in the order they came in. */
export interface Step {
  readonly afterMs: number;
  readonly commands: readonly Command[];
}

/** How often a property is tried: `usual`, or QUIPU_PROPERTY_RUNS where that is set (then with a new seed each time). */
export function runs(usual: number): { readonly numRuns: number } {
  const wanted = Number(process.env["QUIPU_PROPERTY_RUNS"] ?? usual);
  return { numRuns: Number.isSafeInteger(wanted) && wanted > 0 ? wanted : usual };
}

const afterMs = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -3, max: 30 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 600, 2500) },
);

/** The same add many times over: what folds. Around a bound just set, so that some are admitted and some not. */
const burst: fc.Arbitrary<Command[]> = fc
  .tuple(
    fc.constantFrom("a", "b").map(bytesOf),
    fc.constantFrom(1, -1, 2, -3),
    fc.integer({ min: 2, max: 9 }),
    fc.boolean(),
    fc.nat(7),
  )
  .map(([key, delta, count, bounded, room]) => {
    const adds = Array.from({ length: count }, (): Command => ({ type: "add", database: 0, key, delta }));
    if (!bounded) return adds;
    const bound = { type: "bound", database: 0, key, minimum: -room, maximum: room, force: true } as const;
    return [bound, ...adds];
  });

/** Commands repeat now and then: retries of once and session commands must meet their entries. */
export function schedule(command: fc.Arbitrary<Command> = tameCommand): fc.Arbitrary<Step[]> {
  const commands = fc
    .tuple(
      fc
        .array(fc.oneof({ weight: 9, arbitrary: command.map((one) => [one]) }, { weight: 1, arbitrary: burst }), {
          maxLength: 7,
        })
        .map((groups) => groups.flat()),
      fc.array(fc.tuple(fc.nat(6), fc.nat(6)), { maxLength: 3 }),
    )
    .map(([drawn, repeats]) => {
      const all = [...drawn];
      for (const [from, to] of repeats) {
        const repeated = drawn[from];
        if (repeated !== undefined) all.splice(Math.min(to, all.length), 0, repeated);
      }
      return all;
    });
  return fc.array(fc.record({ afterMs, commands }), { minLength: 1, maxLength: 8 });
}

/**
 * Half of the versions that commands expect become the present ones, as if a client had read them just before:
 * drawn versions alone would hardly ever be met.
 */
export function withPresentVersions(commands: readonly Command[], machine: CounterMachine): Command[] {
  const present = (database: number, key: Uint8Array, drawn: Position): Position => {
    const reply = machine.read({ type: "versionOf", database, key });
    if (drawn.index % 2 === 0 || reply.type !== "bytes") return drawn;
    const [position, index] = textOf(reply.value).split("-").map(Number) as [number, number];
    return { lsn: lsn(position), index };
  };
  const operation = (drawn: Operation): Operation =>
    drawn.type === "compareAndSet" && drawn.expected.type === "version"
      ? { ...drawn, expected: { type: "version", version: present(drawn.database, drawn.key, drawn.expected.version) } }
      : drawn;
  const command = <C extends Command>(drawn: C): C => {
    if (drawn.type === "once") return { ...drawn, command: command(drawn.command) };
    if (drawn.type === "session") return { ...drawn, operations: drawn.operations.map(operation) };
    if (drawn.type !== "transaction") return operation(drawn as Operation) as C;
    const watches = drawn.watches.map((watch) => ({
      ...watch,
      version: present(watch.database, watch.key, watch.version),
    }));
    return { ...drawn, watches, operations: drawn.operations.map(operation) };
  };
  return commands.map(command);
}

/** Commands as they lie in the record, with the places they came from: folding puts an add beside its run. */
export interface BuiltRecord {
  readonly record: Uint8Array;
  readonly order: readonly { readonly command: Command; readonly from: number }[];
}

/** `fold: false` ends every run at once, so that each add is a command of its own. */
export function buildRecord(
  commands: readonly Command[],
  options: {
    readonly number: number;
    readonly stampMs: number;
    readonly fold?: boolean;
    readonly incarnation?: number;
  },
): BuiltRecord {
  const builder = new RecordBuilder();
  const places: number[][] = [];
  for (const [from, command] of commands.entries()) {
    const at =
      command.type === "add"
        ? builder.add(command.database, command.key, 0, command.key.length, command.delta)
        : builder.command(command);
    (places[at] ??= []).push(from);
    if (options.fold === false) builder.endRuns();
  }
  const order = places.flat().map((from) => ({ command: commands[from] as Command, from }));
  const id = { node: 7, incarnation: options.incarnation ?? 1, number: options.number };
  return { record: builder.finish(id, options.stampMs), order };
}

/** What became of a record's commands, one outcome per operation of a run: in the order of the record. */
export function applyRecord(
  machine: CounterMachine,
  position: Lsn,
  record: Uint8Array,
): OutcomeValue[] | "duplicate" | "void" {
  const admission = machine.beginRecord(position, record);
  if (admission !== "apply") return admission;
  const outcomes: OutcomeValue[] = [];
  while (machine.remainingCommands > 0) {
    if (machine.applyNext() === 1) {
      outcomes.push(machine.outcome);
      continue;
    }
    const { run } = machine;
    if (run.count > runShownMax) {
      outcomes.push(summary(run));
      continue;
    }
    for (let index = 0; index < run.count; index++) {
      outcomes.push(
        index < run.admitted
          ? { type: "integer", value: plainInt64(BigInt(run.first) + BigInt(index) * BigInt(run.delta)) }
          : { type: "error", code: run.rejection },
      );
    }
  }
  machine.endRecord();
  return outcomes;
}

/** Hostile records hold runs of billions. */
const runShownMax = 1_000;

function summary(run: RunOutcome): OutcomeValue {
  const integers = [run.first, run.delta, run.count, run.admitted].map((value) => ({
    type: "integer" as const,
    value,
  }));
  return { type: "array", items: [...integers, { type: "error", code: run.rejection }] };
}

const plainInt64 = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value);

/** One machine fed record after record by one writer. */
export class Feed {
  readonly machine: CounterMachine;
  number = 0;
  position: Lsn = lsn(0);

  constructor(machine: CounterMachine = new CounterMachine()) {
    this.machine = machine;
  }

  /** Outcomes in the order of `commands`, whatever was folded. */
  apply(commands: readonly Command[], stampMs: number, fold = true): OutcomeValue[] {
    const built = buildRecord(commands, { number: ++this.number, stampMs, fold });
    const inOrder = this.applyBuilt(built.record);
    const outcomes: OutcomeValue[] = [];
    for (const [at, { from }] of built.order.entries()) outcomes[from] = inOrder[at] as OutcomeValue;
    return outcomes;
  }

  /** Outcomes in the order of the record. */
  applyBuilt(record: Uint8Array): OutcomeValue[] {
    this.position = lsn(this.position + 1 + (this.position % 2)); // Log sequence numbers need not be dense.
    const outcomes = applyRecord(this.machine, this.position, record);
    if (typeof outcomes === "string") throw new Error(`record ${this.number} was ${outcomes}`);
    return outcomes;
  }
}

const databases: readonly number[] = [0, 3];

/** Every read of one key, for every key there can be. */
export const readsOfKeys: readonly ReadOperation[] = databases.flatMap((database) =>
  [...keyNames, "z"].map(bytesOf).flatMap((key): ReadOperation[] => [
    { type: "get", database, key },
    { type: "typeOf", database, key },
    { type: "describe", database, key },
    { type: "versionOf", database, key },
    { type: "timeToLive", database, key, unit: "s", absolute: false },
    { type: "timeToLive", database, key, unit: "ms", absolute: false },
    { type: "timeToLive", database, key, unit: "s", absolute: true },
  ]),
);

/** Every read there is, over every key and database. */
export const everyRead: readonly ReadOperation[] = [
  ...readsOfKeys,
  ...databases.flatMap((database): ReadOperation[] => [
    { type: "databaseSize", database },
    { type: "randomKey", database, choice: 3_000_000_019 },
    { type: "keys", database, pattern: bytesOf(database === 0 ? "*" : "{a}[b-c]") },
    { type: "scan", database, cursor: 3_300, count: 2, pattern: null },
    { type: "getMany", database, keys: keyNames.map(bytesOf) },
    { type: "exists", database, keys: [...keyNames, "a", "z"].map(bytesOf) },
  ]),
];
