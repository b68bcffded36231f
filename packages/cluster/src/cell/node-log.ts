/**
 * The files of a cell node below its data directory, from identity to virtual log: opens what is there, tells a new node
 * from one that lost its log, and lets the latter come back as another member.
 */
import { logIndex, memberOf, type RaftMutation } from "@quipu/consensus";
import { type Clock, type Disk, invariant, type Network, QuipuError, type Random } from "@quipu/core";
import {
  encodeGroupParameters,
  fileMetadataStore,
  groupEngines,
  type GroupEngines,
  type LogletEngine,
  type LogMutation,
  type MetadataStore,
  openPeerHub,
  openVirtualLog,
  type PeerHub,
  type GroupMutation,
  type GroupSettings,
  type ConsensusGroup,
  setAside,
  type VirtualLog,
  WriteAheadLog,
  type WriteAheadLogLimits,
} from "@quipu/log";
import { groupStateBytesMax } from "@quipu/protocol";
import type { CellMutation } from "../mutation.ts";
import { type CellIdentity, IdentityRegister, newGeneration } from "./identity.ts";
import { onlyVoterDamage, OnlyVoterRegister } from "./only-voter.ts";

export type CellBootstrap =
  /** Node numbers, equal on all founders and this node among them. */
  { readonly type: "found"; readonly founders: readonly number[] } | { readonly type: "join" };

export interface CellLogOptions {
  readonly disk: Disk;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly cell: number;
  readonly node: number;
  /** Used only where the disk has no identity. A founder that lost its disk has to join. */
  readonly bootstrap: CellBootstrap;
  readonly wal?: Partial<WriteAheadLogLimits>;
  readonly raft?: Partial<GroupSettings>;
  readonly onFatal: (error: unknown) => void;
  readonly observeGroup?: (group: number, raft: ConsensusGroup) => void;
  /** Tests only. */
  readonly mutations?: {
    readonly log?: LogMutation;
    readonly engine?: GroupMutation;
    readonly core?: RaftMutation;
    readonly cell?: CellMutation;
  };
}

export interface CellLog {
  readonly identity: IdentityRegister;
  readonly hub: PeerHub;
  readonly engine: GroupEngines;
  readonly log: VirtualLog;
  /** Why this node has come back under a new generation, at this start. */
  readonly damage: string | undefined;
  close(): Promise<void>;
}

export const cellWalDirectory = "wal";
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
    if (onlyVoter.isOnlyVoter(identity.present)) throw onlyVoterDamage(member);
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

/** From write-ahead log to virtual log, as the present member; or a text that says how its log is damaged. */
async function openMember(
  options: CellLogOptions,
  { identity, metadata, onlyVoter }: Files,
  closers: Closers,
): Promise<Pick<CellLog, "hub" | "engine" | "log"> | string> {
  const isNew = identity.present.state === "new";
  const opened = await openWal(options, identity);
  if (typeof opened === "string") return opened;
  const closersBefore = closers.length;
  closers.push(() => opened.wal.close());
  const hub = openPeerHub({ network: options.network, cell: options.cell, member: identity.member });
  const engine = openEngine(options, identity, opened, hub, onlyVoter);
  closers.push(() => engine.close());
  try {
    const log = await openVirtualLog({
      metadata,
      key: chainKey(identity.present),
      engines: { raft: withFirstGroup(engine.raft, identity.present) },
      initialEngine: "raft",
    });
    closers.push(() => log.close());
    return { hub, engine, log };
  } catch (error) {
    // Sound to the write-ahead log, but not what the engine or the chain has written: lost all the same.
    if (isNew || !isDamage(error)) throw error;
    while (closers.length > closersBefore) await closers.pop()?.();
    return error.message;
  }
}

