/**
 * The files of a cell node below its data directory, from identity to virtual log: opens what is there, tells a new node
 * from one that lost its log, and lets the latter come back as another member.
 */
import { type Disk, invariant, type Network, QuipuError } from "@quipu/core";
import {
  fileMetadataStore,
  type LogMutation,
  type MetadataStore,
  openPeerHub,
  type PeerHub,
  setAside,
} from "@quipu/log";
import type { CellMutation } from "../mutation.ts";
import { type CellChainOptions, chainKey, openCellChain, type OpeningChain } from "./cell-chain.ts";
import { type CellIdentity, IdentityRegister, newGeneration } from "./identity.ts";
import { keepsAlone } from "./kept-alone.ts";
import { cellWalDirectory, isDamage, isUsed, openWal, type WalOptions } from "./node-wal.ts";
import { onlyVoterDamage, OnlyVoterRegister } from "./only-voter.ts";

export type CellBootstrap =
  /** Node numbers, equal on all founders and this node among them. */
  { readonly type: "found"; readonly founders: readonly number[] } | { readonly type: "join" };

export interface CellLogOptions extends CellChainOptions, WalOptions {
  readonly network: Network;
  readonly cell: number;
  readonly node: number;
  /** Used only where the disk has no identity. A founder that lost its disk has to join. */
  readonly bootstrap: CellBootstrap;
  /** Tests only. */
  readonly mutations?: NonNullable<CellChainOptions["mutations"]> & {
    readonly log?: LogMutation;
    readonly cell?: CellMutation;
  };
}

export interface CellLog {
  readonly identity: IdentityRegister;
  readonly hub: PeerHub;
  readonly opening: OpeningChain;
  /** Why this node has come back under a new generation, at this start. */
  readonly damage: string | undefined;
  close(): Promise<void>;
}

export const cellMetadataDirectory = "metadata";

/** What was opened on the way, to be closed in case of failure. */
type Closers = (() => Promise<void>)[];

