/**
 * Who a front is: a number that the service gives out once for each data directory, and an incarnation that is raised there
 * at each start. Not only on the own disk: a directory that was copied, or restored from a backup, must not write records
 * under ids that were used before.
 */
import { QuipuError, type Random } from "@quipu/core";
import type { MetadataStore } from "@quipu/log";
import type { WriterIdentity } from "../submitter.ts";
import { describeFront, type FrontHome, type FrontIdentity, loadFront, storeFront } from "./directory.ts";

/** In the service: what log it is, and the next number. */
const frontsKey = "fronts";
/** As many writers as a machine remembers. */
const nodesMax = 65_535;
const incarnationMax = 0xffff_ffff;
/** Others take numbers at the same time; each time one of them succeeds. */
const attemptsMax = 100;

interface Fronts {
  readonly log: string;
  readonly next: number;
}

export class FrontRegister {
  /** This node's own file. */
  readonly #metadata: MetadataStore;
  readonly #registers: MetadataStore;
  readonly #home: FrontHome;
  readonly #random: Random;

  constructor(options: {
    readonly metadata: MetadataStore;
    readonly registers: MetadataStore;
    readonly home: FrontHome;
    readonly random: Random;
  }) {
    this.#metadata = options.metadata;
    this.#registers = options.registers;
    this.#home = options.home;
    this.#random = options.random;
  }

  /** The number of this directory, which a new one gets now. Rejects with INVALID_CONFIGURATION where another log lives there. */
  async node(): Promise<number> {
    const own = await loadFront(this.#metadata);
    if (own !== undefined) {
      const fronts = await this.#fronts();
      if (fronts?.value.log === own.identity.log) return own.identity.node;
      const found = fronts === undefined ? "nothing of it is there" : "what is there now is another log";
      throw new QuipuError("INVALID_CONFIGURATION", `the data directory ${describeFront(this.#home)} But ${found}.`);
    }
    const { log, node } = await this.#takeNumber();
    await storeFront(this.#metadata, 0, { ...this.#home, log, node, incarnation: 0 });
    return node;
  }

  /** Raised and durable, in the service and here. Once {@link FrontRegister.node} has resolved. */
  async nextIdentity(): Promise<WriterIdentity> {
    const own = await loadFront(this.#metadata);
    if (own === undefined) throw new QuipuError("STORE_CORRUPT", "the node has no identity");
    const { node } = own.identity;
    const key = `front/${node}`;
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const stored = await this.#registers.get(key);
      const last = Math.max(own.identity.incarnation, stored === undefined ? 0 : decodeCount(key, stored.value));
      if (last >= incarnationMax) throw new QuipuError("DATA_DIRECTORY_UNUSABLE", `node ${node} has no number left`);
      const incarnation = last + 1;
      if (!(await this.#registers.compareAndSet(key, stored?.version ?? 0, encode(incarnation)))) continue;
      const identity: FrontIdentity = { ...own.identity, incarnation };
      await storeFront(this.#metadata, own.version, identity);
      return { node, incarnation };
    }
    throw new QuipuError(
      "DATA_DIRECTORY_IN_USE",
      `others start as node ${node} again and again: is the directory a copy?`,
    );
  }

  async #takeNumber(): Promise<{ readonly log: string; readonly node: number }> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const stored = await this.#fronts();
      const { log, next } = stored?.value ?? { log: this.#drawId(), next: 1 };
      if (next > nodesMax) {
        const why = `${nodesMax} data directories were made for this log; start one of those again`;
        throw new QuipuError("INVALID_CONFIGURATION", why);
      }
      const value = encode({ log, next: next + 1 } satisfies Fronts);
      if (await this.#registers.compareAndSet(frontsKey, stored?.version ?? 0, value)) return { log, node: next };
    }
    throw new QuipuError("OVERLOADED", "others take node numbers at the same time, again and again");
  }

  async #fronts(): Promise<{ readonly version: number; readonly value: Fronts } | undefined> {
    const stored = await this.#registers.get(frontsKey);
    if (stored === undefined) return undefined;
    const { log, next } = decode(frontsKey, stored.value) as Partial<Fronts>;
    if (typeof log !== "string" || !Number.isSafeInteger(next)) throw notOurs(frontsKey);
    return { version: stored.version, value: { log, next: next as number } };
  }

  #drawId(): string {
    const draw = (): string => this.#random.uint32().toString(16).padStart(8, "0");
    return draw() + draw();
  }
}

function encode(value: number | Fronts): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function decode(key: string, bytes: Uint8Array): object {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // As below.
  }
  throw notOurs(key);
}

function decodeCount(key: string, bytes: Uint8Array): number {
  const count = Number(new TextDecoder().decode(bytes));
  if (!Number.isSafeInteger(count)) throw notOurs(key);
  return count;
}

function notOurs(key: string): QuipuError {
  return new QuipuError("LOG_CORRUPT", `the register ${key} of the service does not decode`);
}
