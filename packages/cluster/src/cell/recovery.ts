/**
 * Recovery from a quorum that is lost for good: a node's directory becomes that of the only founder of a *new* cell, which
 * goes on from everything that this node has. Offline; an operator's decision, for it may lose what others had.
 *
 *   begun      the register `recovery` names the new cell: from here on the directory starts as no cell's
 *   stored     the log, its uncommitted end included, is replayed into the state store, which says how a log goes on there
 *   recovered  the identity is that of the new cell; the old log is put out of the way
 *
 * Each step may be begun again after a crash. The new cell has another id, so nobody of the old one can speak to it; its
 * founder has another generation, so it is another member and another writer than any before; its incarnations go on.
 *
 * Why the end of the log is kept, although it may not be committed: it may hold what was acknowledged (the leader needed
 * this node's copy and one that is lost), and nobody is left who could contradict it.
 */
import { type Configuration, type LogIndex, type MemberId, memberOf, membersOf } from "@quipu/consensus";
import { type Clock, type Disk, type KeyValueStore, lsn, type Lsn, QuipuError, type Random } from "@quipu/core";
import { CounterMachine, readRecordId } from "@quipu/counters";
import {
  type Chain,
  decodeChain,
  decodeGroupParameters,
  fileMetadataStore,
  type MetadataStore,
  restoreGroup,
  setAside,
  WriteAheadLog,
  type WriteAheadLogLimits,
} from "@quipu/log";
import { recordNotUnderstood } from "../log-errors.ts";
import { loadMachine } from "../state-store.ts";
import { singleChainKey, singleNodeKey } from "./founding/directory.ts";
import { drawCell } from "./founding/protocol.ts";
import { type CellIdentity, IdentityRegister, newGeneration } from "./identity.ts";
import { chainKey, metadataKey } from "./cell-chain.ts";
import { metadataGroup } from "./group-numbers.ts";
import { decodeState } from "./metadata/registers.ts";
import { cellMetadataDirectory, formerChainKey } from "./node-log.ts";
import { cellWal, cellWalDirectory, isUsed } from "./node-wal.ts";
import { type Recovery, RecoveryRegister } from "./recovery-register.ts";
import { storeState } from "./stored-state.ts";

export interface RecoverCellOptions {
  /** Rooted in the data directory, which this process holds: no node runs on it. */
  readonly disk: Disk;
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly wal?: Partial<WriteAheadLogLimits>;
  /** False: only looks, and says what would be done. */
  readonly isMeant: boolean;
  readonly onFatal: (error: unknown) => void;
}

export interface RecoveryReport {
  /** `would`: nothing was changed. `already`: an earlier call did it, and the node was not started since. */
  readonly outcome: "would" | "recovered" | "already";
  readonly node: number;
  readonly fromCell: number;
  /** Undefined where nothing was changed. */
  readonly toCell: number | undefined;
  /** Up to here the cell had decided for sure, as far as this node knew. */
  readonly storedPosition: Lsn;
  /** Records above that, of which this node cannot know whether a majority had them: they are kept. */
  readonly keptRecords: number;
  /** Where the new cell's log goes on. */
  readonly position: Lsn;
  /** Whose votes the old cell needed. */
  readonly oldVoters: readonly MemberId[];
  /** The state at `position`. */
  readonly machine: CounterMachine;
}

/** Rejects with INVALID_CONFIGURATION where there is nothing to recover, LOG_CORRUPT or STORE_CORRUPT where data are damaged. */
export async function recoverCell(options: RecoverCellOptions): Promise<RecoveryReport> {
  const { disk, clock, random, isMeant, onFatal } = options;
  if (!(await isUsed(disk, cellMetadataDirectory))) throw nothing("is empty, or lacks its metadata/");
  const metadata = await fileMetadataStore(disk, cellMetadataDirectory, onFatal);
  try {
    const identity = new IdentityRegister(metadata);
    const present = await identity.load();
    if (present === undefined) throw await withoutIdentity(metadata);
    const register = new RecoveryRegister(metadata);
    const last = await register.load();
    if (present.state === "new") {
      if (last?.cell === present.cell) return await alreadyRecovered(options, present, last);
      throw nothing(`is that of node ${present.node} of cell ${hex(present.cell)}, which it has never been a part of`);
    }
    const machine = new CounterMachine({ seed: random.uint32() });
    await loadMachine(options.store, machine);
    const storedPosition = machine.appliedLsn;
    const found = await replayLog(options, metadata, present, machine);
    const report = {
      node: present.node,
      fromCell: present.cell,
      storedPosition,
      ...found,
      position: machine.appliedLsn,
      machine,
    };
    if (!isMeant) return { outcome: "would", toCell: undefined, ...report };
    let recovery = register.pendingFor(present);
    if (recovery === undefined) {
      const generation = newGeneration(random, present.generation);
      const atMs = clock.wallMs();
      recovery = { from: present.cell, cell: otherCell(random, present.cell), generation, atMs };
      await register.store(recovery);
    }
    await finish(options, identity, recovery, machine, storedPosition);
    return { outcome: "recovered", toCell: recovery.cell, ...report };
  } finally {
    await metadata.close?.();
  }
}

