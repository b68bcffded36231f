/**
 * What clients do meanwhile, at every node: the SDK counts (exactly, whatever happens), bare connections count and use
 * registers, and write down what they asked and what came back, for the checkers of linearizability.
 */
import { type Client, connect } from "@quipu/client";
import { SeededRandom } from "@quipu/core";
import type { LocalNode } from "../../local-cell/local-cell.ts";
import type { WriteGaps } from "../demo/write-gaps.ts";
import { RawConnection, RawError, RawLoss, type RawReply } from "./raw-connection.ts";
import { delay } from "../delay.ts";

/** An operation as the checkers of packages/simulator take it. */
export type RecordedOperation = {
  readonly process: number;
  readonly key: string;
  readonly invokedAt: number;
  readonly returnedAt: number | undefined;
} & (
  | { readonly kind: "read"; readonly result: number | string | null | undefined }
  | { readonly kind: "add"; readonly argument: number; readonly result: number | undefined }
  | { readonly kind: "set"; readonly argument: string; readonly result: undefined }
  | {
      readonly kind: "compare-and-set";
      readonly argument: { readonly expected: string | null; readonly next: string };
      readonly result: boolean | undefined;
    }
);

/** Adds of the SDK under way at each node. */
const sdkWorkers = 4;
/** Counters that they share over all nodes. */
const sdkKeys = 8;
/** Pause between two of a worker's operations: faults are the subject, not throughput. */
const pauseMs = 4;
/** Connections with recorded operations, at each node. */
const recordersPerNode = 2;
/** Registers and counters in use at a time; after so many operations another one takes the place. */
const keysAtOnce = 3;
const operationsPerKey = 400;
/** Longer than any shift of a clock: sessions live in log time. */
const sessionTtlMs = 24 * 3_600_000;

export class Workload {
  readonly history: RecordedOperation[] = [];
  /** What no client should have seen. */
  readonly problems: string[] = [];
  readonly #nodes: readonly LocalNode[];
  readonly #random: SeededRandom;
  readonly #gaps: WriteGaps;
  readonly #clients: Client[] = [];
  readonly #sdkCounts = new Map<string, bigint>();
  readonly #rawCounts = new Map<string, { acknowledged: number; unknown: number }>();
  readonly #running: Promise<void>[] = [];
  readonly #keyOperations: number[] = Array.from({ length: keysAtOnce * 2 }, () => 0);
  #isStopping = false;
  #values = 0;
  #acknowledged = 0;

  constructor(nodes: readonly LocalNode[], seed: number, gaps: WriteGaps) {
    this.#nodes = nodes;
    this.#random = new SeededRandom(seed);
    this.#gaps = gaps;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  async start(): Promise<void> {
    for (const [index, node] of this.#nodes.entries()) {
      const client = await connect(node.server.url, { requestTimeoutMs: 0, sessionTtlMs });
      this.#clients.push(client);
      for (let worker = 0; worker < sdkWorkers; worker++) this.#running.push(this.#count(client));
      for (let recorder = 0; recorder < recordersPerNode; recorder++) {
        this.#running.push(this.#record(node, index * recordersPerNode + recorder));
      }
    }
  }

  /** Every operation has an answer after this: the cell has to be well. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running);
  }

  async close(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  /** Reads every tally through every node; says what is wrong. */
  async compare(): Promise<readonly string[]> {
    const wrong: string[] = [];
    for (const node of this.#nodes) {
      const connection = await RawConnection.open(node.server.respPort);
      for (const [key, expected] of this.#sdkCounts) {
        const found = BigInt((await connection.ask("GET", key)) as string);
        if (found !== expected) wrong.push(`${node.name}: ${key} is ${found}, the SDK counted ${expected}`);
      }
      for (const [key, { acknowledged, unknown }] of this.#rawCounts) {
        const found = Number(await connection.ask("GET", key));
        if (found < acknowledged || found > acknowledged + unknown) {
          wrong.push(`${node.name}: ${key} is ${found}, not in [${acknowledged}, ${acknowledged + unknown}]`);
        }
      }
      connection.close();
    }
    return wrong;
  }

  async #count(client: Client): Promise<void> {
    while (!this.#isStopping) {
      const key = `sdk:${this.#random.below(sdkKeys)}`;
      try {
        await client.counter(key).add(1n);
        this.#succeeded();
        this.#sdkCounts.set(key, (this.#sdkCounts.get(key) ?? 0n) + 1n);
      } catch (error) {
        // Without a deadline an add is repeated until it is answered; there is nothing that it may fail of.
        if (!this.#isStopping) this.problems.push(`the SDK's add failed: ${String(error)}`);
        return;
      }
      await delay(pauseMs);
    }
  }

