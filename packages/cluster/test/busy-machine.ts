/** A machine whose state has everything in it that a snapshot must carry, and the records that made it so. */
import { type Lsn, lsn } from "@quipu/core";
import { type Command, CounterMachine, RecordBuilder } from "@quipu/counters";

export const text = (value: string): Uint8Array => new TextEncoder().encode(value);

const bornMs = 1_700_000_000_000;

/** The record of `number`: a counter, a text that expires, bounds, a removal, a session's batch, an idempotency key. */
export function busyRecord(number: number): Uint8Array {
  const builder = new RecordBuilder();
  const key = text(`counter ${number % 17}`);
  const add = { type: "add", database: 0, key, delta: number } as const;
  const expiry = { type: "at", ms: bornMs + 10_000 + number * 100 } as const;
  const value = text(`text ${number}`);
  const set = { type: "set", database: 3, key: text(`text ${number % 5}`), value, condition: "always" } as const;
  const commands: readonly Command[] = [
    add,
    { ...set, returnPrevious: false, expiry },
    { type: "bound", database: 0, key, minimum: -1_000_000, maximum: "clear", force: true },
    { type: "delete", database: 0, keys: [text(`counter ${(number * 7) % 17}`)] },
    {
      type: "session",
      session: text(`session ${number % 3}`),
      expiresAtMs: bornMs + 1_000_000,
      number: Math.floor(number / 3) + 1,
      lowestOpen: 1,
      operations: [add],
    },
    { type: "once", id: text(`once ${number}`), retentionMs: 3_600_000, bornAtMs: null, command: add },
  ];
  for (const command of commands) builder.command(command, 1_000_000);
  return builder.finish(
    { node: 1 + (number % 2), incarnation: 1, number: Math.floor((number + 1) / 2) },
    bornMs + number,
  );
}

export function applyBusy(machine: CounterMachine, first: number, last: number): Lsn {
  for (let number = first; number <= last; number++) machine.apply(lsn(number), busyRecord(number));
  return machine.appliedLsn;
}
