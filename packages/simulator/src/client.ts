/**
 * A client: pipelines requests into the replica's door, remembers what it does not know the outcome of, asks again
 * under the same idempotency key or session number, and now and then sends something old once more.
 */
import type { ReplicaDoor, Caller } from "@quipu/cluster";
import { type Int64, lsn as toLsn, type QuipuError, type Random } from "@quipu/core";
import type { Command, CounterMachine, OutcomeValue, ReadOperation } from "@quipu/counters";
import { check } from "./failure.ts";
import type { History } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import type { Place } from "./naive-entries.ts";
import { ReplyChecker } from "./reply-checker.ts";
import { type Repeatable, Requests } from "./requests.ts";
import type { Trace } from "./trace.ts";
import { commandText, outcomeText } from "./text.ts";
import { Workload } from "./workload.ts";

export interface ClientOptions {
  readonly name: string;
  readonly random: Random;
  readonly workload: Workload;
  readonly history: History;
  readonly ledger: Ledger;
  readonly trace: Trace;
  readonly pipelineMax: number;
  /** Reports what a check throws inside the code under test. */
  readonly guard: (action: () => void) => void;
  /** Virtual time; 0 for ever where nobody's patience ends. */
  readonly nowUs?: () => number;
  /** It changes nothing. */
  readonly readsOnly?: boolean;
  /** Hears of everything asked and answered. */
  readonly observer?: ClientObserver;
}

/** One request of a client, as those see it who check histories. */
export interface ObservedRequest {
  readonly client: string;
  readonly sentUs: number;
  /** Of what may be asked again under the same name; all attempts are one request. */
  readonly repeatable: Repeatable | undefined;
  /** A read outside of any command. */
  readonly operation: ReadOperation | undefined;
  readonly command: Command | undefined;
}

export interface ClientObserver {
  /** `place`: where the reply came from; for a read, up to where it saw the log, if that is known. */
  answered(request: ObservedRequest, reply: string, place: Place | undefined): void;
  /** It failed, or nobody will ever say. */
  failed(request: ObservedRequest, outcome: "definite" | "unknown"): void;
}

/** What a client sees of a running process. */
export interface Server {
  readonly door: ReplicaDoor;
  /** False while it recovers: only linearizable reads are accepted then (they wait). */
  readonly isServing: boolean;
}

interface Pending {
  readonly kind: "write" | "ride" | "readInOrder" | "read" | "readAfter";
  readonly text: string;
  readonly tally: string | undefined;
  readonly repeatable: Repeatable | undefined;
  readonly operation: ReadOperation | undefined;
  /** What was acknowledged to anybody when the request was sent, or the position asked for. */
  readonly sinceLsn: number;
  readonly boundKey: string | undefined;
  readonly sentUs: number;
  readonly command: Command | undefined;
}

/** One connection: what a dead process still says on it in its last turn is never heard. */
class Connection implements Caller {
  readonly #client: SimulatedClient;
  readonly door: ReplicaDoor;

  constructor(client: SimulatedClient, door: ReplicaDoor) {
    this.#client = client;
    this.door = door;
  }

  deliverInteger(tag: number, value: Int64): void {
    this.#client.answered(this, tag, () => `i:${value}`);
  }

  deliver(tag: number, outcome: OutcomeValue): void {
    this.#client.answered(this, tag, () => outcomeText(outcome));
  }

  fail(tag: number, error: QuipuError): void {
    this.#client.failed(this, tag, error);
  }

  ride(tag: number): void {
    this.#client.ridden(this, tag);
  }

  flush(): void {
    this.#client.flushed(this);
  }
}

export class SimulatedClient {
  readonly #options: ClientOptions;
  readonly #checker: ReplyChecker;
  readonly #requests: Requests;
  #connection: Connection | undefined;
  #nextTag = 1;
  readonly #pending = new Map<number, Pending>();
  /** Tags whose replies have an order, oldest first. */
  #ordered: number[] = [];
  #unorderedReads = 0;
  #unflushed = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#checker = new ReplyChecker(options.history);
    this.#requests = new Requests(options.name, options.random, options.workload, options.ledger);
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Requests whose outcome is unknown and which can be asked again. */
  get unresolvedCount(): number {
    return this.#requests.unresolvedCount;
  }

