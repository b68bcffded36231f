/**
 * Who a node is, in a register of its metadata file: cell, node number, generation (of its disk), incarnation (of its
 * process and its replicas), and whether its log may be relied upon.
 *
 * A member may have promised something only after its identity says "member", and that is durable before its log is
 * opened; so a log that is found under "new" was never spoken of, and is made again. From then on a log that is gone or
 * damaged means that promises may be lost: the node takes a new generation, durably, before anything else, and is
 * another member from there on (DESIGN §4.3).
 */
import { type MemberId, memberOf, generationMax } from "@quipu/consensus";
import { QuipuError, type Random } from "@quipu/core";
import type { MetadataStore } from "@quipu/log";

export interface CellIdentity {
  readonly cell: number;
  readonly node: number;
  /** 0 for a founder on its first disk; else random. */
  readonly generation: number;
  /** Of the last replica that was started here; each is higher than all before it. */
  readonly incarnation: number;
  readonly state: "new" | "member";
  /** Logs begun under this generation: one that a crash left half-made is not gone on with. */
  readonly attempt: number;
  /** Node numbers that the cell was founded with, as this node was told; empty in one that joined. */
  readonly founders: readonly number[];
  /** The cell's log begins above this position of the single process whose state its founder adopted; 0: at 1. */
  readonly startsAfter: number;
}

const identityKey = "identity";
const incarnationMax = 0xffff_ffff;

export class IdentityRegister {
  readonly #metadata: MetadataStore;
  #identity: CellIdentity | undefined;
  #version = 0;

  constructor(metadata: MetadataStore) {
    this.#metadata = metadata;
  }

  /** Undefined on a disk without identity. */
  async load(): Promise<CellIdentity | undefined> {
    const stored = await this.#metadata.get(identityKey);
    if (stored === undefined) return undefined;
    this.#version = stored.version;
    this.#identity = decode(stored.value);
    return this.#identity;
  }

  get present(): CellIdentity {
    if (this.#identity === undefined) throw new QuipuError("LOG_CORRUPT", "the node has no identity yet");
    return this.#identity;
  }

  get member(): MemberId {
    return memberOf(this.present.node, this.present.generation);
  }

  /** Durable when it resolves. */
  async store(identity: CellIdentity): Promise<void> {
    const value = new TextEncoder().encode(JSON.stringify(identity));
    if (!(await this.#metadata.compareAndSet(identityKey, this.#version, value))) {
      throw new QuipuError("DATA_DIRECTORY_IN_USE", "another process changed the node's identity at the same time");
    }
    this.#version += 1;
    this.#identity = identity;
  }

  async raiseIncarnation(): Promise<number> {
    const identity = this.present;
    if (identity.incarnation >= incarnationMax) {
      throw new QuipuError("DATA_DIRECTORY_UNUSABLE", `${incarnationMax} replicas were started; no number is left`);
    }
    await this.store({ ...identity, incarnation: identity.incarnation + 1 });
    return identity.incarnation + 1;
  }
}

/** Not 0, which only a founder's first disk has, and not the one before. */
export function newGeneration(random: Random, last: number | undefined): number {
  for (;;) {
    const generation = 1 + random.below(generationMax);
    if (generation !== last) return generation;
  }
}

function decode(value: Uint8Array): CellIdentity {
  let stored: unknown;
  try {
    stored = JSON.parse(new TextDecoder("utf8", { fatal: true }).decode(value));
  } catch (cause) {
    throw new QuipuError("STORE_CORRUPT", "the identity of the node does not decode", { cause });
  }
  if (!isIdentity(stored)) throw new QuipuError("STORE_CORRUPT", "the identity of the node is not one");
  // Written before there was adoption, it lacks the field.
  return { ...stored, startsAfter: stored.startsAfter ?? 0 };
}

/** As it is stored. */
type StoredIdentity = Omit<CellIdentity, "startsAfter"> & { readonly startsAfter?: number };

function isIdentity(value: unknown): value is StoredIdentity {
  if (typeof value !== "object" || value === null) return false;
  const { cell, node, generation, incarnation, state, attempt, founders, startsAfter } = value as Partial<CellIdentity>;
  const numbers = [cell, node, generation, incarnation, attempt, startsAfter ?? 0];
  const isNumbers = numbers.every((number) => Number.isSafeInteger(number));
  return isNumbers && (state === "new" || state === "member") && Array.isArray(founders);
}
