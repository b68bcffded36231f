/** The chain of a virtual log in its metadata store: how it is read there, and founded. */
import { invariant, lsn, QuipuError } from "@quipu/core";
import type { Chain, MetadataStore, Register } from "../loglet.ts";
import { decodeChain, encodeChain, foundedChain } from "./chain.ts";
import type { VirtualLogOptions } from "./virtual-log.ts";

/** Undefined: nobody has founded the log yet. */
export async function load({ metadata, key }: VirtualLogOptions): Promise<Chain | undefined> {
  const stored = await metadata.get(key);
  return stored === undefined ? undefined : decodeChain(key, stored.version, stored.value);
}

/** The chain of a log that has none, by whoever founds it first. */
export async function found(options: VirtualLogOptions): Promise<Chain> {
  const { metadata, key, engines, initialEngine, founding } = options;
  if (founding === "waits") return decodeStored(key, await appears(metadata, key));
  const engine = engines[initialEngine];
  if (engine === undefined) throw new QuipuError("INVALID_CONFIGURATION", `there is no log engine "${initialEngine}"`);
  const first = founding ?? { engine: initialEngine, parameters: await engine.prepare() };
  const chain = foundedChain(lsn(1), first);
  if (await metadata.compareAndSet(key, 0, encodeChain(chain))) return chain;
  if (founding === undefined) await engine.discard(first.parameters);
  const stored = await load(options);
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
