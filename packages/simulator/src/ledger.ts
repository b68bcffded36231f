/**
 * The ledger: what clients know by themselves, without looking into the log. Per command how often it was sent,
 * acknowledged and surely refused; per tally counter how many increments that makes at least and at most.
 */
import { check } from "./failure.ts";
import type { History } from "./history.ts";

interface Attempts {
  submitted: number;
  acknowledged: number;
  /** Failed with a definite outcome: surely not in the log, now or later (promise P7). */
  refused: number;
}

/** Something a client wants done once, however often it has to ask. */
export interface Intent {
  readonly text: string;
  /** The tally counter that it raises by one if it is done. */
  readonly tally: string | undefined;
  attempts: number;
  refusals: number;
  /** The first reply, which every retry must repeat. */
  reply: string | undefined;
}

export class Ledger {
  readonly #attempts = new Map<string, Attempts>();
  readonly #plainTallies = new Map<string, Attempts>();
  readonly #intents: Intent[] = [];
  /** The highest position of which some client knows that a write took effect there. */
  #acknowledgedLsn = 0;

  get acknowledgedLsn(): number {
    return this.#acknowledgedLsn;
  }

  intent(text: string, tally: string | undefined): Intent {
    const intent: Intent = { text, tally, attempts: 0, refusals: 0, reply: undefined };
    this.#intents.push(intent);
    return intent;
  }

  submitted(text: string, tally: string | undefined, intent: Intent | undefined): void {
    this.#of(this.#attempts, text).submitted += 1;
    if (intent !== undefined) intent.attempts += 1;
    else if (tally !== undefined) this.#of(this.#plainTallies, tally).submitted += 1;
  }

  acknowledged(text: string, tally: string | undefined, intent: Intent | undefined, lsn: number): void {
    this.#of(this.#attempts, text).acknowledged += 1;
    if (intent === undefined && tally !== undefined) this.#of(this.#plainTallies, tally).acknowledged += 1;
    this.#acknowledgedLsn = Math.max(this.#acknowledgedLsn, lsn);
  }

  refused(text: string, tally: string | undefined, intent: Intent | undefined): void {
    this.#of(this.#attempts, text).refused += 1;
    if (intent !== undefined) intent.refusals += 1;
    else if (tally !== undefined) this.#of(this.#plainTallies, tally).refused += 1;
  }

  /** Every acknowledged command is in the log exactly once per acknowledgement, no refused one at all. */
  checkAttempts(history: History): void {
    for (const [text, { submitted, acknowledged, refused }] of this.#attempts) {
      const applied = history.appliedCount(text);
      check(
        applied >= acknowledged,
        "acknowledged-lost",
        () => `${text}: ${acknowledged} acknowledged, ${applied} applied`,
      );
      check(
        applied <= submitted - refused,
        "applied-too-often",
        () => `${text}: ${submitted} sent, ${refused} surely refused, ${applied} applied`,
      );
    }
  }

  /** The black-box check: counters that are only ever raised by one. */
  checkTallies(valueOf: (key: string) => bigint): void {
    const least = new Map<string, number>();
    const most = new Map<string, number>();
    const raise = (map: Map<string, number>, key: string, by: number): void =>
      void map.set(key, (map.get(key) ?? 0) + by);
    for (const [key, { submitted, acknowledged, refused }] of this.#plainTallies) {
      raise(least, key, acknowledged);
      raise(most, key, submitted - refused);
    }
    for (const { tally, attempts, refusals, reply } of this.#intents) {
      if (tally === undefined) continue;
      if (reply !== undefined && !reply.startsWith("e:")) raise(least, tally, 1);
      if (attempts > refusals) raise(most, tally, 1);
    }
    for (const [key, atMost] of most) {
      const atLeast = least.get(key) ?? 0;
      const value = valueOf(key);
      check(value >= BigInt(atLeast), "acknowledged-lost", () => `${key} is ${value}, ${atLeast} were acknowledged`);
      check(value <= BigInt(atMost), "applied-too-often", () => `${key} is ${value}, only ${atMost} were sent`);
    }
  }

  #of(map: Map<string, Attempts>, key: string): Attempts {
    let attempts = map.get(key);
    if (attempts === undefined) map.set(key, (attempts = { submitted: 0, acknowledged: 0, refused: 0 }));
    return attempts;
  }
}
