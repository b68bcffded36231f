/**
 * The engine of a cell: loglets that are Raft groups. All groups of a node share its write-ahead log, its peer hub and
 * one timer for their ticks.
 */
import { type Configuration, defaultRaftSettings, Raft, type RaftMutation } from "@quipu/consensus";
import { type Clock, invariant, QuipuError, type Random, SeededRandom } from "@quipu/core";
import type { Loglet, LogletEngine } from "../../loglet.ts";
import type { PeerHub } from "../../peer/peer-hub.ts";
import type { WriteAheadLog } from "../../write-ahead-log/write-ahead-log.ts";
import { DrivenGroup, type GroupMessage, type ConsensusGroup } from "./group.ts";
import { GroupLoglet } from "./loglet.ts";
import type { GroupMutation } from "./mutation.ts";
import { type Bootstrap, initialWrite, restoreGroup } from "./restore.ts";
import { checkedSettings, type GroupSettings } from "./settings.ts";
import { startTicks } from "./ticks.ts";

export interface RaftEngineOptions {
  readonly wal: WriteAheadLog;
  readonly hub: PeerHub;
  readonly clock: Clock;
  readonly random: Random;
  /** For groups that this member does not have yet. */
  readonly bootstrap: Bootstrap;
  readonly settings?: Partial<GroupSettings>;
  /** Called when a group is broken, or the disk: production ends the process. */
  readonly onFatal: (error: unknown) => void;
  /** Tests only. */
  readonly mutation?: GroupMutation;
  readonly coreMutation?: RaftMutation;
  /** After every step of a core, before its effects are carried out: the simulator's invariants. */
  readonly observe?: (group: number, group_: ConsensusGroup) => void;
  /** The configuration of a group as it is found on disk, and whenever its log has another, committed or not. */
  readonly onConfiguration?: (configuration: Configuration) => void;
}

export interface RaftEngine extends LogletEngine<Loglet> {
  /** Those that are open, ascending. */
  groups(): readonly ConsensusGroup[];
  /** Groups whose logs keep old segments of the write-ahead log are written again: call it when a segment is begun. */
  rewritePinned(): void;
  /** Ticks that were left out, because the process did not run for a while. */
  pauses(): number;
  close(): Promise<void>;
}

const groupMessageTypes = [
  "raft",
  "forward",
  "forwardReply",
  "barrier",
  "barrierReply",
  "checkpointed",
  "join",
] as const satisfies readonly GroupMessage["type"][];

export function raftEngine(options: RaftEngineOptions): RaftEngine {
  return new SharedRaftEngine(options);
}

class SharedRaftEngine implements RaftEngine {
  readonly #options: RaftEngineOptions;
  readonly #settings: GroupSettings;
  readonly #groups: Map<number, DrivenGroup> = new Map();
  readonly #ticks: { readonly stop: () => void; readonly pauses: () => number };
  /** The highest number given out: its first write may not be durable yet. */
  #lastPrepared = 0;

  constructor(options: RaftEngineOptions) {
    this.#options = options;
    this.#settings = checkedSettings(options.settings, options.wal.frameBytesMax);
    for (const type of groupMessageTypes) {
      options.hub.handle(type, (from, message) => this.#groups.get(message.group)?.receive(from, message));
    }
    this.#ticks = startTicks(options.clock, this.#settings, () => {
      for (const group of this.#open()) group.tick();
    });
  }

  async prepare(): Promise<string> {
    const { wal, bootstrap } = this.#options;
    this.#lastPrepared = Math.max(this.#lastPrepared, ...wal.groups()) + 1;
    const group = this.#lastPrepared;
    await written((done) => wal.write(group, initialWrite(bootstrap), done));
    return String(group);
  }

  async open(parameters: string): Promise<Loglet> {
    const { wal, hub, clock, random, onFatal, mutation, coreMutation, observe, onConfiguration } = this.#options;
    const group = Number(parameters);
    invariant(this.#groups.get(group)?.isOpen !== true, `group ${group} is open already`);
    const restored = await restoreGroup(wal, group);
    const core = new Raft({
      member: hub.member,
      // Of its own, so that what one group draws does not change what another one does.
      random: new SeededRandom(random.uint32()),
      settings: { ...defaultRaftSettings, ...this.#settings.core },
      restored,
      ...(coreMutation !== undefined && { mutation: coreMutation }),
    });
    const driven = new DrivenGroup({
      group,
      core,
      restored,
      writer: wal,
      hub,
      clock,
      random: new SeededRandom(random.uint32()),
      settings: this.#settings,
      onFatal,
      mutation,
      observe,
      onConfiguration,
    });
    this.#groups.set(group, driven);
    return new GroupLoglet(driven);
  }

  async discard(parameters: string): Promise<void> {
    const group = Number(parameters);
    this.#groups.get(group)?.close();
    this.#groups.delete(group);
    const { wal } = this.#options;
    if (wal.hardState(group) !== undefined) await written((done) => wal.removeGroup(group, done));
  }

  groups(): readonly ConsensusGroup[] {
    return this.#open();
  }

  rewritePinned(): void {
    for (const group of this.#options.wal.pinningGroups()) this.#groups.get(group)?.rewrite();
  }

  pauses(): number {
    return this.#ticks.pauses();
  }

  close(): Promise<void> {
    this.#ticks.stop();
    for (const group of this.#open()) group.close();
    return Promise.resolve();
  }

  #open(): readonly DrivenGroup[] {
    return [...this.#groups.values()].filter(({ isOpen }) => isOpen).sort((left, right) => left.group - right.group);
  }
}

function written(start: (done: (error: QuipuError | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === undefined ? resolve() : reject(error)));
  });
}
