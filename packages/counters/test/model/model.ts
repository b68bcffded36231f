/**
 * The whole state machine, naively: one operation after the other, no folding, no codec, no limits.
 *
 * Written from the documented semantics (operations.ts, DESIGN §4.4 and §4.5), not from the machine, so that the
 * property tests compare two readings of them.
 */
import type {
  Command,
  OnceCommand,
  Operation,
  ReadOperation,
  SessionCommand,
  TransactionCommand,
  WriteOperation,
} from "../../src/operations.ts";
import { textOf } from "./arbitraries.ts";
import { answerRead } from "./model-reads.ts";
import { array, error, type Expected, integer, ModelState, nil, slotOf, text } from "./model-state.ts";
import { applyWrite } from "./model-writes.ts";

const sessionLifetimeMaxMs = 7 * 86_400_000;

interface OnceEntry {
  readonly request: string;
  readonly reply: Expected;
  readonly expiresAtMs: number;
}

interface SessionEntry {
  readonly expiresAtMs: number;
  lowestOpen: number;
  readonly replies: Map<number, { readonly position: string; readonly outcomes: Expected }>;
}

export class Model {
  readonly state = new ModelState();
  readonly #once = new Map<string, OnceEntry>();
  readonly #sessions = new Map<string, SessionEntry>();
  #lsn = 0;
  #index = 0;

  /** One accepted record; a reply for each command. */
  apply(lsn: number, stampMs: number, commands: readonly Command[]): Expected[] {
    const { state } = this;
    this.#lsn = lsn;
    this.#index = 0;
    state.position = `${lsn}-0`;
    state.logTimeMs = Math.max(state.logTimeMs, stampMs);
    this.#removeExpired();
    return commands.map((command) => {
      const reply = this.#command(command);
      // Indexes do not depend on what came of a command.
      this.#index += operationCount(command);
      return reply;
    });
  }

  read(operation: ReadOperation): Expected {
    return answerRead(this.state, operation);
  }

  #removeExpired(): void {
    const { state } = this;
    const due = (entry: { readonly expiresAtMs: number | undefined }): boolean =>
      entry.expiresAtMs !== undefined && entry.expiresAtMs <= state.logTimeMs;
    for (const counter of [...state.counters.values()]) if (due(counter)) state.remove(counter.database, counter.key);
    for (const [id, entry] of this.#once) if (due(entry)) this.#once.delete(id);
    for (const [id, entry] of this.#sessions) if (due(entry)) this.#sessions.delete(id);
  }

  #command(command: Command): Expected {
    switch (command.type) {
      case "transaction":
        return this.#transaction(command);
      case "once":
        return this.#onceCommand(command);
      case "session":
        return this.#session(command);
      default:
        return this.#operation(command, 0);
    }
  }

  /** `place`: from 0, among the operations of its command. */
  #operation(operation: Operation, place: number): Expected {
    this.state.position = `${this.#lsn}-${this.#index + place + 1}`;
    return isRead(operation) ? answerRead(this.state, operation) : applyWrite(this.state, operation);
  }

  #transaction({ watches, operations }: TransactionCommand): Expected {
    const intact = watches.every(
      ({ database, key, version }) => this.state.version(database, textOf(key)) === `${version.lsn}-${version.index}`,
    );
    if (!intact) return nil;
    return array(...operations.map((operation, place) => this.#operation(operation, place)));
  }

  #onceCommand(command: OnceCommand): Expected {
    const now = this.state.logTimeMs;
    const { retentionMs, bornAtMs } = command;
    const scope = `${lowestSlot(command.command)}/${textOf(command.id)}`;
    const request = fingerprint(command.command);
    const entry = this.#once.get(scope);
    if (entry !== undefined) return entry.request === request ? entry.reply : error("IDEMPOTENCY_MISMATCH");
    if (bornAtMs !== null && bornAtMs + retentionMs <= now) return error("IDEMPOTENCY_EXPIRED");
    const reply = this.#command(command.command);
    // An id born ahead of log time is remembered from its birth on: forgotten, but not yet too old, it would apply again.
    this.#once.set(scope, { request, reply, expiresAtMs: Math.max(now, bornAtMs ?? now) + retentionMs });
    return reply;
  }

  #session(command: SessionCommand): Expected {
    const now = this.state.logTimeMs;
    if (command.expiresAtMs <= now) return error("SESSION_EXPIRED");
    if (command.expiresAtMs > now + sessionLifetimeMaxMs) return error("INVALID_ARGUMENT");
    const id = `${command.expiresAtMs}/${textOf(command.session)}`;
    let session = this.#sessions.get(id);
    if (session === undefined) {
      session = { expiresAtMs: command.expiresAtMs, lowestOpen: 0, replies: new Map() };
      this.#sessions.set(id, session);
    }
    if (command.number < session.lowestOpen) return error("SESSION_NUMBER_USED");
    const seen = session.replies.get(command.number);
    if (seen !== undefined) return array(text(seen.position), integer(1), seen.outcomes);
    session.lowestOpen = Math.max(session.lowestOpen, command.lowestOpen);
    for (const number of [...session.replies.keys()]) if (number < session.lowestOpen) session.replies.delete(number);
    const position = `${this.#lsn}-${this.#index + 1}`; // Of its first operation.
    const outcomes = array(...command.operations.map((operation, place) => this.#operation(operation, place)));
    session.replies.set(command.number, { position, outcomes });
    return array(text(position), integer(0), outcomes);
  }
}

const readTypes: ReadonlySet<string> = new Set<ReadOperation["type"]>([
  "get",
  "getMany",
  "exists",
  "typeOf",
  "timeToLive",
  "databaseSize",
  "scan",
  "keys",
  "randomKey",
  "describe",
  "versionOf",
]);

function isRead(operation: Operation): operation is ReadOperation {
  return readTypes.has(operation.type);
}

function operationCount(command: Command): number {
  if (command.type === "once") return operationCount(command.command);
  return "operations" in command ? command.operations.length : 1;
}

function lowestSlot(command: Operation | TransactionCommand): number {
  const keys = command.type === "transaction" ? command.operations.flatMap(keysOf) : keysOf(command);
  return keys.length === 0 ? 0 : Math.min(...keys.map((key) => slotOf(textOf(key))));
}

function keysOf(operation: ReadOperation | WriteOperation): readonly Uint8Array[] {
  if ("key" in operation) return [operation.key];
  if ("keys" in operation) return operation.keys;
  return "pairs" in operation ? operation.pairs.map((pair) => pair.key) : [];
}

/** Equal for equal requests, different for different ones. */
function fingerprint(command: Operation | TransactionCommand): string {
  return JSON.stringify(command, (_, item: unknown) =>
    item instanceof Uint8Array ? textOf(item) : typeof item === "bigint" ? `${item}n` : item,
  );
}