  #succeeded(): void {
    this.#acknowledged++;
    this.#gaps.succeeded();
  }

  // Recorded operations

  async #record(node: LocalNode, process: number): Promise<void> {
    let connection: RawConnection | undefined;
    while (!this.#isStopping) {
      try {
        connection ??= await RawConnection.open(node.server.respPort);
        await this.#operate(connection, process);
      } catch (error) {
        if (!(error instanceof RawLoss)) this.problems.push(`client ${process}: ${String(error)}`);
      }
      if (connection?.isLost === true) connection = undefined;
      await delay(connection === undefined ? 20 : pauseMs);
    }
    connection?.close();
  }

  async #operate(connection: RawConnection, process: number): Promise<void> {
    const slot = this.#random.below(keysAtOnce * 2);
    const isRegister = slot < keysAtOnce;
    const count = this.#keyOperations[slot] as number;
    this.#keyOperations[slot] = count + 1;
    const key = `${isRegister ? "register" : "counter"}:${slot}:${Math.floor(count / operationsPerKey)}`;
    const choice = this.#random.below(10);
    if (!isRegister)
      return choice < 5 ? this.#add(connection, process, key) : this.#read(connection, process, key, true);
    if (choice < 5) return this.#read(connection, process, key, false);
    return choice < 8 ? this.#set(connection, process, key) : this.#compareAndSet(connection, process, key);
  }

  async #read(connection: RawConnection, process: number, key: string, isNumber: boolean): Promise<void> {
    const invokedAt = performance.now();
    const reply = await connection.ask("GET", key);
    const returnedAt = performance.now();
    if (this.#isRefused(reply)) return;
    const result = reply === null ? null : isNumber ? Number(reply) : (reply as string);
    this.history.push({ kind: "read", process, key, invokedAt, returnedAt, result });
  }

  async #add(connection: RawConnection, process: number, key: string): Promise<void> {
    const tally = this.#rawCounts.get(key) ?? { acknowledged: 0, unknown: 0 };
    this.#rawCounts.set(key, tally);
    const invokedAt = performance.now();
    const about = { kind: "add", process, key, invokedAt, argument: 1 } as const;
    const reply = await this.#change(connection, ["INCR", key]);
    if (reply === undefined) return;
    if (reply instanceof RawLoss) {
      tally.unknown++;
      this.history.push({ ...about, returnedAt: undefined, result: undefined });
      return;
    }
    tally.acknowledged++;
    this.history.push({ ...about, returnedAt: performance.now(), result: reply as number });
  }

  async #set(connection: RawConnection, process: number, key: string): Promise<void> {
    const argument = this.#newValue();
    const invokedAt = performance.now();
    const about = { kind: "set", process, key, invokedAt, argument, result: undefined } as const;
    const reply = await this.#change(connection, ["SET", key, argument]);
    if (reply === undefined) return;
    this.history.push({ ...about, returnedAt: reply instanceof RawLoss ? undefined : performance.now() });
  }

  /**
   * GET, WATCH, GET, MULTI, SET, EXEC. No value is ever written twice: if both reads agree, it is what was there at WATCH, and
   * what WATCH promises (nothing was written since) and compare-and-set (the value is the one that was read) are the same.
   */
  async #compareAndSet(connection: RawConnection, process: number, key: string): Promise<void> {
    const first = await connection.ask("GET", key);
    if (this.#isRefused(first) || this.#isRefused(await connection.ask("WATCH", key))) return;
    const expected = await connection.ask("GET", key);
    if (this.#isRefused(expected) || expected !== first) return void (await connection.ask("UNWATCH"));
    const next = this.#newValue();
    await connection.ask("MULTI");
    await connection.ask("SET", key, next);
    const invokedAt = performance.now();
    const argument = { expected: expected as string | null, next };
    const about = { kind: "compare-and-set", process, key, invokedAt, argument } as const;
    const reply = await this.#change(connection, ["EXEC"]);
    if (reply === undefined) return;
    if (reply instanceof RawLoss) this.history.push({ ...about, returnedAt: undefined, result: undefined });
    else this.history.push({ ...about, returnedAt: performance.now(), result: reply !== null });
  }

  /** Undefined: refused, surely not made. RawLoss: of unknown outcome. */
  async #change(connection: RawConnection, words: readonly string[]): Promise<RawReply | undefined | RawLoss> {
    let reply: RawReply;
    try {
      reply = await connection.ask(...words);
    } catch (error) {
      if (error instanceof RawLoss) return error;
      throw error;
    }
    if (reply instanceof RawError && !reply.isDefinite) return new RawLoss(reply.text);
    if (this.#isRefused(reply)) return undefined;
    this.#succeeded();
    return reply;
  }

  /** Refusals for the moment are part of the game; others would be a mistake, ours or the server's. */
  #isRefused(reply: RawReply): boolean {
    if (!(reply instanceof RawError)) return false;
    const isExpected = /^(OVERLOADED|INDOUBT|EXECABORT|LOADING|TRYAGAIN)/.test(reply.text);
    if (!isExpected) this.problems.push(`an answer that should not be: ${reply.text}`);
    return true;
  }

  #newValue(): string {
    return `v${++this.#values}`;
  }
}
