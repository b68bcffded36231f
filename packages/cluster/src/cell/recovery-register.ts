/**
 * The recovery that made a node's cell, or is about to, in a register of its metadata file. It is under way as long as the
 * identity is that of another cell: the state store may then be ahead of what the old cell has decided, so a node that
 * started under the old identity could differ from the others.
 */
import { QuipuError } from "@quipu/core";
import type { MetadataStore } from "@quipu/log";
import type { CellIdentity } from "./identity.ts";

export interface Recovery {
  /** The cell whose quorum is lost. */
  readonly from: number;
  /** The new one, and the generation of its founder. */
  readonly cell: number;
  readonly generation: number;
  /** When it was begun, ms since the Unix epoch by that machine's clock. */
  readonly atMs: number;
}

const recoveryKey = "recovery";

export class RecoveryRegister {
  readonly #metadata: MetadataStore;
  #recovery: Recovery | undefined;
  #version = 0;

  constructor(metadata: MetadataStore) {
    this.#metadata = metadata;
  }

  async load(): Promise<Recovery | undefined> {
    const stored = await this.#metadata.get(recoveryKey);
    if (stored === undefined) return undefined;
    this.#version = stored.version;
    this.#recovery = decode(stored.value);
    return this.#recovery;
  }

  /** The one that was begun for this identity and is not through. */
  pendingFor(identity: CellIdentity): Recovery | undefined {
    return this.#recovery?.from === identity.cell ? this.#recovery : undefined;
  }

  /** Durable when it resolves. */
  async store(recovery: Recovery): Promise<void> {
    const value = new TextEncoder().encode(JSON.stringify(recovery));
    if (!(await this.#metadata.compareAndSet(recoveryKey, this.#version, value))) {
      throw new QuipuError("DATA_DIRECTORY_IN_USE", "another process recovers this node at the same time");
    }
    this.#version += 1;
    this.#recovery = recovery;
  }
}

/** Of a node's start: rejects with INVALID_CONFIGURATION while a recovery is under way. */
export async function requireNoRecovery(metadata: MetadataStore, identity: CellIdentity): Promise<void> {
  const register = new RecoveryRegister(metadata);
  await register.load();
  const pending = register.pendingFor(identity);
  if (pending === undefined) return;
  const what = `the recovery of this data directory from cell ${pending.from.toString(16)} is not through`;
  throw new QuipuError("INVALID_CONFIGURATION", `${what}. Finish it: quipu cell recover --data DIR --yes`);
}

function decode(value: Uint8Array): Recovery {
  try {
    const stored = JSON.parse(new TextDecoder("utf8", { fatal: true }).decode(value)) as Partial<Recovery> | null;
    const { from, cell, generation, at } = stored ?? {};
    const isWhole = [from, cell, generation].every((number) => Number.isSafeInteger(number));
    if (isWhole && typeof at === "string") return stored as Recovery;
  } catch (cause) {
    throw new QuipuError("STORE_CORRUPT", "the recovery of the node does not decode", { cause });
  }
  throw new QuipuError("STORE_CORRUPT", "the recovery of the node is not one");
}