async function finish(
  options: RecoverCellOptions,
  identity: IdentityRegister,
  { cell, generation }: Recovery,
  machine: CounterMachine,
  storedUpTo: Lsn,
): Promise<void> {
  const { present } = identity;
  const founder = memberOf(present.node, generation);
  await storeState({ ...options, machine, storedUpTo, founder });
  const { node, incarnation } = present;
  const fresh = {
    state: "new",
    attempt: present.attempt + 1,
    founders: [node],
    startsAfter: machine.appliedLsn,
  } as const;
  await identity.store({ cell, node, generation, incarnation, ...fresh });
  // The next start would do it as well: a log under a new identity is never gone on with.
  await setAside(options.disk, cellWalDirectory);
}

/** A crash behind the last step but one, or a second call. */
async function alreadyRecovered(
  { disk, store, isMeant }: RecoverCellOptions,
  { node, cell, startsAfter }: CellIdentity,
  { from }: Recovery,
): Promise<RecoveryReport> {
  const machine = new CounterMachine({});
  await loadMachine(store, machine);
  if (machine.appliedLsn !== startsAfter) throw storeLacks(machine.appliedLsn, startsAfter);
  if (isMeant && (await isUsed(disk, cellWalDirectory))) await setAside(disk, cellWalDirectory);
  const position = lsn(startsAfter);
  const nothingNew = { storedPosition: position, keptRecords: 0, position, oldVoters: [] };
  return { outcome: "already", node, fromCell: from, toCell: cell, ...nothingNew, machine };
}

interface FoundLog {
  readonly keptRecords: number;
  readonly oldVoters: readonly MemberId[];
}

/** Applies to the machine what the log has above its state. */
async function replayLog(
  options: RecoverCellOptions,
  metadata: MetadataStore,
  present: CellIdentity,
  machine: CounterMachine,
): Promise<FoundLog> {
  if (!(await isUsed(options.disk, cellWalDirectory))) throw damaged(`${cellWalDirectory}/ is gone`);
  const { segments, decidingGroup } = await chainOf(metadata, present);
  const wal = await WriteAheadLog.open(cellWal(options));
  try {
    const { voters, isMember } = await decidersOf(wal, decidingGroup, present);
    if (!isMember) throw outsider(voters);
    if (segments === undefined) throw damaged(`${cellMetadataDirectory}/ has no chain yet`);
    let keptRecords = 0;
    for (const segment of segments) {
      // The state has all of it.
      if (segment.end !== undefined && segment.end - 1 <= machine.appliedLsn) continue;
      keptRecords += await replaySegment(wal, segment, machine);
    }
    if (machine.appliedLsn === 0) throw nothing("holds no record: start its node empty instead");
    return { keptRecords, oldVoters: voters };
  } finally {
    await wal.close();
  }
}

/** Who decides for the cell, as the log of this group has it, committed or not. */
async function decidersOf(
  wal: WriteAheadLog,
  group: number,
  present: CellIdentity,
): Promise<{ readonly voters: readonly MemberId[]; readonly isMember: boolean }> {
  if (wal.hardState(group) === undefined) throw damaged(`${cellWalDirectory}/ lacks group ${group}`);
  const { start, entries } = await restoreGroup(wal, group);
  const changes = entries.filter((entry) => entry.kind === "configuration");
  const configuration = changes.at(-1)?.configuration ?? start.configuration;
  const self = memberOf(present.node, present.generation);
  requireLost(configuration, self);
  return { voters: configuration.voters, isMember: membersOf(configuration).includes(self) };
}

/** Applies what this node has of the segment, up to its seal, or up to what it lacks. Returns how many records. */
async function replaySegment(
  wal: WriteAheadLog,
  segment: RecoverableSegment,
  machine: CounterMachine,
): Promise<number> {
  const { base, group } = segment;
  if (wal.hardState(group) === undefined) {
    throw damaged(`${cellWalDirectory}/ lacks group ${group}, which the chain names`);
  }
  const { start, entries } = await restoreGroup(wal, group);
  const positionOf = (index: LogIndex): Lsn => lsn(base - 1 + index);
  if (machine.appliedLsn < positionOf(start.index)) throw storeLacks(machine.appliedLsn, positionOf(start.index));
  let kept = 0;
  let next = start.index + 1;
  for (const entry of entries) {
    // Accepted out of order: what came before is not known here.
    if (entry.index !== next++ || entry.kind === "seal") break;
    const position = positionOf(entry.index);
    if (entry.kind !== "record" || position <= machine.appliedLsn) continue;
    if (readRecordId(entry.data, machine.featureLevelMax) === undefined) {
      throw recordNotUnderstood(position, entry.data, machine.featureLevelMax);
    }
    machine.apply(position, entry.data);
    kept += 1;
  }
  return kept;
}

