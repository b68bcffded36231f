/**
 * The naive model: what a log of records means, told a second time: record ids, log time, expiry, sessions,
 * idempotency, one reply per command. Its replies are what clients must have got (DESIGN §4.4, §4.5).
 */
import type { Command, OnceCommand, Operation, SessionCommand, TransactionCommand, Watch } from "@quipu/counters";
import { keySlot } from "@quipu/routing";
import { NaiveEntries } from "./naive-entries.ts";
import { applyNaively, entryKey, versionText } from "./naive-operations.ts";
import { commandText, textOf } from "./text.ts";

export interface NaiveHeader {
  readonly node: number;
  readonly incarnation: number;
  readonly number: number;
  readonly stampMs: number;
}

interface NaiveSession {
  lowestOpen: number;
  readonly replies: Map<number, string>;
}

interface NaiveOnce {
  readonly request: string;
  readonly reply: string;
  readonly expiresAtMs: number;
}

const sessionLifetimeMaxMs = 7 * 24 * 3_600_000;

export class NaiveModel {
  readonly entries: NaiveEntries = new NaiveEntries();
  readonly #sessions = new Map<string, NaiveSession>();
  readonly #onces = new Map<string, NaiveOnce>();
  readonly #writers = new Map<number, { incarnation: number; last: number }>();
  #logTimeMs = 0;
  #lsn = 0;
  #step = 0;
  /** Operations of the record before the present command: indexes do not depend on outcomes. */
  #index = 0;

  get logTimeMs(): number {
    return this.#logTimeMs;
  }

  /** True if the record is to be applied; then expiry has been done. */
  beginRecord(lsn: number, header: NaiveHeader): boolean {
    if (!this.#admit(header)) return false;
    this.#logTimeMs = Math.max(this.#logTimeMs, header.stampMs);
    this.#lsn = lsn;
    this.#step = 0;
    this.#index = 0;
    this.entries.index = 0;
    this.entries.place = { lsn, step: 0 };
    for (const key of this.entries.keys()) {
      const due = this.entries.get(key)?.expiresAtMs;
      if (due !== undefined && due <= this.#logTimeMs) this.entries.set(key, undefined);
    }
    for (const [id, once] of this.#onces) if (once.expiresAtMs <= this.#logTimeMs) this.#onces.delete(id);
    return true;
  }

  /** The reply to the next command (one add of a run counts as one). The step it took is `entries.place.step`. */
  apply(command: Command): string {
    this.#step += 1;
    this.entries.place = { lsn: this.#lsn, step: this.#step };
    const reply = this.#reply(command);
    this.#index += operationsIn(command);
    return reply;
  }

  #reply(command: Command): string {
    switch (command.type) {
      case "once":
        return this.#once(command);
      case "session":
        return this.#session(command);
      default:
        return this.#plain(command);
    }
  }

  #admit({ node, incarnation, number }: NaiveHeader): boolean {
    const writer = this.#writers.get(node);
    if (writer !== undefined && incarnation < writer.incarnation) return false;
    const last = writer === undefined || incarnation > writer.incarnation ? 0 : writer.last;
    if (number !== last + 1) return false;
    this.#writers.set(node, { incarnation, last: number });
    return true;
  }

  #plain(command: Operation | TransactionCommand): string {
    if (command.type !== "transaction") return this.#operation(command, 1);
    const isChanged = ({ database, key, version }: Watch): boolean =>
      this.entries.version(entryKey(database, key)) !== versionText(version);
    return command.watches.some(isChanged) ? "nil" : this.#operations(command.operations);
  }

  #operations(operations: readonly Operation[]): string {
    return `[${operations.map((operation, i) => this.#operation(operation, i + 1)).join(",")}]`;
  }

  #operation(operation: Operation, ordinal: number): string {
    this.entries.index = this.#index + ordinal;
    return applyNaively(this.entries, operation, this.#logTimeMs);
  }

  #once(command: OnceCommand): string {
    const id = `${Math.min(...keysOf(command.command).map((key) => keySlot(key)))}/${textOf(command.id)}`;
    const request = commandText(command.command);
    const known = this.#onces.get(id);
    if (known !== undefined) return known.request === request ? known.reply : "e:IDEMPOTENCY_MISMATCH";
    const { bornAtMs, retentionMs } = command;
    if (bornAtMs !== null && bornAtMs <= this.#logTimeMs - retentionMs) return "e:IDEMPOTENCY_EXPIRED";
    const reply = this.#plain(command.command);
    // A birth ahead of log time prolongs the entry: it must outlive the moment at which the id is refused by age.
    const expiresAtMs = Math.max(this.#logTimeMs, bornAtMs ?? 0) + retentionMs;
    this.#onces.set(id, { request, reply, expiresAtMs });
    return reply;
  }

  #session(command: SessionCommand): string {
    if (command.expiresAtMs <= this.#logTimeMs) return "e:SESSION_EXPIRED";
    if (command.expiresAtMs > this.#logTimeMs + sessionLifetimeMaxMs) return "e:INVALID_ARGUMENT";
    const id = `${command.expiresAtMs}/${textOf(command.session)}`;
    let session = this.#sessions.get(id);
    if (session === undefined) this.#sessions.set(id, (session = { lowestOpen: 0, replies: new Map() }));
    if (command.number < session.lowestOpen) return "e:SESSION_NUMBER_USED";
    const known = session.replies.get(command.number);
    if (known !== undefined) return known.replace("#", "i:1");
    const reply = `[b:${this.#lsn}-${this.#index + 1},#,${this.#operations(command.operations)}]`;
    session.replies.set(command.number, reply);
    session.lowestOpen = Math.max(session.lowestOpen, command.lowestOpen);
    for (const number of session.replies.keys()) if (number < session.lowestOpen) session.replies.delete(number);
    return reply.replace("#", "i:0");
  }
}

function keysOf(command: Operation | TransactionCommand): readonly Uint8Array[] {
  if (command.type === "transaction") return command.operations.flatMap(keysOf);
  if ("key" in command) return [command.key];
  if ("keys" in command) return command.keys;
  return "pairs" in command ? command.pairs.map((pair) => pair.key) : [];
}

function operationsIn(command: Command): number {
  if (command.type === "once") return operationsIn(command.command);
  return "operations" in command ? command.operations.length : 1;
}
