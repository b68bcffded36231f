/**
 * What clients ask for. Keys come in families, each with rules that make it checkable from outside:
 * `t` tallies (only ever raised by one), `b` bounded (0..maximum, never deleted), `m` and `c` anything (hot and
 * cold), database 1 is flushed now and then.
 */
import type { Random } from "@quipu/core";
import type { Command, ExpiryChange, Operation, Position, ReadOperation, Watch, WriteOperation } from "@quipu/counters";
import type { SwarmConfiguration } from "./swarm.ts";
import { bytesOf, textOf } from "./text.ts";

export const boundedMaximum = 20;
const boundedKeys = 2;
const tallyKeys = 3;
const hotKeys = 3;

const noConditions = { ifNone: false, ifSome: false, ifLater: false, ifEarlier: false };

/** What the workload needs of a swarm configuration. */
export type WorkloadShape = Pick<SwarmConfiguration, "coldKeys" | "hotPercent" | "flushes">;

export class Workload {
  readonly #random: Random;
  readonly #swarm: WorkloadShape;
  readonly #versionOf: (key: string) => Position;
  /** Bounded keys whose bounds some client knows to be set. */
  readonly bounded: Set<string> = new Set();

  /** `versionOf`: of a key in database 0, as a client may have read it just now. */
  constructor(random: Random, swarm: WorkloadShape, versionOf: (key: string) => Position) {
    this.#versionOf = versionOf;
    this.#random = random;
    this.#swarm = swarm;
  }

  /** Sets up the bounds; asked again until acknowledged. */
  static boundCommands(): readonly { readonly key: string; readonly operation: WriteOperation }[] {
    return Array.from({ length: boundedKeys }, (_, i) => ({
      key: `b${i}`,
      operation: {
        type: "bound",
        database: 0,
        key: bytesOf(`b${i}`),
        minimum: 0,
        maximum: boundedMaximum,
        force: true,
      },
    }));
  }

  /** All bounds are known to be set. */
  get isBounded(): boolean {
    return this.bounded.size === boundedKeys;
  }

  tallyKey(): string {
    return `t${this.#random.below(tallyKeys)}`;
  }

