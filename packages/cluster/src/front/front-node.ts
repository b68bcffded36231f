/**
 * A front, without its doors: a node whose log is kept by a service, together with the chain of the log and snapshots of
 * the state. Any number of fronts stand before one log; they do not know of each other.
 *
 *   service ─┬→ registers: chain, numbers of nodes ──→ virtual log ─┐
 *            └→ blobs: snapshots ↔ publisher, fetcher ──────────────┤
 *   state store → machine ──────────────────────────────────────────┴→ shard: replica, checkpointer → door
 */
import { emptyConfiguration, memberId } from "@quipu/consensus";
import { type Clock, type KeyValueStore, lsn, QuipuError, type Random } from "@quipu/core";
import {
  type ExternalService,
  type LogletEngine,
  type MetadataStore,
  openVirtualLog,
  type VirtualLog,
} from "@quipu/log";
import type { CheckpointSettings } from "../checkpointer.ts";
import type { ReplicaLimits } from "../limits.ts";
import { isTemporary } from "../log-errors.ts";
import { Shard } from "../shard.ts";
import { type PublisherSettings, SnapshotPublisher } from "../snapshot/publisher.ts";
import { SnapshotRepository } from "../snapshot/repository.ts";
import { RepositoryLink } from "../snapshot/repository-link.ts";
import type { SnapshotSettings } from "../snapshot/settings.ts";
import type { FrontHome } from "./directory.ts";
import { FrontKeeper } from "./front-keeper.ts";
import { FrontRegister } from "./front-register.ts";

export interface FrontNodeSettings {
  readonly replica?: Partial<ReplicaLimits>;
  readonly checkpoints?: Partial<CheckpointSettings>;
  readonly snapshots?: Partial<SnapshotSettings>;
  readonly publisher?: Partial<PublisherSettings>;
}

export interface FrontNodeOptions {
  readonly home: FrontHome;
  /** Where chain, numbers and snapshots are. Whoever gives it closes it, after the node has stopped. */
  readonly service: ExternalService;
  /** By name; `home.engine` among them. */
  readonly engines: Readonly<Record<string, LogletEngine>>;
  /** This node's own file, which is no other kind of node's. */
  readonly metadata: MetadataStore;
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings?: FrontNodeSettings;
  /** What it waits for before it can serve; undefined: for nothing. */
  readonly onWaiting?: (what: string | undefined) => void;
  /** A snapshot could not be published: the log is not trimmed meanwhile. */
  readonly onPublishFailure?: (error: QuipuError) => void;
  /** A broken invariant or a failed disk: the owner ends the process without stopping the node. */
  readonly onFatal: (error: unknown) => void;
}

/**
 * A record with the command that closes it fits one value of any service (ZooKeeper's 960 KiB), so that a large command is
 * refused by itself and takes no others down with it.
 */
const frontReplicaLimits = { recordBytesTarget: 256 * 1024, commandBytesMax: 688 * 1024 };

/** Registers of the service that holds the chain of the only shard, and names of its snapshots. */
const chainKey = "chain/0";
const snapshotPrefix = "snapshot/0/";

/** Wait before a service that is away is asked again. */
const retryMs = 500;
/** A chain may change while its segments are opened. */
const openAttemptsMax = 5;

export class FrontNode {
  readonly #options: FrontNodeOptions;
  readonly #register: FrontRegister;
  #log: VirtualLog | undefined;
  #shard: Shard | undefined;
  #keeper: FrontKeeper | undefined;
  #publisher: SnapshotPublisher | undefined;
  #isStopped = false;

  constructor(options: FrontNodeOptions) {
    this.#options = options;
    const { metadata, service, home, random } = options;
    this.#register = new FrontRegister({ metadata, registers: service.registers, home, random });
  }

