/**
 * The groups that this node has a part of: made, found again in the write-ahead log, driven, given back. Of one group
 * one thing happens at a time, in the order of the calls.
 */
import type { LogStart } from "@quipu/consensus";
import { invariant, QuipuError, SeededRandom } from "@quipu/core";
import type { GroupEngine } from "@quipu/protocol";
import type { GroupEnginesOptions } from "./engine.ts";
import type { CoreAdapter, CoreMessage } from "./core-adapter.ts";
import { type AnyGroup, DrivenGroup } from "./group.ts";
import { GroupLoglet } from "./loglet.ts";
import { multiPaxosAdapter } from "./multi-paxos-adapter.ts";
import type { GroupParameters } from "./parameters.ts";
import { raftAdapter } from "./raft-adapter.ts";
import { corrupt, foundingStart, initialWrite, joiningStart, type RestoredGroup, restoreGroup } from "./restore.ts";
import type { GroupSettings } from "./settings.ts";

/** Numbers of groups that were given back in this life. Numbers grow, so the oldest are not asked for any more. */
const goneMax = 4096;

export class NodeGroups {
  readonly #options: GroupEnginesOptions;
  readonly #settings: GroupSettings;
  /** Open ones, and those that were closed and not opened again. */
  readonly #groups: Map<number, AnyGroup> = new Map();
  readonly #loglets: Map<number, GroupLoglet> = new Map();
  /** What is going on with a group. */
  readonly #turns: Map<number, Promise<unknown>> = new Map();
  /** Some log of this node was opened on them: they are, or were, in a chain. */
  readonly #opened: Set<number> = new Set();
  readonly #gone: Set<number> = new Set();
  #isClosed = false;

  constructor(options: GroupEnginesOptions, settings: GroupSettings) {
    this.#options = options;
    this.#settings = settings;
  }

  /** Undefined: it is not open here. */
  get(group: number): AnyGroup | undefined {
    const driven = this.#groups.get(group);
    return driven?.isOpen === true ? driven : undefined;
  }

  /** Open ones, ascending. */
  all(): readonly AnyGroup[] {
    return [...this.#groups.values()].filter(({ isOpen }) => isOpen).sort((left, right) => left.group - right.group);
  }

  /** Given back in this life. */
  isGone(group: number): boolean {
    return this.#gone.has(group);
  }

  isOpened(group: number): boolean {
    return this.#opened.has(group);
  }

  /** The one loglet of that group. Undefined: this node keeps no part of it, and cannot be let in. */
  open(engine: GroupEngine, parameters: GroupParameters): Promise<GroupLoglet | undefined> {
    const { group } = parameters;
    // Made again it would have forgotten what it promised.
    invariant(!this.#gone.has(group), `group ${group} is opened, but was given back`);
    this.#opened.add(group);
    return this.#inTurn(group, async () => {
      const driven = this.get(group) ?? (await this.#drive(engine, parameters, engine === "raft"));
      if (driven === undefined) return undefined;
      if (driven.engine !== engine) throw corrupt(group, `it is of engine ${driven.engine}, not ${engine}`);
      return this.#logletOf(driven);
    });
  }

  /** Drives the group of which this member is a founder: as it is found, else anew. */
  make(engine: GroupEngine, parameters: GroupParameters): Promise<AnyGroup> {
    const { group } = parameters;
    return this.#inTurn(group, async () => {
      const driven = this.get(group) ?? (await this.#drive(engine, parameters, false));
      invariant(driven !== undefined, `member ${this.#options.hub.member} makes group ${group} of others`);
      return driven;
    });
  }

  /** Idempotent. */
  discard(group: number): Promise<void> {
    this.#gone.add(group);
    if (this.#gone.size > goneMax) for (const oldest of [...this.#gone].slice(0, 1)) this.#gone.delete(oldest);
    return this.#inTurn(group, async () => {
      this.#groups.get(group)?.close();
      this.#groups.delete(group);
      this.#loglets.delete(group);
      const { wal } = this.#options;
      if (wal.hardState(group) !== undefined) await written((done) => wal.removeGroup(group, done));
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const group of this.#groups.values()) group.close();
  }

  #logletOf(driven: AnyGroup): GroupLoglet {
    const { group } = driven;
    const known = this.#loglets.get(group);
    if (known?.isOf(driven) === true) return known;
    const loglet = new GroupLoglet(driven);
    this.#loglets.set(group, loglet);
    return loglet;
  }

  /** Undefined: it is not here, this member is no founder, and it may not join. */
  async #drive(
    engine: GroupEngine,
    { group, members, after }: GroupParameters,
    mayJoin: boolean,
  ): Promise<AnyGroup | undefined> {
    const { wal, hub, beforeDriven } = this.#options;
    this.#requireOpen(group);
    // What the group wrote before it was closed comes first.
    if (this.#groups.has(group)) await written((done) => wal.write(group, {}, done));
    if (wal.hardState(group) === undefined) {
      const isFounder = members.includes(hub.member);
      if (!isFounder && !mayJoin) return undefined;
      const start: LogStart = isFounder ? foundingStart(members, after) : joiningStart;
      await written((done) => wal.write(group, initialWrite(engine, start), done));
    }
    const restored = await restoreGroup(wal, group);
    if (restored.engine !== engine) throw corrupt(group, `it is of engine ${restored.engine}, not ${engine}`);
    await beforeDriven?.(group);
    this.#requireOpen(group);
    const driven =
      engine === "raft" ? this.#driven(group, restored, raftAdapter) : this.#driven(group, restored, multiPaxosAdapter);
    this.#groups.set(group, driven);
    return driven;
  }

  #driven<Message extends CoreMessage>(
    group: number,
    restored: RestoredGroup,
    adapter: CoreAdapter<Message>,
  ): DrivenGroup<Message> {
    const { wal, hub, clock, random, onFatal, mutation, coreMutation, multiPaxosMutation } = this.#options;
    const mutations = { raft: coreMutation, multiPaxos: multiPaxosMutation };
    // Of its own, so that what one group draws does not change what another one does.
    const ofCore = new SeededRandom(random.uint32());
    return new DrivenGroup({
      group,
      adapter,
      core: adapter.makeCore(hub.member, ofCore, this.#settings, restored, mutations),
      layout: adapter.layoutOf(restored, mutation !== "hard-state-not-written"),
      restored,
      writer: wal,
      hub,
      clock,
      random: new SeededRandom(random.uint32()),
      settings: this.#settings,
      onFatal,
      mutation,
      observe: this.#options.observe,
      onConfiguration: this.#options.onConfiguration,
    });
  }

  #requireOpen(group: number): void {
    if (this.#isClosed) throw new QuipuError("SHUTTING_DOWN", `group ${group} is not opened: the log is closed`);
    // While it was being made: whoever asked for it has given it up.
    if (this.#gone.has(group)) throw new QuipuError("SHUTTING_DOWN", `group ${group} was given back meanwhile`);
  }

  #inTurn<Result>(group: number, action: () => Promise<Result>): Promise<Result> {
    const turn = (this.#turns.get(group) ?? Promise.resolve()).then(action, action);
    this.#turns.set(group, turn);
    const ended = (): void => {
      if (this.#turns.get(group) === turn) this.#turns.delete(group);
    };
    turn.then(ended, ended);
    return turn;
  }
}

function written(start: (done: (error: QuipuError | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === undefined ? resolve() : reject(error)));
  });
}