  /** When the oldest request that waits for its answer was sent. */
  get oldestSentUs(): number {
    for (const { sentUs } of this.#pending.values()) return sentUs;
    return Number.POSITIVE_INFINITY;
  }

  get hasUnflushed(): boolean {
    return this.#unflushed;
  }

  /** The process died: whatever was under way has an unknown outcome. */
  disconnected(): void {
    for (const pending of this.#pending.values()) {
      if (pending.repeatable !== undefined) pending.repeatable.inFlight = false;
      this.#options.observer?.failed(this.#observed(pending), "unknown");
    }
    this.#pending.clear();
    this.#ordered = [];
    this.#unorderedReads = 0;
    this.#unflushed = false;
    this.#checker.reset();
    this.#connection = undefined;
  }

  /** Sends something, in one turn, as a socket's read would deliver it. */
  go(server: Server): void {
    const { random, pipelineMax } = this.#options;
    this.#connect(server.door);
    const count = 1 + random.below(pipelineMax);
    const readsOnly =
      this.#options.readsOnly === true ||
      !server.isServing ||
      this.#unorderedReads > 0 ||
      (this.#ordered.length === 0 && random.chance(20, 100));
    if (!readsOnly && random.chance(15, 100)) this.#sendBurst(server.door, count);
    for (let i = 0; i < count; i++) {
      if (readsOnly) this.#sendRead(server);
      else this.#sendOrdered(server);
    }
  }

  /** Asks again for what has an unknown outcome, for at most `requestsMax` of it. */
  resolve(server: Server, requestsMax: number = Number.POSITIVE_INFINITY): void {
    this.#connect(server.door);
    if (this.#unorderedReads > 0) return;
    for (const repeatable of this.#requests.unresolved().slice(0, requestsMax)) {
      this.#sendRepeatable(server.door, repeatable);
    }
  }

  /** Sets up the bounds of the bounded keys. */
  bound(server: Server): void {
    this.#connect(server.door);
    for (const { key, operation } of Workload.boundCommands())
      this.#write(server.door, operation, undefined, undefined, key);
  }

  // Sending

  #sendOrdered(server: Server): void {
    const { random, workload, trace } = this.#options;
    const { door } = server;
    const draw = random.below(100);
    if (draw < 6) {
      const tag = this.#register({ kind: "ride", text: "ride" });
      this.#ordered.push(tag);
      door.ride(this.#caller, tag);
    } else if (draw < 20) {
      const operation = workload.read();
      const tag = this.#register({ kind: "readInOrder", text: commandText(operation), operation });
      this.#ordered.push(tag);
      trace.add(`  ${this.#options.name} #${tag} reads in order ${commandText(operation)}`);
      door.readInOrder(this.#caller, tag, operation);
    } else if (draw < 40) {
      const key = workload.tallyKey();
      this.#write(door, { type: "add", database: 0, key: bytesOfKey(key), delta: 1 }, `0/${key}`, undefined, undefined);
    } else if (draw < 58) this.#write(door, workload.write(), undefined, undefined, undefined);
    else if (draw < 64) this.#write(door, workload.transaction(), undefined, undefined, undefined);
    else this.#sendRepeatable(door, this.#requests.next(door.stampNowMs()));
  }

  /** Equal adds in a row, which fold into one run. */
  #sendBurst(door: ReplicaDoor, count: number): void {
    const operation = this.#options.workload.burst();
    for (let i = 0; i < 2 * count; i++) this.#write(door, operation, undefined, undefined, undefined);
  }

  #sendRepeatable(door: ReplicaDoor, repeatable: Repeatable): void {
    repeatable.inFlight = true;
    this.#write(door, repeatable.command, repeatable.intent.tally, repeatable, undefined);
  }

  #write(
    door: ReplicaDoor,
    command: Command,
    tally: string | undefined,
    repeatable: Repeatable | undefined,
    boundKey: string | undefined,
  ): void {
    const text = commandText(command);
    const tag = this.#register({ kind: "write", text, tally, repeatable, boundKey, command });
    this.#ordered.push(tag);
    this.#options.ledger.submitted(text, tally, repeatable?.intent);
    this.#options.trace.add(`  ${this.#options.name} #${tag} ${text}`);
    if (command.type === "add") {
      // As a socket's buffer would hold it: the key inside other bytes, which change once the call returns.
      const buffer = padded(command.key);
      door.add(this.#caller, tag, command.database, buffer, 2, 2 + command.key.length, command.delta);
      buffer.fill(0xee);
    } else if (command.type === "once" && command.command.type === "add" && this.#options.random.chance(2, 3)) {
      const { id, retentionMs, bornAtMs, command: inner } = command;
      const [idBuffer, buffer] = [padded(id), padded(inner.key)];
      const idRange = { bytes: idBuffer, start: 2, end: 2 + id.length };
      const end = 2 + inner.key.length;
      door.onceAdd(this.#caller, tag, idRange, retentionMs, bornAtMs, inner.database, buffer, 2, end, inner.delta);
      buffer.fill(0xee);
      idBuffer.fill(0xee);
    } else door.write(this.#caller, tag, command);
  }

  #sendRead(server: Server): void {
    const { random, workload, ledger, history } = this.#options;
    const operation = workload.read();
    const text = commandText(operation);
    const draw = server.isServing ? random.below(10) : 0;
    if (draw < 5) {
      const tag = this.#register({ kind: "read", text, operation, sinceLsn: ledger.acknowledgedLsn });
      this.#unorderedReads += 1;
      server.door.read(this.#caller, tag, operation);
    } else if (draw < 7) {
      // Any position that exists; the client may have it from somebody else.
      const position = random.below(history.lastLsn + 1);
      const tag = this.#register({ kind: "readAfter", text, operation, sinceLsn: position });
      this.#unorderedReads += 1;
      server.door.readAfter(this.#caller, tag, toLsn(position), operation);
    } else if (draw < 8) this.#readAt(server.door.machine, 0, operation);
    else {
      const machine = server.door.readableNow();
      if (machine !== undefined) this.#readAt(machine, ledger.acknowledgedLsn, operation);
    }
  }

  #readAt(machine: CounterMachine, sinceLsn: number, operation: ReadOperation): void {
    const reply = outcomeText(machine.read(operation));
    this.#options.trace.add(`  ${this.#options.name} ${commandText(operation)} -> ${reply}`);
    this.#checker.read(machine.appliedLsn, sinceLsn, operation, reply);
  }

  #register(pending: Partial<Pending> & Pick<Pending, "kind" | "text">): number {
    const tag = this.#nextTag++;
    this.#pending.set(tag, {
      tally: undefined,
      repeatable: undefined,
      operation: undefined,
      sinceLsn: 0,
      boundKey: undefined,
      command: undefined,
      sentUs: this.#options.nowUs?.() ?? 0,
      ...pending,
    });
    return tag;
  }

  #connect(door: ReplicaDoor): void {
    if (this.#connection?.door !== door) this.#connection = new Connection(this, door);
  }

  get #caller(): Connection {
    return this.#connection as Connection;
  }

