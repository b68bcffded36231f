/** A machine on a test bench: commands in, outcomes as plain values out. */
import type { Lsn } from "@quipu/core";
import { CounterMachine, type MachineOptions } from "../src/machine.ts";
import type { Command, ReadOperation } from "../src/operations.ts";
import type { OutcomeValue } from "../src/outcome.ts";
import { RecordBuilder } from "../src/record.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function bytes(text: string): Uint8Array {
  return encoder.encode(text);
}

export type Plain = string | null | readonly Plain[];

/** Integers and bytes as text, nil as null, ok as "OK", errors as their code. */
export function plain(outcome: OutcomeValue): Plain {
  switch (outcome.type) {
    case "ok":
      return "OK";
    case "nil":
      return null;
    case "integer":
      return outcome.value.toString();
    case "bytes":
      return decoder.decode(outcome.value);
    case "error":
      return outcome.code;
    case "array":
      return outcome.items.map(plain);
  }
}

export class Bench {
  readonly machine: CounterMachine;
  readonly builder: RecordBuilder = new RecordBuilder();
  lsn = 0;
  number = 0;
  timeMs = 1_000;

  constructor(options: MachineOptions = {}) {
    this.machine = new CounterMachine(options);
  }

  finish(): Uint8Array {
    return this.builder.finish({ node: 1, incarnation: 1, number: ++this.number }, this.timeMs);
  }

  begin(): void {
    const admission = this.machine.beginRecord(++this.lsn as Lsn, this.finish());
    if (admission !== "apply") throw new Error(`record ${this.lsn} is ${admission}`);
  }

  /** Applies what is in the builder. */
  applyAll(): Plain[] {
    this.begin();
    return this.rest();
  }

  /** Outcomes of the commands left in the record; a run of n gives n. */
  rest(): Plain[] {
    const outcomes: Plain[] = [];
    const { machine } = this;
    while (machine.remainingCommands > 0) {
      if (machine.applyNext() === 1) {
        outcomes.push(plain(machine.outcome));
        continue;
      }
      const { first, delta, count, admitted, rejection } = machine.run;
      for (let index = 0; index < count; index++) {
        outcomes.push(index < admitted ? (BigInt(first) + BigInt(delta) * BigInt(index)).toString() : rejection);
      }
    }
    machine.endRecord();
    return outcomes;
  }

  /** One command in a record of its own. */
  run(command: Command): Plain {
    this.builder.command(command);
    return this.applyAll()[0] as Plain;
  }

  /** An empty record: time goes on. */
  tick(ms: number): void {
    this.timeMs += ms;
    this.applyAll();
  }

  read(operation: ReadOperation): Plain {
    return plain(this.machine.read(operation));
  }

  get(key: string): Plain {
    return this.read({ type: "get", database: 0, key: bytes(key) });
  }
}