interface RecoverableSegment {
  readonly base: number;
  readonly end?: number;
  readonly group: number;
}

/** The segments of this node's whole log, and the group whose configuration says who decides for the cell. */
async function chainOf(
  metadata: MetadataStore,
  present: CellIdentity,
): Promise<{ readonly segments: readonly RecoverableSegment[] | undefined; readonly decidingGroup: number }> {
  const key = metadataKey(present);
  const stored = await metadata.get(key);
  const former = await metadata.get(formerChainKey(present));
  if (former !== undefined) return formerChainOf(decodeChain(formerChainKey(present), former.version, former.value));
  const register =
    stored === undefined ? undefined : decodeState(`the register ${key}`, stored.value).registers.get(chainKey);
  if (register === undefined) return { segments: undefined, decidingGroup: metadataGroup };
  const { segments } = decodeChain(chainKey, register.version, register.value);
  const elsewhere = segments.find(({ engine }) => engine !== "raft" && engine !== "multi-paxos");
  if (elsewhere !== undefined) {
    const what = `a part of the log is on the engine ${elsewhere.engine}, which this command does not read`;
    throw new QuipuError("INVALID_CONFIGURATION", `${what}: bring that back, and nothing is lost`);
  }
  return {
    segments: segments.map(({ base, end, parameters }) => {
      const { group } = decodeGroupParameters(parameters);
      return end === undefined ? { base, group } : { base, end, group };
    }),
    decidingGroup: metadataGroup,
  };
}

/** Of the first version of cells: one Raft group, and its chain in the node's own file. */
function formerChainOf({ segments }: Chain): Awaited<ReturnType<typeof chainOf>> {
  const [segment] = segments;
  if (segments.length !== 1 || segment?.engine !== "raft") throw damaged("the chain is not that of one Raft group");
  // A number alone in the first days, later the group's parameters.
  const { base, parameters } = segment;
  const group = /^\d+$/.test(parameters) ? Number(parameters) : decodeGroupParameters(parameters).group;
  return { segments: [{ base, group }], decidingGroup: group };
}

/** A cell that this node alone decides for has lost nothing. */
function requireLost({ voters, outgoing }: Configuration, self: MemberId): void {
  if (voters.length === 1 && voters[0] === self && outgoing.length === 0) {
    throw nothing("is that of its cell's only voter, which needs nobody else: start it, as ever");
  }
}

function otherCell(random: Random, cell: number): number {
  for (;;) {
    const drawn = drawCell(random);
    if (drawn !== cell) return drawn;
  }
}

async function withoutIdentity(metadata: MetadataStore): Promise<QuipuError> {
  for (const key of [singleNodeKey, singleChainKey]) {
    if ((await metadata.get(key)) !== undefined) {
      return nothing(
        "is that of a single process, which needs no quorum: start it without --cell-peers, or as a first node",
      );
    }
  }
  return nothing("belongs to no cell");
}

function nothing(what: string): QuipuError {
  return new QuipuError("INVALID_CONFIGURATION", `there is nothing to recover: the data directory ${what}`);
}

function damaged(what: string): QuipuError {
  return new QuipuError("LOG_CORRUPT", `${what}: this node cannot vouch for what it had. Recover another one instead.`);
}

/** Its log was begun anew: the state in the store may be all that it has of what it once acknowledged. */
function outsider(voters: readonly MemberId[]): QuipuError {
  const who = voters.length === 0 ? "knows no voter" : "is no member of the configuration that its log has";
  const what = `this node ${who}: its former log was lost or damaged (see ${cellWalDirectory}.damaged-*), and the cell has not`;
  const advice = "Recover another node, or restore this data directory as a whole from before the damage";
  return new QuipuError("INVALID_CONFIGURATION", `${what} taken it back since. ${advice}.`);
}

function storeLacks(found: number, needed: number): QuipuError {
  const what = `the state store stands at position ${found}, the log goes on only after ${needed}`;
  return new QuipuError("STORE_CORRUPT", `${what}: was store/ removed? Recover another node instead.`);
}

function hex(cell: number): string {
  return cell.toString(16);
}
