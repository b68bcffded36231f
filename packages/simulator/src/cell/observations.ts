/**
 * What clients of a cell saw of the tally counters (only ever raised by one), written down for the checkers of
 * ../linearizability. What has a name (idempotency key, session number) is one operation, however often it was asked.
 */
import { invariant } from "@quipu/core";
import type { Command, ReadOperation } from "@quipu/counters";
import type { ClientObserver, ObservedRequest } from "../client.ts";
import { SimulationFailure } from "../failure.ts";
import type { History } from "../history.ts";
import { checkAddAndGet } from "../linearizability/add-and-get.ts";
import type { HistoryOperation, HistoryPosition } from "../linearizability/history.ts";
import { keyModel } from "../linearizability/models.ts";
import { searchLinearization } from "../linearizability/search.ts";
import { drawTimeline } from "../linearizability/timeline.ts";
import type { Verdict } from "../linearizability/verdict.ts";
import { checkWitness } from "../linearizability/witness.ts";
import type { Place } from "../naive-entries.ts";
import type { Repeatable } from "../requests.ts";
import { textOf } from "../text.ts";

interface Asked {
  readonly process: number;
  readonly key: string;
  invokedAt: number;
  returnedAt: number | undefined;
  result: number | undefined;
  attempts: number;
  refusals: number;
}

const tallyPrefix = "t";
/** Placements that the search may try on a run: a moment. What it does not decide the other two checks have. */
const searchStepsMax = 20_000;
/** The search runs on one seed in so many: an independent opinion costs more than the checks that know more. */
const searchEvery = 8;

export class Observations implements ClientObserver {
  readonly #history: History;
  readonly #nowUs: () => number;
  readonly #seed: number;
  readonly #operations: HistoryOperation[] = [];
  readonly #repeatables = new Map<Repeatable, Asked>();

  constructor(history: History, nowUs: () => number, seed: number) {
    this.#history = history;
    this.#nowUs = nowUs;
    this.#seed = seed;
  }

  answered(request: ObservedRequest, reply: string, place: Place | undefined): void {
    const { operation, command, repeatable } = request;
    if (operation !== undefined) this.#read(request, operation, reply, place);
    else if (repeatable !== undefined) this.#repeatableAnswered(repeatable, request, reply);
    else if (command !== undefined && place !== undefined) this.#addAnswered(request, command, reply, place);
  }

