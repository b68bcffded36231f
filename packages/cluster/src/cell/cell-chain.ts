/**
 * The log of a cell's node, above its write-ahead log: the groups it has a part of, the metadata store on one of them, and
 * the virtual log whose chain is kept there.
 *
 *   write-ahead log → groups ─┬→ metadata group → CellMetadata: the chain, numbers of groups
 *                             └→ log groups ─┐
 *                  etcd, ZooKeeper, … ───────┴→ virtual log
 */
import {
  type Configuration,
  type CoreView,
  emptyConfiguration,
  isJoint,
  type MemberId,
  memberOf,
  membersOf,
  nodeOf,
  type MultiPaxosMutation,
  type RaftMutation,
} from "@quipu/consensus";
import { type Clock, invariant, lsn, QuipuError, type Random } from "@quipu/core";
import {
  type Chain,
  type ConsensusGroup,
  encodeGroupParameters,
  groupEngines,
  type GroupEngines,
  type GroupMutation,
  type GroupSettings,
  type LogletEngine,
  type MetadataStore,
  openVirtualLog,
  type PeerHub,
  type VirtualLog,
  type VirtualLogMutation,
} from "@quipu/log";
import { isTemporary } from "../log-errors.ts";
import { ShardLinks } from "../shard-links.ts";
import type { SnapshotLink } from "../snapshot/settings.ts";
import {
  firstSegmentOf,
  GroupFloor,
  groupOf,
  groupsOf,
  isCellEngine,
  metadataGroup,
  takeGroupNumber,
} from "./group-numbers.ts";
import type { CellIdentity, IdentityRegister } from "./identity.ts";
import { localInCell } from "./local-in-cell.ts";
import { CellMetadata, metadataShard } from "./metadata/cell-metadata.ts";
import type { OpenWal } from "./node-wal.ts";
import { OneWriter } from "./one-writer.ts";
import type { OnlyVoterRegister } from "./only-voter.ts";
import { StoredPositions } from "./stored-positions.ts";

export interface CellChainOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly settings?: Partial<GroupSettings>;
  /** Of a cell that is founded here: what keeps its log at first. Its nodes agree, or the first one decides. */
  readonly initialEngine?: string;
  /** Further engines, by name. */
  readonly engines?: Readonly<Record<string, LogletEngine>>;
  readonly onFatal: (error: unknown) => void;
  readonly observeGroup?: (group: number, raft: ConsensusGroup) => void;
  /** Tests only. */
  readonly mutations?: {
    readonly engine?: GroupMutation;
    readonly core?: RaftMutation;
    readonly multiPaxos?: MultiPaxosMutation;
    readonly chain?: VirtualLogMutation;
  };
}

export interface ChainFiles {
  readonly wal: OpenWal;
  /** This node's own metadata file. */
  readonly file: MetadataStore;
  readonly identity: IdentityRegister;
  readonly onlyVoter: OnlyVoterRegister;
}

/** What stands before the virtual log is open, which may take a quorum. */
export interface OpeningChain {
  readonly engines: GroupEngines;
  readonly metadata: CellMetadata;
  /** Of the only shard. */
  readonly link: SnapshotLink;
  /** The virtual log. Rejects with SHUTTING_DOWN where it is closed before. */
  readonly opened: Promise<VirtualLog>;
  /** What a service said of the logs that it keeps: nothing is wrong with this node. */
  isOfService(error: unknown): boolean;
  close(): Promise<void>;
}

/** Register of the only shard's chain, in the cell's metadata. */
export const chainKey = "chain/0";
const shard = 0;
/** Wait before a metadata group without a quorum is asked again. */
const retryMs = 100;

/** In this node's file: the cell's registers as this member has them. */
export function metadataKey({ generation, attempt }: CellIdentity): string {
  return `cell-metadata/${generation}.${attempt}`;
}

