/** A client's repeatable requests: idempotency keys and session numbers, open ones and ones long answered. */
import type { Random } from "@quipu/core";
import type { Command, Operation } from "@quipu/counters";
import { check } from "./failure.ts";
import type { Intent, Ledger } from "./ledger.ts";
import { bytesOf, commandText } from "./text.ts";
import type { Workload } from "./workload.ts";

export interface Repeatable {
  readonly command: Command;
  readonly intent: Intent;
  readonly session: ClientSession | undefined;
  inFlight: boolean;
  /** Nothing more will be learnt by asking again. */
  settled: boolean;
}

interface ClientSession {
  readonly id: Uint8Array;
  readonly expiresAtMs: number;
  nextNumber: number;
  /** Numbers without a reply. */
  readonly open: Set<number>;
  expired: boolean;
}

/** Answered requests kept for sending once more. */
const answeredMax = 24;
const dayMs = 86_400_000;
/** Refusals by age: they tell nothing about whether an earlier attempt was applied. */
const refusedByAge: readonly string[] = ["e:SESSION_EXPIRED", "e:IDEMPOTENCY_EXPIRED"];

export class Requests {
  readonly #name: string;
  readonly #random: Random;
  readonly #workload: Workload;
  readonly #ledger: Ledger;
  #open: Repeatable[] = [];
  readonly #answered: Repeatable[] = [];
  #session: ClientSession | undefined;
  #created = 0;

  constructor(name: string, random: Random, workload: Workload, ledger: Ledger) {
    this.#name = name;
    this.#random = random;
    this.#workload = workload;
    this.#ledger = ledger;
  }

  get unresolvedCount(): number {
    return this.#open.length;
  }

  unresolved(): readonly Repeatable[] {
    return this.#open.filter((repeatable) => !repeatable.inFlight);
  }

  /** The next one to send: a retry where something is unknown, sometimes an old one, else a new one. */
  next(nowMs: number): Repeatable {
    const random = this.#random;
    const unresolved = this.unresolved();
    if (unresolved.length > 0 && random.chance(70, 100))
      return unresolved[random.below(unresolved.length)] as Repeatable;
    if (this.#answered.length > 0 && random.chance(20, 100)) {
      return this.#answered[random.below(this.#answered.length)] as Repeatable;
    }
    const repeatable = random.chance(1, 2) ? this.#newOnce(nowMs) : this.#newNumbered(nowMs);
    this.#open.push(repeatable);
    return repeatable;
  }

  /** Checks that a retry repeats the original reply. */
  answered(repeatable: Repeatable, reply: string): void {
    repeatable.inFlight = false;
    const { intent, session } = repeatable;
    // Whether a session's reply is a replay is the one thing in which the two may differ.
    const comparable = reply.replace(/^(\[b:\d+-\d+),i:1,/, "$1,i:0,");
    const isRefused = refusedByAge.includes(reply) || reply === "e:SESSION_NUMBER_USED";
    if (intent.reply === undefined) {
      const isUnknown = reply === "e:SESSION_NUMBER_USED";
      check(!isUnknown, "retry-differs", () => `${intent.text}: the number counts as used, its reply never came`);
      if (!refusedByAge.includes(reply)) intent.reply = comparable;
    } else {
      const first = intent.reply;
      check(isRefused || comparable === first, "retry-differs", () => `${intent.text} gave ${first}, then ${reply}`);
    }
    if (session !== undefined) {
      session.open.delete(repeatable.command.type === "session" ? repeatable.command.number : 0);
      if (reply === "e:SESSION_EXPIRED") session.expired = true;
    }
    if (repeatable.settled) return;
    repeatable.settled = true;
    this.#open = this.#open.filter((other) => other !== repeatable);
    this.#answered.push(repeatable);
    if (this.#answered.length > answeredMax) this.#answered.shift();
  }

  #newOnce(nowMs: number): Repeatable {
    const random = this.#random;
    const shortLived = random.chance(1, 3);
    const id = bytesOf(`${this.#name}-${this.#created++}`);
    const retentionMs = shortLived ? ([3, 100, 1_000][random.below(3)] as number) : dayMs;
    const head = { type: "once", id, retentionMs, bornAtMs: shortLived || random.chance(1, 2) ? nowMs : null } as const;
    if (random.chance(1, 2)) {
      const key = this.#workload.tallyKey();
      return this.#repeatable(
        { ...head, command: { type: "add", database: 0, key: bytesOf(key), delta: 1 } },
        `0/${key}`,
      );
    }
    const command = random.chance(1, 3) ? this.#workload.transaction() : this.#workload.write();
    return this.#repeatable({ ...head, command: command as Operation });
  }

  #newNumbered(nowMs: number): Repeatable {
    const random = this.#random;
    const session = this.#presentSession(nowMs);
    const number = session.nextNumber++;
    session.open.add(number);
    const lowestOpen = Math.min(...session.open);
    const head = {
      type: "session",
      session: session.id,
      expiresAtMs: session.expiresAtMs,
      number,
      lowestOpen,
    } as const;
    if (random.chance(1, 2)) {
      const key = this.#workload.tallyKey();
      const operation: Operation = { type: "add", database: 0, key: bytesOf(key), delta: 1 };
      return this.#repeatable({ ...head, operations: [operation] }, `0/${key}`, session);
    }
    const operations = Array.from({ length: 1 + random.below(4) }, () =>
      random.chance(1, 5) ? this.#workload.readInside() : this.#workload.write(),
    );
    return this.#repeatable({ ...head, operations }, undefined, session);
  }

  #presentSession(nowMs: number): ClientSession {
    if (this.#session !== undefined && !this.#session.expired) return this.#session;
    const lifetimeMs = [10, 300, 60_000, 6 * dayMs][this.#random.below(4)] as number;
    this.#session = {
      id: bytesOf(`s${this.#name}-${this.#created++}`),
      expiresAtMs: nowMs + lifetimeMs,
      nextNumber: 1,
      open: new Set(),
      expired: false,
    };
    return this.#session;
  }

  #repeatable(command: Command, tally?: string, session?: ClientSession): Repeatable {
    const intent = this.#ledger.intent(commandText(command), tally);
    return { command, intent, session, inFlight: false, settled: false };
  }
}
