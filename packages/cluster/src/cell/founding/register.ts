/** The founding that a node takes part in, in a register of its metadata file, next to the identity that it leads to. */
import { QuipuError } from "@quipu/core";
import type { MetadataStore } from "@quipu/log";
import { parseProposal, type Proposal } from "./messages.ts";

export interface Founding {
  readonly proposal: Proposal;
  /**
   * Only an adoption goes beyond `accepted` here; the commit of a founding is the identity. `committed`: the cell exists,
   * its founder's data is still that of a single process. `stored`: it stands in the state store up to `startsAfter`,
   * and the old log is opened no more.
   */
  readonly phase: "accepted" | "committed" | "stored";
  readonly startsAfter: number;
}

const foundingKey = "founding";

export class FoundingRegister {
  readonly #metadata: MetadataStore;
  #founding: Founding | undefined;
  #version = 0;

  constructor(metadata: MetadataStore) {
    this.#metadata = metadata;
  }

  get present(): Founding | undefined {
    return this.#founding;
  }

  async load(): Promise<Founding | undefined> {
    const stored = await this.#metadata.get(foundingKey);
    if (stored === undefined) return undefined;
    this.#version = stored.version;
    this.#founding = decode(stored.value);
    return this.#founding;
  }

  /** Durable when it resolves. */
  async store(founding: Founding): Promise<void> {
    const value = new TextEncoder().encode(JSON.stringify(founding));
    if (!(await this.#metadata.compareAndSet(foundingKey, this.#version, value))) {
      throw new QuipuError("DATA_DIRECTORY_IN_USE", "another process changed the node's founding at the same time");
    }
    this.#version += 1;
    this.#founding = founding;
  }

  /** Tests only: an acceptance that the next start has forgotten. */
  pretend(founding: Founding): void {
    this.#founding = founding;
  }
}

function decode(value: Uint8Array): Founding {
  try {
    const stored = JSON.parse(new TextDecoder("utf8", { fatal: true }).decode(value)) as Partial<Founding> | null;
    const proposal = parseProposal(stored?.proposal);
    const { phase, startsAfter } = stored ?? {};
    const isPhase = phase === "accepted" || phase === "committed" || phase === "stored";
    if (proposal !== undefined && isPhase && Number.isSafeInteger(startsAfter)) {
      return { proposal, phase, startsAfter: startsAfter as number };
    }
  } catch (cause) {
    throw new QuipuError("STORE_CORRUPT", "the founding of the node does not decode", { cause });
  }
  throw new QuipuError("STORE_CORRUPT", "the founding of the node is not one");
}