  /** One write on one key or several, never a tally. */
  write(): WriteOperation {
    const random = this.#random;
    if (this.isBounded && random.chance(25, 100)) return this.#onBounded();
    const database = random.chance(10, 100) ? 1 : 0;
    const key = bytesOf(this.#mixedKey());
    switch (random.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
        return { type: "add", database, key, delta: this.#delta() };
      case 6:
      case 7:
        return this.#set(database, key);
      case 8:
        return { type: "delete", database, keys: [key, bytesOf(this.#mixedKey())] };
      case 9:
        return random.chance(1, 2)
          ? { type: "getAndDelete", database, key }
          : { type: "getAndExpire", database, key, expiry: this.#expiry() };
      case 10:
        return { type: "expire", database, key, expiry: { type: "in", ms: this.#ttlMs() }, conditions: noConditions };
      case 11:
        return { type: "persist", database, key };
      case 12:
        return { type: "bound", database, key, minimum: -50, maximum: 50, force: random.chance(1, 2) };
      case 13:
        return this.#compareAndSet(database, key);
      case 14:
        return this.#setMany(database);
      default:
        return database === 1 && this.#swarm.flushes
          ? { type: "flush", database: 1 }
          : { type: "add", database, key, delta: 1 };
    }
  }

  /** An add that is sent many times in a row, mostly against bounds. */
  burst(): WriteOperation {
    const random = this.#random;
    const onBounded = this.isBounded && random.chance(70, 100);
    const key = onBounded ? `b${random.below(boundedKeys)}` : this.#mixedKey();
    const delta = ([1, 2, 7, -1, -3, 4_000_000_000_000_000_000n] as const)[random.below(onBounded ? 5 : 6)] ?? 1;
    return { type: "add", database: 0, key: bytesOf(key), delta };
  }

  /** Several operations in one command: all or nothing. */
  transaction(): Command {
    const operations: Operation[] = Array.from({ length: 1 + this.#random.below(4) }, () =>
      this.#random.chance(30, 100) ? this.readInside() : this.write(),
    );
    const watches = this.#random.chance(1, 3) ? [this.#watch()] : [];
    return { type: "transaction", watches, operations };
  }

  read(): ReadOperation {
    const random = this.#random;
    const key = random.chance(1, 3)
      ? this.tallyKey()
      : random.chance(1, 3)
        ? `b${random.below(boundedKeys)}`
        : this.#mixedKey();
    return { type: "get", database: 0, key: bytesOf(key) };
  }

  /** A read that is logged with the command around it. */
  readInside(): ReadOperation {
    const read = this.read();
    if (read.type !== "get") return read;
    const { database, key } = read;
    switch (this.#random.below(6)) {
      case 0:
        return { type: "versionOf", database, key };
      case 1:
        return { type: "getMany", database, keys: [key, bytesOf(this.#mixedKey())] };
      case 2:
        return { type: "exists", database, keys: [key, key, bytesOf(this.#mixedKey())] };
      case 3:
        return { type: "typeOf", database, key };
      default:
        return read;
    }
  }

  /** On a key that may have changed since it was looked at. */
  #watch(): Watch {
    const key = this.#mixedKey();
    return { database: 0, key: bytesOf(key), version: this.#versionOf(key) };
  }

  #mixedKey(): string {
    const random = this.#random;
    return random.chance(this.#swarm.hotPercent, 100)
      ? `m${random.below(hotKeys)}`
      : `c${random.below(this.#swarm.coldKeys)}`;
  }

  #delta(): number | bigint {
    const random = this.#random;
    switch (random.below(8)) {
      case 0:
        return -1;
      case 1:
        return 1 + random.below(1000);
      case 2:
        return random.chance(1, 4) ? 9_223_372_036_854_775_000n : -7;
      default:
        return 1;
    }
  }

  #ttlMs(): number {
    return [1, 5, 50, 500, 5_000][this.#random.below(5)] as number;
  }

  #set(database: number, key: Uint8Array): WriteOperation {
    const random = this.#random;
    const value = random.chance(1, 5) ? `text ${random.below(10)}` : `${random.below(200) - 100}`;
    return {
      type: "set",
      database,
      key,
      value: bytesOf(value),
      condition: (["always", "always", "ifAbsent", "ifPresent"] as const)[random.below(4)] ?? "always",
      returnPrevious: random.chance(1, 4),
      expiry: this.#expiry(),
    };
  }

  #expiry(): ExpiryChange {
    switch (this.#random.below(3)) {
      case 0:
        return { type: "clear" };
      case 1:
        return { type: "keep" };
      default:
        return { type: "in", ms: this.#ttlMs() };
    }
  }

  #setMany(database: number): WriteOperation {
    const random = this.#random;
    const keys = [...new Set([this.#mixedKey(), this.#mixedKey(), this.#mixedKey()])];
    const pairs = keys.map((key) => ({ key: bytesOf(key), value: bytesOf(`${random.below(40)}`) }));
    return { type: "setMany", database, pairs, ifNoneExists: random.chance(1, 3) };
  }

  #compareAndSet(database: number, key: Uint8Array): WriteOperation {
    const random = this.#random;
    return {
      type: "compareAndSet",
      database,
      key,
      expected: random.chance(1, 3)
        ? { type: "absent" }
        : random.chance(1, 2)
          ? { type: "value", value: random.below(4) }
          : { type: "version", version: this.#versionOf(textOf(key)) },
      value: random.below(4),
    };
  }

  #onBounded(): WriteOperation {
    const random = this.#random;
    const key = bytesOf(`b${random.below(boundedKeys)}`);
    switch (random.below(6)) {
      case 0:
        return {
          type: "set",
          database: 0,
          key,
          value: bytesOf(`${random.below(30) - 5}`),
          condition: "always",
          returnPrevious: false,
          expiry: { type: "clear" },
        };
      case 1:
        return { type: "add", database: 0, key, delta: -1 - random.below(3) };
      default:
        return { type: "add", database: 0, key, delta: random.chance(1, 4) ? 3 : 1 };
    }
  }
}
