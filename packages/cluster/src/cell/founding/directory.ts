/** What a data directory is, as far as founding, joining and adopting have to know. */
import { type Disk, type KeyValueStore, QuipuError } from "@quipu/core";
import type { MetadataStore } from "@quipu/log";
import { describeFront, loadFront } from "../../front/directory.ts";
import { loadLogStart } from "../../snapshot/log-start.ts";
import { stateRange } from "../../state-store.ts";
import { type CellIdentity, IdentityRegister } from "../identity.ts";
import { cellMetadataDirectory } from "../node-log.ts";
import { cellWalDirectory, isUsed } from "../node-wal.ts";
import { FoundingRegister } from "./register.ts";

/** The registers of a single process: of its log's chain, and of its number and incarnation. */
export const singleChainKey = "chain/0";
export const singleNodeKey = "node";

/** Of a directory without a cell's identity. */
export type DirectoryKind = "empty" | "single" | "damaged";

export async function kindOfDirectory(
  disk: Disk,
  store: KeyValueStore,
  metadata: MetadataStore,
  metadataDamage: string | undefined,
): Promise<DirectoryKind> {
  await requireNoFront(metadata);
  for (const key of [singleNodeKey, singleChainKey]) if ((await metadata.get(key)) !== undefined) return "single";
  const hasState = await holdsState(store);
  // A cell's state says how its log goes on; this one would be mistaken for a part of whatever cell the node joins.
  if (hasState && (await loadLogStart(store)) === undefined) {
    const what = `the state store holds counts, but ${cellMetadataDirectory}/ does not say whose`;
    throw new QuipuError("LOG_CORRUPT", `${what}: was it removed? Restore the data directory as a whole.`);
  }
  const hasLog = await isUsed(disk, cellWalDirectory);
  return hasState || hasLog || metadataDamage !== undefined ? "damaged" : "empty";
}

async function holdsState(store: KeyValueStore): Promise<boolean> {
  for await (const page of store.entries(...stateRange)) if (page.length > 0) return true;
  return false;
}

/** Of the cell that a directory belongs to; undefined: to none. */
export function cellIdentityOf(metadata: MetadataStore): Promise<CellIdentity | undefined> {
  return new IdentityRegister(metadata).load();
}

/**
 * Rejects with INVALID_CONFIGURATION where the directory is that of a single process or of a cell's node: a node in front of
 * a service must not write there.
 */
export async function requireFront(metadata: MetadataStore): Promise<void> {
  for (const key of [singleNodeKey, singleChainKey]) {
    if ((await metadata.get(key)) === undefined) continue;
    const what = "the data directory is that of a single process, which goes on by itself: start it without --engine";
    const how = "(its log can be moved: quipu engine switch)";
    throw new QuipuError("INVALID_CONFIGURATION", `${what} ${how}, or use another --data.`);
  }
  await requireNoCell(metadata);
}

/**
 * Rejects with INVALID_CONFIGURATION where the directory is, or may any moment become, that of a cell's node, or is that of
 * a node in front of a service: a single process must not write there. To be called before its log is opened.
 */
export async function requireSingle(metadata: MetadataStore): Promise<void> {
  await requireNoFront(metadata);
  await requireNoCell(metadata);
}

async function requireNoFront(metadata: MetadataStore): Promise<void> {
  const front = await loadFront(metadata);
  if (front === undefined) return;
  throw new QuipuError("INVALID_CONFIGURATION", `the data directory ${describeFront(front.identity)}`);
}

async function requireNoCell(metadata: MetadataStore): Promise<void> {
  const identity = await cellIdentityOf(metadata);
  if (identity !== undefined) throw refused(`is that of node ${identity.node} of cell ${identity.cell}`);
  const founding = await new FoundingRegister(metadata).load();
  if (founding === undefined) return;
  const { proposal, phase } = founding;
  if (phase !== "accepted") throw refused(`is becoming the first node of cell ${proposal.cell}`);
  // The data of a single process, which no cell has taken over yet, stays its own.
  if ((await metadata.get(singleChainKey)) !== undefined) return;
  throw refused(`has agreed to become part of cell ${proposal.cell}, which may exist by now`);
}

function refused(what: string): QuipuError {
  const text = `the data directory ${what}. Start it with its --cell-peers, or use another --data.`;
  return new QuipuError("INVALID_CONFIGURATION", text);
}