/** A metadata file that does not decode is put out of the way: with it went the identity. */
export async function openMetadata(
  options: Pick<CellLogOptions, "disk" | "onFatal">,
): Promise<{ readonly metadata: MetadataStore; readonly damage: string | undefined }> {
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

interface OpenWal {
  readonly wal: WriteAheadLog;
  /** What to do when a segment is begun; nothing is listening while the log is opened. */
  onSegmentBegun: () => void;
}

/** The write-ahead log of this member, or a text that says how it is damaged. Of a new member: always an empty one. */
async function openWal(options: CellLogOptions, identity: IdentityRegister): Promise<OpenWal | string> {
  const { disk, clock, random, onFatal, mutations } = options;
  const isNew = identity.present.state === "new";
  const isThere = await isUsed(disk, cellWalDirectory);
  if (isNew && isThere) {
    await identity.store({ ...identity.present, attempt: identity.present.attempt + 1 });
    await setAside(disk, cellWalDirectory);
  }
  if (!isNew && !isThere) return `${cellWalDirectory}/ is gone`;
  const holder = { onSegmentBegun: (): void => undefined };
  try {
    const wal = await WriteAheadLog.open({
      disk,
      directory: cellWalDirectory,
      clock,
      random,
      onFatal,
      limits: { hardStateBytesMax: groupStateBytesMax, ...options.wal },
      onSegmentBegun: () => holder.onSegmentBegun(),
      ...(mutations?.log === undefined ? {} : { mutation: mutations.log }),
    });
    if (isNew || wal.groups().length > 0) return Object.assign(holder, { wal });
    await wal.close();
    return `${cellWalDirectory}/ holds no group`;
  } catch (error) {
    if (isNew || !isDamage(error)) throw error;
    return error.message;
  }
}

function openEngine(
  options: CellLogOptions,
  identity: IdentityRegister,
  opened: OpenWal,
  hub: PeerHub,
  onlyVoter: OnlyVoterRegister,
): GroupEngines {
  const { clock, random, raft, onFatal, mutations, observeGroup } = options;
  const engine = groupEngines({
    wal: opened.wal,
    hub,
    clock,
    random,
    plan: () => Promise.reject(new QuipuError("INVALID_CONFIGURATION", "the log of a cell stays in its first group")),
    mayMake: () => false,
    // Before the first word of the first group leaves this node, its identity says that it may have spoken.
    beforeDriven: async () => {
      if (identity.present.state === "new") await identity.store({ ...identity.present, state: "member" });
    },
    onFatal,
    onConfiguration: (configuration) => onlyVoter.onConfiguration(identity.present, configuration),
    ...(raft === undefined ? {} : { settings: raft }),
    ...(mutations?.engine === undefined ? {} : { mutation: mutations.engine }),
    ...(mutations?.core === undefined ? {} : { coreMutation: mutations.core }),
    ...(observeGroup === undefined ? {} : { observe: observeGroup }),
  });
  opened.onSegmentBegun = (): void => engine.rewritePinned();
  return engine;
}

/** The first group of a log is the same on all nodes, and nobody has to make it: each opens its part. */
function withFirstGroup(engine: LogletEngine, { node, generation, founders, startsAfter }: CellIdentity): LogletEngine {
  // Of the founding: a founder's later disks join. Only the founder of a recovered cell has another generation than 0.
  const members = founders
    .map((founder) => memberOf(founder, founder === node ? generation : 0))
    .sort((left, right) => left - right);
  const after = startsAfter === 0 ? {} : { after: logIndex(startsAfter) };
  const first = encodeGroupParameters({ group: 1, members, ...after });
  let isFirst = true;
  return {
    ...engine,
    prepare: async () => {
      if (!isFirst) return await engine.prepare();
      isFirst = false;
      return first;
    },
  };
}

/** Another log is another chain. */
export function chainKey({ generation, attempt }: CellIdentity): string {
  return `chain/0/${generation}.${attempt}`;
}

/** A directory with something in it. */
export async function isUsed(disk: Disk, directory: string): Promise<boolean> {
  return (await disk.exists(directory)) && (await disk.list(directory)).length > 0;
}

export function isDamage(error: unknown): error is QuipuError {
  return error instanceof QuipuError && error.code === "LOG_CORRUPT";
}
