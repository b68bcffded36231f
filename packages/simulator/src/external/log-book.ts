/** What readers and appenders of one log saw, held to the loglet contract. Records are texts that are appended once each. */
import { QuipuError } from "@quipu/core";
import type { Appended, LogDelivery } from "@quipu/log";
import { check } from "../failure.ts";
import { bytesOf, textOf } from "../text.ts";

export interface LogObserver {
  readonly name: string;
  /** Where it began to read. */
  readonly from: number;
  /** It has got the node's own records before they were acknowledged, and will ever after. */
  isLive: boolean;
  /** Everything up to here was delivered, or skipped. */
  last: number;
  isGone: boolean;
  /** First positions of this node's appends as they were acknowledged, to see their order. */
  lastAcknowledged: number;
  take(delivery: LogDelivery): void;
}

interface Call {
  readonly observer: LogObserver;
  readonly texts: readonly string[];
  outcome: "open" | "acknowledged" | "unknown" | "refused";
}

export class LogBook {
  /** What stands at each position, as first seen. */
  readonly #records: Map<number, string> = new Map();
  readonly #positions: Map<string, number> = new Map();
  /** In call order. */
  readonly #calls: Call[] = [];
  #trimmedUpTo = 0;
  #isSealed = false;
  #isDamaged = false;
  acknowledged = 0;
  unknown = 0;
  refused = 0;
  open = 0;
  /** The highest position acknowledged. */
  acknowledgedTo = 0;

  get positions(): number {
    return this.#records.size;
  }

  observer(name: string, from: number): LogObserver {
    const observer: LogObserver = {
      ...{ name, from, last: 0, isLive: false, isGone: false, lastAcknowledged: 0 },
      take: (delivery) => this.#take(observer, delivery),
    };
    return observer;
  }

  /** Its node is dead: appends without an outcome have none. */
  forget(observer: LogObserver): void {
    observer.isGone = true;
    for (const call of this.#calls)
      if (call.observer === observer && call.outcome === "open") this.#end(call, "unknown");
  }

  trimming(upTo: number): void {
    this.#trimmedUpTo = Math.max(this.#trimmedUpTo, upTo);
  }

  sealed(): void {
    this.#isSealed = true;
  }

  damaged(): void {
    this.#isDamaged = true;
  }

  async append(
    observer: LogObserver,
    texts: readonly string[],
    action: (records: readonly Uint8Array[]) => Promise<Appended>,
  ): Promise<void> {
    const call: Call = { observer, texts, outcome: "open" };
    this.#calls.push(call);
    this.open += 1;
    const wasSealed = this.#isSealed;
    try {
      const appended = await action(texts.map(bytesOf));
      if (!observer.isGone) this.#acknowledge(call, appended, wasSealed);
    } catch (error) {
      if (observer.isGone) return;
      if (!(error instanceof QuipuError)) throw error;
      check(this.#isDamaged || error.code !== "LOG_CORRUPT", "fatal-without-fault", () => error.message);
      if (call.outcome === "open") this.#end(call, error.outcome === "definite" ? "refused" : "unknown");
    }
  }

  /** At the end, when a reader has seen everything. */
  check(finalTail: number | undefined): void {
    const lastOf = new Map<LogObserver, number>();
    for (const { observer, texts, outcome } of this.#calls) {
      const positions = texts.map((text) => this.#positions.get(text));
      const [first] = positions;
      const present = positions.filter((position) => position !== undefined).length;
      check(present === 0 || present === texts.length, "record-changed", () => `half of ${texts.join("; ")}`);
      if (outcome === "refused") {
        check(present === 0, "applied-too-often", () => `${texts[0]} was refused and stands at ${first}`);
      }
      if (outcome === "acknowledged") {
        check(present > 0, "acknowledged-lost", () => `${texts[0]} is nowhere`);
      }
      if (first === undefined) continue;
      check(
        positions.every((position, i) => position === first + i),
        "log-order",
        () => `${texts[0]} is torn apart`,
      );
      const before = lastOf.get(observer) ?? 0;
      check(first > before, "log-order", () => `${texts[0]} at ${first} behind a later call at ${before}`);
      lastOf.set(observer, first);
    }
    for (const [position, text] of this.#records) {
      check(finalTail === undefined || position < finalTail, "seal", () => `${text} at ${position}, tail ${finalTail}`);
    }
  }

  #acknowledge(call: Call, { first, last }: Appended, wasSealed: boolean): void {
    const { observer, texts } = call;
    this.#end(call, "acknowledged");
    this.acknowledgedTo = Math.max(this.acknowledgedTo, last);
    check(!wasSealed, "seal", () => `${texts[0]} was appended at ${first} after the seal`);
    check(first > observer.lastAcknowledged, "log-order", () => `${first} after ${observer.lastAcknowledged}`);
    observer.lastAcknowledged = last;
    check(last === first + texts.length - 1, "log-order", () => `${texts.length} records at ${first} to ${last}`);
    const isDelivered = observer.last >= last;
    check(isDelivered || !observer.isLive, "reply-order", () => `${last} acknowledged, ${observer.last} delivered`);
    observer.isLive = isDelivered;
    for (const [i, text] of texts.entries()) {
      const stored = this.#records.get(first + i);
      // A reader may begin above it.
      check(stored === undefined || stored === text, "acknowledged-lost", () => `${text} at ${first + i}: ${stored}`);
    }
  }

  #end(call: Call, outcome: "acknowledged" | "unknown" | "refused"): void {
    call.outcome = outcome;
    this.open -= 1;
    this[outcome] += 1;
  }

  #take(observer: LogObserver, delivery: LogDelivery): void {
    if (observer.isGone) return;
    if (delivery.type === "gap") {
      check(
        delivery.trimmedUpTo <= this.#trimmedUpTo,
        "trimmed-too-far",
        () => `${delivery.trimmedUpTo}, ${this.#trimmedUpTo}`,
      );
      check(delivery.trimmedUpTo > observer.last, "log-order", () => `a gap up to ${delivery.trimmedUpTo}`);
      observer.last = delivery.trimmedUpTo;
      return;
    }
    const { first, records } = delivery;
    check(
      first === observer.last + 1 || observer.last === 0,
      "log-order",
      () => `${observer.name}: ${first} after ${observer.last}`,
    );
    for (const [i, record] of records.entries()) this.#see(first + i, textOf(record));
    observer.last = first + records.length - 1;
  }

  #see(position: number, text: string): void {
    const known = this.#records.get(position);
    check(known === undefined || known === text, "record-changed", () => `at ${position}: ${known}, then ${text}`);
    const other = this.#positions.get(text);
    check(other === undefined || other === position, "applied-too-often", () => `${text} at ${other} and ${position}`);
    this.#records.set(position, text);
    this.#positions.set(text, position);
  }
}