  /** Resolves when the node serves; a service that is away is waited for. Rejects where it cannot, or is stopped before. */
  async start(): Promise<void> {
    const { service, store, clock, random, settings, onFatal } = this.#options;
    const node = await this.#untilAnswered(() => this.#register.node());
    const repository = new SnapshotRepository({
      ...{ blobs: service.blobs, valueBytesMax: service.valueBytesMax, prefix: snapshotPrefix, clock, random },
    });
    const log = await this.#openLog();
    this.#log = log;
    const shard = new Shard({
      shard: 0,
      log,
      store,
      clock,
      random,
      link: new RepositoryLink(memberId(node), repository, onFatal),
      nextIdentity: () => this.#untilAnswered(() => this.#register.nextIdentity()),
      onFatal,
      replica: { ...frontReplicaLimits, ...settings?.replica },
      ...(settings?.checkpoints === undefined ? {} : { checkpoints: settings.checkpoints }),
      ...(settings?.snapshots === undefined ? {} : { snapshots: settings.snapshots }),
    });
    this.#shard = shard;
    this.#publisher = new SnapshotPublisher({
      repository,
      clock,
      random,
      applied: () => appliedBy(shard),
      make: () => shard.makeSnapshot(0),
      onPublished: (position) => log.trim(lsn(Math.min(position, shard.machine.appliedLsn))),
      onFatal,
      ...(this.#options.onPublishFailure === undefined ? {} : { onFailure: this.#options.onPublishFailure }),
      ...(settings?.publisher === undefined ? {} : { settings: settings.publisher }),
    });
    this.#keeper = new FrontKeeper({ log, clock, random, onFatal });
    if (this.#isStopped) await this.stop();
    await shard.start();
    this.#options.onWaiting?.(undefined);
  }

  /** Answers what is under way, writes a last checkpoint, closes everything but what it was given. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#shard?.stop();
    await this.#keeper?.close();
    await this.#publisher?.close();
    await this.#log?.close();
  }

  /** Undefined until the log is open. */
  get shard(): Shard | undefined {
    return this.#shard;
  }

  /** Undefined until it is open. */
  get log(): VirtualLog | undefined {
    return this.#log;
  }

  get isServing(): boolean {
    return this.#shard?.isServing ?? false;
  }

  /** The log is needed above it only: a snapshot of that position can be had from the service. */
  get publishedUpTo(): number {
    return this.#publisher?.publishedUpTo ?? 0;
  }

  async #openLog(): Promise<VirtualLog> {
    const { service, engines, home } = this.#options;
    const { registers: metadata } = service;
    for (let attempt = 1; ; attempt++) {
      const before = await this.#untilAnswered(() => metadata.get(chainKey));
      try {
        return await this.#untilAnswered(() =>
          openVirtualLog({
            metadata,
            key: chainKey,
            engines,
            initialEngine: home.engine,
            members: {
              configuration: () => emptyConfiguration,
              // Whoever comes later starts from a snapshot in the service, or nowhere.
              agreed: (upTo) => lsn(Math.min(upTo, this.publishedUpTo)),
              storedElsewhere: () => lsn(this.publishedUpTo),
            },
          }),
        );
      } catch (error) {
        // Another front may just have dropped a segment that the chain named.
        const after = await this.#untilAnswered(() => metadata.get(chainKey));
        if (after?.version === before?.version || attempt >= openAttemptsMax) throw error;
      }
    }
  }

  async #untilAnswered<Result>(action: () => Promise<Result>): Promise<Result> {
    const { clock, onWaiting } = this.#options;
    for (;;) {
      if (this.#isStopped) throw new QuipuError("SHUTTING_DOWN", "the node is stopping");
      try {
        return await action();
      } catch (error) {
        const isFull = error instanceof QuipuError && error.code === "LOG_FULL";
        if (!isFull && !isTemporary(error)) throw error;
        onWaiting?.((error as QuipuError).message);
      }
      await new Promise<void>((resolve) => void clock.setTimer(retryMs, resolve));
    }
  }
}

function appliedBy(
  shard: Shard,
): { readonly position: Shard["machine"]["appliedLsn"]; readonly recordBytes: number } | undefined {
  const { replica } = shard.parts;
  if (!shard.isServing || replica === undefined) return undefined;
  return { position: shard.machine.appliedLsn, recordBytes: replica.statistics.recordBytesApplied };
}