export async function openCellLog(options: CellLogOptions): Promise<CellLog> {
  const closers: Closers = [];
  const close = async (): Promise<void> => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    return { ...(await open(options, closers)), close };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

async function open(options: CellLogOptions, closers: Closers): Promise<Omit<CellLog, "close">> {
  const { metadata, damage: metadataDamage } = await openMetadata(options);
  closers.push(async () => metadata.close?.());
  const identity = new IdentityRegister(metadata);
  let damage = await identify(options, identity, metadataDamage);
  const onlyVoter = new OnlyVoterRegister(metadata);
  await onlyVoter.load();
  const files = { identity, metadata, onlyVoter };
  let member = await openMember(options, files, closers);
  if (typeof member === "string") {
    const isOnlyCopy = onlyVoter.isOnlyVoter(identity.present) || (await keepsAlone(metadata, identity.present));
    if (isOnlyCopy) throw onlyVoterDamage(member);
    damage = member;
    await becomeAnother(options, identity);
    member = await openMember(options, files, closers);
    invariant(typeof member !== "string", "a log just made is damaged");
  }
  return { identity, ...member, damage };
}

interface Files {
  readonly identity: IdentityRegister;
  readonly metadata: MetadataStore;
  readonly onlyVoter: OnlyVoterRegister;
}

/** From write-ahead log to metadata store, as the present member; or a text that says how its log is damaged. */
async function openMember(
  options: CellLogOptions,
  { identity, metadata, onlyVoter }: Files,
  closers: Closers,
): Promise<Pick<CellLog, "hub" | "opening"> | string> {
  const isNew = identity.present.state === "new";
  if (!isNew) await requireMetadataGroup(metadata, identity.present);
  const wal = await openWal(options, identity);
  if (typeof wal === "string") return wal;
  const closersBefore = closers.length;
  closers.push(() => wal.wal.close());
  const hub = openPeerHub({ network: options.network, cell: options.cell, member: identity.member });
  let opening: OpeningChain | undefined;
  try {
    const opened = await openCellChain(options, hub, { wal, file: metadata, identity, onlyVoter });
    opening = opened;
    closers.push(() => opened.close());
    // What the chain names is there, or this node's part of it is lost: found out before anybody relies on it.
    const known = opening.metadata.known(chainKey);
    if (known !== undefined && !isNew) await opening.opened;
    opening.opened.catch(() => undefined);
    return { hub, opening };
  } catch (error) {
    // Sound to the write-ahead log, but not what the engine or the chain has written: lost all the same.
    if (isNew || !isDamage(error) || opening?.isOfService(error) === true) throw error;
    while (closers.length > closersBefore) await closers.pop()?.();
    return error.message;
  }
}

/** Cells of the first version kept their chain in each node's own file. */
async function requireMetadataGroup(file: MetadataStore, identity: CellIdentity): Promise<void> {
  if ((await file.get(formerChainKey(identity))) === undefined) return;
  const what = "the data directory is that of a cell made by an earlier version, which had no metadata group";
  const advice = "make it the first node of a new cell (quipu cell recover --data DIR --yes), and let empty ones join";
  throw new QuipuError("INVALID_CONFIGURATION", `${what}. Stop all nodes, then ${advice}.`);
}

/** Register of the chain in the file of a cell's node, in the first version. */
export function formerChainKey({ generation, attempt }: CellIdentity): string {
  return `chain/0/${generation}.${attempt}`;
}

/** A metadata file that does not decode is put out of the way: with it went the identity. */
export async function openMetadata(options: {
  readonly disk: Disk;
  readonly onFatal: (error: unknown) => void;
}): Promise<{ readonly metadata: MetadataStore; readonly damage: string | undefined }> {
  const { disk, onFatal } = options;
  let damage: string | undefined;
  for (;;) {
    if (!(await disk.exists(cellMetadataDirectory))) await disk.makeDirectory(cellMetadataDirectory);
    await disk.syncDirectory(".");
    try {
      return { metadata: await fileMetadataStore(disk, cellMetadataDirectory, onFatal), damage };
    } catch (error) {
      if (damage !== undefined || !isDamage(error)) throw error;
      damage = error.message;
      await setAside(disk, cellMetadataDirectory);
    }
  }
}

/** Makes sure that the register holds an identity. Returns what is wrong with the disk that it is a new one for. */
async function identify(
  options: CellLogOptions,
  identity: IdentityRegister,
  metadataDamage: string | undefined,
): Promise<string | undefined> {
  const { cell, node, bootstrap, random, mutations } = options;
  const found = await identity.load();
  if (found !== undefined) {
    if (found.cell === cell && found.node === node) return undefined;
    const text = `the data directory is that of node ${found.node} of cell ${found.cell}, not of node ${node} of ${cell}`;
    throw new QuipuError("INVALID_CONFIGURATION", text);
  }
  const hasLog = await isUsed(options.disk, cellWalDirectory);
  const damage = metadataDamage ?? (hasLog ? "there is a log, but nothing that says whose" : undefined);
  const founders = bootstrap.type === "found" ? bootstrap.founders : [];
  const isFounder = bootstrap.type === "found" && damage === undefined;
  invariant(!isFounder || founders.includes(node), `node ${node} is not among the founders ${founders.join()}`);
  const isOld = isFounder || mutations?.cell === "rejoin-under-old-identity";
  const generation = isOld ? 0 : newGeneration(random, undefined);
  const fresh = { incarnation: 0, state: "new", attempt: 0, startsAfter: 0 } as const;
  await identity.store({ cell, node, generation, ...fresh, founders: isOld ? founders : [] });
  return damage;
}

/** The log is lost, wholly or in part: whatever this member has promised, it no longer knows. */
async function becomeAnother(options: CellLogOptions, identity: IdentityRegister): Promise<void> {
  const { present } = identity;
  if (options.mutations?.cell === "rejoin-under-old-identity") await identity.store({ ...present, state: "new" });
  else {
    const generation = newGeneration(options.random, present.generation);
    await identity.store({ ...present, generation, state: "new", founders: [], startsAfter: 0 });
  }
}