  failed(request: ObservedRequest, outcome: "definite" | "unknown"): void {
    const { command, repeatable } = request;
    if (repeatable !== undefined) {
      const asked = this.#asked(repeatable, request);
      if (asked === undefined) return;
      asked.attempts += 1;
      if (outcome === "definite") asked.refusals += 1;
      return;
    }
    const key = command === undefined ? undefined : tallyOf(command);
    if (key === undefined || outcome === "definite") return;
    this.#operations.push({
      kind: "add",
      argument: 1,
      result: undefined,
      key,
      process: processOf(request),
      invokedAt: request.sentUs,
      returnedAt: undefined,
    });
  }

  /** Everything that was asked, as the checkers want it; `withPositions` as the log has it. */
  history(withPositions: boolean): readonly HistoryOperation[] {
    // A read in a pipeline does not tell where it stood.
    const operations = withPositions
      ? this.#operations.filter(({ position, returnedAt }) => position !== undefined || returnedAt === undefined)
      : this.#operations.map((operation) => ({ ...operation, position: undefined }));
    for (const [repeatable, asked] of this.#repeatables) {
      const { process, key, invokedAt, returnedAt, result, attempts, refusals } = asked;
      if (returnedAt === undefined && attempts <= refusals) continue;
      const place = withPositions ? this.#history.firstPlace(repeatable.intent.text) : undefined;
      // Nothing under this name was ever applied: it is not part of what happened.
      if (withPositions && place === undefined && returnedAt === undefined) continue;
      const position = place === undefined ? undefined : positionOf(place);
      operations.push({ kind: "add", argument: 1, result, key, process, invokedAt, returnedAt, position });
    }
    return operations;
  }

  /** Throws where no order explains what clients saw; the message ends in a picture for whoever writes it down. */
  check(): void {
    const positioned = this.history(true);
    const blind = this.history(false);
    this.#judge("by position", positioned, checkWitness(positioned));
    this.#judge("black box", blind, checkAddAndGet(blind));
    if (this.#seed % searchEvery !== 0) return;
    const model = keyModel({ initial: null });
    this.#judge("search", blind, searchLinearization(blind, { model, stepsMax: searchStepsMax }));
  }

  #judge(checker: string, operations: readonly HistoryOperation[], verdict: Verdict): void {
    if (verdict.type !== "not-linearizable") return;
    const title = `seed ${this.#seed}, ${checker}`;
    throw new NotLinearizableFailure(`${checker}: ${verdict.why}`, drawTimeline(operations, { title, verdict }));
  }

  #read(request: ObservedRequest, operation: ReadOperation, reply: string, place: Place | undefined): void {
    if (operation.type !== "get" || operation.database !== 0) return;
    const key = textOf(operation.key);
    if (!key.startsWith(tallyPrefix)) return;
    this.#operations.push({
      kind: "read",
      result: reply === "nil" ? null : integerOf(reply),
      key,
      process: processOf(request),
      invokedAt: request.sentUs,
      returnedAt: this.#nowUs(),
      position: place === undefined ? undefined : positionOf(place),
    });
  }

  #addAnswered(request: ObservedRequest, command: Command, reply: string, place: Place): void {
    const key = tallyOf(command);
    if (key === undefined || !reply.startsWith("i:")) return;
    this.#operations.push({
      kind: "add",
      argument: 1,
      result: integerOf(reply),
      key,
      process: processOf(request),
      invokedAt: request.sentUs,
      returnedAt: this.#nowUs(),
      position: positionOf(place),
    });
  }

  #repeatableAnswered(repeatable: Repeatable, request: ObservedRequest, reply: string): void {
    const asked = this.#asked(repeatable, request);
    if (asked === undefined) return;
    asked.attempts += 1;
    // Of a session: position, whether it is a replay, replies. Refusals by age say nothing about earlier attempts.
    const value = /^(?:\[b:[\d-]+,i:[01],\[)?i:(-?\d+)\]*$/.exec(reply)?.[1];
    if (value === undefined || asked.returnedAt !== undefined) return;
    asked.returnedAt = this.#nowUs();
    asked.result = Number(value);
  }

  #asked(repeatable: Repeatable, request: ObservedRequest): Asked | undefined {
    const { tally } = repeatable.intent;
    if (tally === undefined) return undefined;
    let asked = this.#repeatables.get(repeatable);
    if (asked === undefined) {
      asked = {
        process: processOf(request),
        key: tally.slice(tally.indexOf("/") + 1),
        invokedAt: request.sentUs,
        returnedAt: undefined,
        result: undefined,
        attempts: 0,
        refusals: 0,
      };
      this.#repeatables.set(repeatable, asked);
    }
    asked.invokedAt = Math.min(asked.invokedAt, request.sentUs);
    return asked;
  }
}

/** With the picture of what does not fit. */
export class NotLinearizableFailure extends SimulationFailure {
  readonly timeline: string;

  constructor(message: string, timeline: string) {
    super("linearizability", message);
    this.timeline = timeline;
  }
}

/** The tally counter that a plain command raises by one. */
function tallyOf(command: Command): string | undefined {
  if (command.type !== "add" || command.database !== 0 || command.delta !== 1) return undefined;
  const key = textOf(command.key);
  return key.startsWith(tallyPrefix) ? key : undefined;
}

function integerOf(reply: string): number {
  invariant(reply.startsWith("i:"), `not an integer: ${reply}`);
  return Number(reply.slice(2));
}

function processOf({ client }: ObservedRequest): number {
  return Number(client.slice(1));
}

/** What a record does before its first command (expiry) touches no tally. */
function positionOf({ lsn, step }: Place): HistoryPosition {
  return { lsn, index: step };
}