/** Rejects with LOG_CORRUPT where write-ahead log or file do not hold what they should. */
export async function openCellChain(options: CellChainOptions, hub: PeerHub, files: ChainFiles): Promise<OpeningChain> {
  const { clock, random, onFatal } = options;
  const { identity, file } = files;
  const { generation, attempt } = identity.present;
  const floor = new GroupFloor(file, `group-floor/${generation}.${attempt}`);
  await floor.load();
  const links = new ShardLinks(hub);
  const chain = new CellChain(options, hub, files, floor);
  const { engines } = chain;
  try {
    const first = encodeGroupParameters({ group: metadataGroup, members: foundersOf(identity.present) });
    const log = await engines.raft.open(first);
    invariant(log !== undefined, "every member has a part of the metadata group");
    const key = metadataKey(identity.present);
    const link = links.of(shard);
    chain.metadata = await CellMetadata.open({
      log,
      file,
      key,
      link: links.of(metadataShard),
      clock,
      random,
      onFatal,
    });
    chain.stored = new StoredPositions({ shard, link, clock, configuration: () => chain.configuration });
    return {
      engines,
      metadata: chain.metadata,
      link,
      opened: chain.open(),
      isOfService: (error) => chain.isOfService(error),
      close: () => chain.close(),
    };
  } catch (error) {
    await chain.close();
    throw error;
  }
}

/** Of the founding: a founder's later disks join. Only the founder of a recovered cell has another generation than 0. */
function foundersOf({ founders, node, generation }: CellIdentity): readonly MemberId[] {
  return founders
    .map((founder) => memberOf(founder, founder === node ? generation : 0))
    .sort((left, right) => left - right);
}

class CellChain {
  readonly engines: GroupEngines;
  readonly #options: CellChainOptions;
  readonly #files: ChainFiles;
  readonly #floor: GroupFloor;
  readonly #local: LogletEngine;
  /** Further engines: each log of theirs has one writer. */
  readonly #services: Readonly<Record<string, LogletEngine>>;
  metadata: CellMetadata | undefined;
  stored: StoredPositions | undefined;
  #log: VirtualLog | undefined;
  /** As adopted last. */
  #chain: Chain | undefined;
  #lastView: CoreView | undefined;
  readonly #fromServices: WeakSet<QuipuError> = new WeakSet();
  #isClosed = false;

