/** A caller that writes down what it is told, as short texts in order. */
import type { Int64, QuipuError } from "@quipu/core";
import type { OutcomeValue } from "@quipu/counters";
import type { Caller } from "../src/mod.ts";

export class RecordingCaller implements Caller {
  readonly replies: string[] = [];
  flushes = 0;

  deliverInteger(tag: number, value: Int64): void {
    this.replies.push(`${tag}:${value}`);
  }

  deliver(tag: number, outcome: OutcomeValue): void {
    this.replies.push(`${tag}:${describe(outcome)}`);
  }

  fail(tag: number, error: QuipuError): void {
    this.replies.push(`${tag}:!${error.code}/${error.outcome}`);
  }

  ride(tag: number): void {
    this.replies.push(`${tag}:ride`);
  }

  flush(): void {
    this.flushes += 1;
  }
}

export function describe(outcome: OutcomeValue): string {
  switch (outcome.type) {
    case "ok":
    case "nil":
      return outcome.type;
    case "integer":
      return outcome.value.toString();
    case "bytes":
      return `"${String.fromCharCode(...outcome.value)}"`;
    case "error":
      return `!${outcome.code}`;
    default:
      return `[${outcome.items.map(describe).join(" ")}]`;
  }
}
