/** Histories that others recorded, from their EDN events: Knossos' registers and Porcupine's key-value store. */
import type { Int64 } from "@quipu/core";
import { type Edn, EdnError, type EdnMap, isEdnMap, keywordName, parseEdn } from "./edn.ts";
import type { CompareAndSet, HistoryCall, HistoryOperation, HistoryValue } from "./history.ts";

interface Event {
  readonly process: number;
  readonly type: string;
  readonly f: string;
  readonly key: string;
  readonly value: Edn;
}

/** One register: read, write, cas. `:fail` was not made; `:info`, or no answer, is of unknown outcome. */
export function readKnossosHistory(text: string): readonly HistoryOperation[] {
  return pairUp(eventsOf(text), (invoked, answer) => {
    const isKnown = answer?.type === "ok";
    switch (invoked.f) {
      case "read": {
        // A completed read of nil was not told the value.
        const result = isKnown && answer.value !== null ? valueOf(answer.value) : undefined;
        return { kind: "read", result };
      }
      case "write":
        return { kind: "set", argument: scalarOf(invoked.value), result: undefined };
      case "cas":
        return { kind: "compare-and-set", argument: pairOf(invoked.value), result: isKnown ? true : undefined };
      default:
        throw new EdnError(`a register does not know :${invoked.f}`);
    }
  });
}

/** Many keys: get, put, append. Every key starts as the empty text. */
export function readPorcupineHistory(text: string): readonly HistoryOperation[] {
  return pairUp(eventsOf(text), (invoked, answer) => {
    switch (invoked.f) {
      case "get":
        return { kind: "read", result: answer?.type === "ok" ? valueOf(answer.value) : undefined };
      case "put":
        return { kind: "set", argument: scalarOf(invoked.value), result: undefined };
      case "append":
        return { kind: "append", argument: String(scalarOf(invoked.value)) };
      default:
        throw new EdnError(`this store does not know :${invoked.f}`);
    }
  });
}

/** The events, in one list or one after another. What has no numbered process is not an operation. */
function eventsOf(text: string): readonly (Event | undefined)[] {
  const values = parseEdn(text);
  const [first] = values;
  return (Array.isArray(first) ? (first as readonly Edn[]) : values).map((value) => {
    if (!isEdnMap(value)) throw new EdnError("an event is no map");
    return eventOf(value);
  });
}

function eventOf({ entries }: EdnMap): Event | undefined {
  const process = entries.get("process");
  if (typeof process !== "number") return undefined;
  const type = keywordName(entries.get("type"));
  const f = keywordName(entries.get("f"));
  if (type === undefined || f === undefined) throw new EdnError(`an event of process ${process} without :type or :f`);
  const key = entries.get("key");
  return { process, type, f, key: typeof key === "string" ? key : "", value: entries.get("value") ?? null };
}

/** Times are the events' places in the text. */
function pairUp(
  events: readonly (Event | undefined)[],
  callOf: (invoked: Event, answer: Event | undefined) => HistoryCall,
): readonly HistoryOperation[] {
  const operations: (HistoryOperation | undefined)[] = [];
  const underWay = new Map<number, { readonly slot: number; readonly time: number; readonly event: Event }>();
  const finish = (process: number, answer: Event | undefined, time: number): void => {
    const invoked = underWay.get(process);
    if (invoked === undefined) return;
    underWay.delete(process);
    if (answer?.type === "fail") return;
    const returnedAt = answer?.type === "ok" ? time : undefined;
    const { key } = invoked.event;
    operations[invoked.slot] = { ...callOf(invoked.event, answer), process, key, invokedAt: invoked.time, returnedAt };
  };
  for (const [time, event] of events.entries()) {
    if (event === undefined) continue;
    if (event.type !== "invoke") {
      finish(event.process, event, time);
      continue;
    }
    if (underWay.has(event.process)) throw new EdnError(`process ${event.process} invokes twice at once`);
    underWay.set(event.process, { slot: operations.length, time, event });
    operations.push(undefined);
  }
  for (const process of [...underWay.keys()]) finish(process, undefined, events.length);
  return operations.filter((operation) => operation !== undefined);
}

function valueOf(value: Edn): HistoryValue {
  if (value === null || typeof value === "number" || typeof value === "string") return value;
  throw new EdnError(`not a value of a register: ${JSON.stringify(value)}`);
}

function scalarOf(value: Edn): Int64 | string {
  const scalar = valueOf(value);
  if (scalar === null) throw new EdnError("nothing is no value to write");
  return scalar;
}

function pairOf(value: Edn): CompareAndSet {
  const [expected, next] = Array.isArray(value) ? (value as readonly Edn[]) : [];
  if (expected === undefined || next === undefined) throw new EdnError("a cas takes the value expected and the next");
  return { expected: valueOf(expected), next: valueOf(next) };
}