  constructor(options: CellChainOptions, hub: PeerHub, files: ChainFiles, floor: GroupFloor) {
    this.#options = options;
    this.#files = files;
    this.#floor = floor;
    const { clock, random, settings, onFatal, mutations, observeGroup } = options;
    const { identity, onlyVoter, wal } = files;
    this.engines = groupEngines({
      wal: wal.wal,
      hub,
      clock,
      random,
      plan: () => this.#plan(),
      mayMake: (group) => this.#mayMake(group),
      // Before the first word of a group leaves this node, its identity says that it may have spoken.
      beforeDriven: async () => {
        if (identity.present.state === "new") await identity.store({ ...identity.present, state: "member" });
      },
      onFatal,
      onConfiguration: (configuration, group) => onlyVoter.onConfiguration(identity.present, configuration, group),
      settings: { ...settings, ...this.#membership(settings) },
      ...(mutations?.engine === undefined ? {} : { mutation: mutations.engine }),
      ...(mutations?.core === undefined ? {} : { coreMutation: mutations.core }),
      ...(mutations?.multiPaxos === undefined ? {} : { multiPaxosMutation: mutations.multiPaxos }),
      ...(observeGroup === undefined ? {} : { observe: observeGroup }),
    });
    const writer = new OneWriter({ hub, clock, random, leader: () => this.#metadataView().leader });
    this.#services = Object.fromEntries(
      Object.entries(options.engines ?? {}).map(([name, engine]) => [name, writer.over(this.#outside(engine))]),
    );
    wal.onSegmentBegun = (): void => this.engines.rewritePinned();
    this.#local = localInCell({ wal: wal.wal, member: hub.member, plan: () => this.#plan() });
  }

  get configuration(): Configuration {
    return this.#metadataView().configuration;
  }

  /** As it was last, once the group is closed: timers of others may still come by. */
  #metadataView(): CoreView {
    const group = this.engines.groups().find((each) => each.group === metadataGroup);
    this.#lastView = group?.inspect() ?? this.#lastView;
    invariant(this.#lastView !== undefined, "the metadata group was never open");
    return this.#lastView;
  }

  /** Who is in the metadata group belongs to the cell; the groups of the log follow it. */
  #membership(settings: Partial<GroupSettings> | undefined): Pick<GroupSettings, "admits" | "expels"> {
    const admits = settings?.admits ?? ((): boolean => true);
    const isInCell = (is: (member: MemberId) => boolean): boolean => membersOf(this.configuration).some(is);
    return {
      admits: (node, group) =>
        group === metadataGroup ? admits(node, group) : isInCell((member) => nodeOf(member) === node),
      expels: (expelled, group) => {
        if (group === metadataGroup) return false;
        const { configuration, configurationIndex, committed } = this.#metadataView();
        const isSettled = !isJoint(configuration) && configurationIndex <= committed;
        return isSettled && membersOf(configuration).length > 0 && !isInCell((member) => member === expelled);
      },
    };
  }

  async open(): Promise<VirtualLog> {
    const { metadata } = this;
    invariant(metadata !== undefined, "no metadata store");
    const { identity } = this.#files;
    const { initialEngine = "raft", mutations, onFatal } = this.#options;
    const founders = foundersOf(identity.present);
    const first = isCellEngine(initialEngine)
      ? firstSegmentOf(founders, identity.present.startsAfter, initialEngine)
      : undefined;
    const founding = founders.length === 0 ? ("waits" as const) : first;
    const log = await this.#untilAnswered(() =>
      openVirtualLog({
        metadata,
        key: chainKey,
        engines: {
          raft: this.#givingBack(this.engines.raft),
          "multi-paxos": this.#givingBack(this.engines.multiPaxos),
          local: this.#givingBack(this.#local),
          ...this.#services,
        },
        initialEngine,
        ...(founding === undefined ? {} : { founding }),
        members: {
          configuration: () => this.configuration,
          agreed: (upTo) => this.stored?.agreed(upTo) ?? upTo,
          storedElsewhere: () => this.stored?.elsewhere() ?? lsn(0),
        },
        onChain: (chain) => {
          this.#chain = chain;
          this.#dropOrphans(chain).catch((error: unknown) => {
            if (!(error instanceof QuipuError)) onFatal(error);
          });
        },
        ...(mutations?.chain === undefined ? {} : { mutation: mutations.chain }),
      }),
    );
    this.#log = log;
    if (this.#isClosed) await log.close();
    return log;
  }

  isOfService(error: unknown): boolean {
    return error instanceof QuipuError && this.#fromServices.has(error);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.stored?.close();
    await this.metadata?.close();
    await this.engines.close();
    await this.#log?.close();
  }

  async #untilAnswered<Result>(action: () => Promise<Result>): Promise<Result> {
    for (;;) {
      if (this.#isClosed) throw new QuipuError("SHUTTING_DOWN", "the log is closed");
      try {
        return await action();
      } catch (error) {
        if (!isTemporary(error)) throw error;
      }
      await new Promise<void>((resolve) => void this.#options.clock.setTimer(retryMs, resolve));
    }
  }

  async #plan(): Promise<{ readonly group: number; readonly members: readonly MemberId[] }> {
    invariant(this.metadata !== undefined, "no metadata store");
    const group = await takeGroupNumber(this.metadata);
    return { group, members: this.configuration.voters };
  }

  /** Whether a group of which others speak is one that is still to come, or in the chain. */
  #mayMake(group: number): boolean {
    if (group <= this.#floor.floor || group === metadataGroup) return false;
    const numbers = this.#chain === undefined ? [] : groupsOf(this.#chain);
    return numbers.includes(group) || group > Math.max(0, ...numbers);
  }

  /** A service that has lost a log says the same as a disk that has: who said it is remembered. */
  #outside(engine: LogletEngine): LogletEngine {
    return {
      prepare: (request) => engine.prepare(request),
      open: (parameters) =>
        engine.open(parameters).catch((error: unknown) => {
          if (error instanceof QuipuError) this.#fromServices.add(error);
          throw error;
        }),
      discard: (parameters) => engine.discard(parameters),
    };
  }

  /** Nothing is given back before this node is sure to remember that. */
  #givingBack(engine: LogletEngine): LogletEngine {
    return {
      prepare: (request) => engine.prepare(request),
      open: (parameters) => engine.open(parameters),
      discard: async (parameters) => {
        const group = groupOf({ engine: "raft", parameters }) ?? 0;
        await this.#floor.raise(group);
        this.#files.onlyVoter.onConfiguration(this.#files.identity.present, emptyConfiguration, group);
        await engine.discard(parameters);
      },
    };
  }

  /** Groups made for switches that came to nothing: later ones are in the chain. */
  async #dropOrphans(chain: Chain): Promise<void> {
    const numbers = groupsOf(chain);
    // Not the floor: a later one may have come to nothing before an earlier one is announced.
    const newest = Math.max(0, ...numbers);
    for (const group of this.engines.made()) {
      if (group === metadataGroup || numbers.includes(group) || group > newest) continue;
      await this.#floor.raise(group);
      await this.engines.discardGroup(group);
    }
  }
}
