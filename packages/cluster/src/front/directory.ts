/**
 * The data directory of a front: a node whose log, chain and number are kept by a service (etcd, ZooKeeper), so that any
 * number of them can stand before one log. What is on its disk is a copy of the state, and whose copy it is.
 */
import { type KeyValueStore, QuipuError } from "@quipu/core";
import type { MetadataStore } from "@quipu/log";
import { stateRange } from "../state-store.ts";

/** In the node's metadata file. */
export const frontKey = "front";

/** Where a front is at home. Endpoints are not part of it: they may move. */
export interface FrontHome {
  /** "etcd", "zookeeper". */
  readonly engine: string;
  readonly prefix: string;
}

export interface FrontIdentity extends FrontHome {
  /** Drawn by whoever founded the log there; tells two services with the same prefix apart. */
  readonly log: string;
  /** Unique among all fronts of that log, for ever. */
  readonly node: number;
  /** As of the last start. */
  readonly incarnation: number;
}

/** Undefined: the directory is not a front's. Rejects with STORE_CORRUPT where the register does not decode. */
export async function loadFront(
  metadata: MetadataStore,
): Promise<{ readonly version: number; readonly identity: FrontIdentity } | undefined> {
  const stored = await metadata.get(frontKey);
  if (stored === undefined) return undefined;
  let found: unknown;
  try {
    found = JSON.parse(new TextDecoder("utf8", { fatal: true }).decode(stored.value));
  } catch (cause) {
    throw new QuipuError("STORE_CORRUPT", "the identity of the node does not decode", { cause });
  }
  if (!isIdentity(found)) throw new QuipuError("STORE_CORRUPT", "the identity of the node is not one");
  return { version: stored.version, identity: found };
}

/** Durable when it resolves. `version` is that of what it replaces; 0: nothing. */
export async function storeFront(metadata: MetadataStore, version: number, identity: FrontIdentity): Promise<void> {
  const value = new TextEncoder().encode(JSON.stringify(identity));
  if (await metadata.compareAndSet(frontKey, version, value)) return;
  throw new QuipuError("DATA_DIRECTORY_IN_USE", "another process changed the node's identity at the same time");
}

/** How to start what this directory is, for people who start it as something else. */
export function describeFront({ engine, prefix }: FrontHome): string {
  const how = `--engine ${engine} --endpoints ... --engine-prefix ${prefix}`;
  return `is that of a node in front of ${engine}, below ${prefix}. Start it with ${how}, or use another --data.`;
}

/** Rejects with INVALID_CONFIGURATION where the directory is that of a front elsewhere; with LOG_CORRUPT if it is incomplete. */
export async function requireHome(metadata: MetadataStore, store: KeyValueStore, home: FrontHome): Promise<void> {
  const identity = (await loadFront(metadata))?.identity;
  if (identity === undefined) {
    for await (const page of store.entries(...stateRange)) {
      if (page.length === 0) continue;
      const what = "the state store holds counts, but metadata/ does not say whose: was it removed?";
      throw new QuipuError("LOG_CORRUPT", `${what} Restore the data directory as a whole.`);
    }
    return;
  }
  if (identity.engine === home.engine && identity.prefix === home.prefix) return;
  throw new QuipuError("INVALID_CONFIGURATION", `the data directory ${describeFront(identity)}`);
}

function isIdentity(value: unknown): value is FrontIdentity {
  if (typeof value !== "object" || value === null) return false;
  const { engine, prefix, log, node, incarnation } = value as Partial<FrontIdentity>;
  const isText = [engine, prefix, log].every((each) => typeof each === "string");
  return isText && Number.isSafeInteger(node) && Number.isSafeInteger(incarnation);
}
