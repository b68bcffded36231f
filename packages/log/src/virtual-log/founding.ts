/** Where the chain of a virtual log comes from: the metadata store, or the first node that finds none there. */
import { invariant, lsn, QuipuError } from "@quipu/core";
import type { Chain, LogletEngine, LogletName, MetadataStore, Register } from "../loglet.ts";
import { decodeChain, encodeChain, foundedChain } from "./chain.ts";

export interface FoundingOptions {
  readonly metadata: MetadataStore;
  /** Register that holds the chain. */
  readonly key: string;
  readonly engines: Readonly<Record<string, LogletEngine>>;
  /** For the first segment, if there is no chain yet. */
  readonly initialEngine: string;
  /**
   * Several nodes found the log: the first segment is this, for all of them the same, and nobody prepares it. "waits":
   * others found it, this node waits until they have.
   */
  readonly founding?: LogletName | "waits";
}

/** The newest there is. */
export async function loadChain({
  metadata,
  key,
}: Pick<FoundingOptions, "metadata" | "key">): Promise<Chain | undefined> {
  const stored = await metadata.get(key);
  return stored === undefined ? undefined : decodeChain(key, stored.version, stored.value);
}

/** Of a log that was not there yet: made here, or by whoever was faster. */
export async function foundChain(options: FoundingOptions): Promise<Chain> {
  const { metadata, key, engines, initialEngine, founding } = options;
  if (founding === "waits") return decodeStored(key, await appears(metadata, key));
  const engine = engines[initialEngine];
  if (engine === undefined) throw new QuipuError("INVALID_CONFIGURATION", `there is no log engine "${initialEngine}"`);
  const first = founding ?? { engine: initialEngine, parameters: await engine.prepare() };
  const chain = foundedChain(lsn(1), first);
  if (await metadata.compareAndSet(key, 0, encodeChain(chain))) return chain;
  if (founding === undefined) await engine.discard(first.parameters);
  const stored = await loadChain(options);
  invariant(stored !== undefined, `the chain ${key} was there and is gone`);
  return stored;
}

/** Resolves when others have founded the log and this node has heard of it. */
function appears(metadata: MetadataStore, key: string): Promise<Register> {
  return new Promise((resolve) => {
    const look = (): void => {
      const known = metadata.known?.(key);
      if (known === undefined) return;
      subscription?.close();
      resolve(known);
    };
    const subscription = metadata.watch?.(look);
    look();
  });
}

function decodeStored(key: string, { version, value }: Register): Chain {
  return decodeChain(key, version, value);
}