  // What connections report

  answered(from: Connection, tag: number, reply: () => string): void {
    if (from === this.#connection) this.#options.guard(() => this.#answered(tag, reply()));
  }

  ridden(from: Connection, tag: number): void {
    if (from !== this.#connection) return;
    this.#options.guard(() => {
      const pending = this.#take(tag);
      check(pending.kind === "ride", "reply-order", () => `${this.#options.name} #${tag} is no ride`);
    });
  }

  failed(from: Connection, tag: number, error: QuipuError): void {
    if (from === this.#connection) this.#options.guard(() => this.#failed(tag, error));
  }

  flushed(from: Connection): void {
    if (from === this.#connection) this.#unflushed = false;
  }

  #observed({ sentUs, repeatable, operation, command }: Pending): ObservedRequest {
    return { client: this.#options.name, sentUs, repeatable, operation, command };
  }

  #failed(tag: number, error: QuipuError): void {
    const pending = this.#take(tag);
    const { kind, text, tally, repeatable } = pending;
    this.#options.observer?.failed(this.#observed(pending), error.outcome);
    this.#options.trace.add(`  ${this.#options.name} #${tag} failed: ${error.code} ${error.outcome}`);
    if (repeatable !== undefined) repeatable.inFlight = false;
    if (kind === "write" && error.outcome === "definite") this.#options.ledger.refused(text, tally, repeatable?.intent);
  }

  #answered(tag: number, reply: string): void {
    const { name, trace, ledger, workload } = this.#options;
    const pending = this.#take(tag);
    const { kind, text, tally, repeatable, operation, sinceLsn, boundKey } = pending;
    const { door } = this.#caller;
    // 0: nothing was delivered in this life yet (its announcement was refused).
    const lsn = door.deliveringLsn === 0 ? door.machine.appliedLsn : door.deliveringLsn;
    trace.add(`  ${name} #${tag} ${text} -> ${reply} @${kind === "write" ? lsn : door.machine.appliedLsn}`);
    if (kind === "write") {
      const step = this.#checker.write(lsn, text, reply);
      if (repeatable !== undefined) this.#requests.answered(repeatable, reply);
      ledger.acknowledged(text, tally, repeatable?.intent, lsn);
      if (boundKey !== undefined) workload.bounded.add(boundKey);
      this.#options.observer?.answered(this.#observed(pending), reply, { lsn, step });
      return;
    }
    check(operation !== undefined, "reply-order", () => `${name} #${tag} is a ride and was answered ${reply}`);
    if (kind === "readInOrder") {
      this.#checker.readInOrder(lsn, operation, reply);
      this.#options.observer?.answered(this.#observed(pending), reply, undefined);
      return;
    }
    const { appliedLsn } = door.machine;
    this.#checker.read(appliedLsn, sinceLsn, operation, reply);
    if (kind === "readAfter") return;
    this.#options.observer?.answered(this.#observed(pending), reply, this.#options.history.endOf(appliedLsn));
  }

  #take(tag: number): Pending {
    const pending = this.#pending.get(tag);
    check(
      pending !== undefined,
      "reply-order",
      () => `${this.#options.name} #${tag} was answered twice, or never asked`,
    );
    this.#pending.delete(tag);
    this.#unflushed = true;
    if (pending.kind === "read" || pending.kind === "readAfter") this.#unorderedReads -= 1;
    else {
      const first = this.#ordered.shift();
      check(first === tag, "reply-order", () => `${this.#options.name} #${tag} was answered before #${first}`);
    }
    return pending;
  }
}

function bytesOfKey(key: string): Uint8Array {
  return Uint8Array.from(key, (character) => character.charCodeAt(0));
}

function padded(bytes: Uint8Array): Uint8Array {
  const buffer = new Uint8Array(bytes.length + 4).fill(0x2a);
  buffer.set(bytes, 2);
  return buffer;
}
