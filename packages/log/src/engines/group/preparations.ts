/**
 * How a group comes to be while the cell runs: whoever needs one makes its own part, and says to the other founding
 * voters that it is there, again and again, until they elect a leader and a read barrier has passed. Until then nobody
 * relies on the group; if it does not come to that in time it is dropped everywhere.
 */
import type { MemberId } from "@quipu/consensus";
import { invariant, QuipuError } from "@quipu/core";
import type { GroupDropped, GroupEngine, GroupMade, GroupMadeReply } from "@quipu/protocol";
import type { GroupEnginesOptions } from "./engine.ts";
import type { AnyGroup } from "./group.ts";
import type { NodeGroups } from "./node-groups.ts";
import { type GroupParameters, encodeGroupParameters } from "./parameters.ts";
import type { GroupSettings } from "./settings.ts";

/** Under way on this node. */
interface Preparation {
  readonly engine: GroupEngine;
  readonly parameters: GroupParameters;
  readonly deadlineTicks: number;
  readonly resolve: () => void;
  readonly reject: (error: QuipuError) => void;
}

/** Groups that came to nothing, remembered for members that have not heard of it. */
const droppedMax = 1024;

export class Preparations {
  readonly #options: GroupEnginesOptions;
  readonly #settings: GroupSettings;
  readonly #groups: NodeGroups;
  readonly #underWay: Map<number, Preparation> = new Map();
  /** Their founding voters: prepared here, and perhaps in no chain yet. */
  readonly #prepared: Map<number, readonly MemberId[]> = new Map();
  /** Came to nothing; when that was said last. */
  readonly #dropped: Map<number, number> = new Map();
  /** Whether a read barrier of the group passed on this node, or is on its way. */
  readonly #barriers: WeakMap<AnyGroup, "on its way" | "passed"> = new WeakMap();
  #nowTicks = 0;
  #isClosed = false;

  constructor(options: GroupEnginesOptions, settings: GroupSettings, groups: NodeGroups) {
    this.#options = options;
    this.#settings = settings;
    this.#groups = groups;
    options.hub.handle("groupMade", (from, message) => this.#onMade(from, message));
    options.hub.handle("groupMadeReply", (_from, message) => this.#onMadeReply(message));
    options.hub.handle("groupDropped", (_from, message) => this.#onDropped(message));
  }

  /** Makes a group with its leader; resolves to its parameters. Rejects with NOQUORUM, or as `plan` and the disk do. */
  async prepare(engine: GroupEngine): Promise<string> {
    const { group, members } = await this.#options.plan(engine);
    const parameters = { group, members: members.toSorted((left, right) => left - right) };
    const text = encodeGroupParameters(parameters);
    const { hub, wal } = this.#options;
    const isFree = wal.hardState(group) === undefined && !this.#groups.isGone(group);
    invariant(isFree && !this.#underWay.has(group), `group ${group} is planned, but is or was there`);
    try {
      if (members.includes(hub.member)) await this.#groups.make(engine, parameters);
      await this.#untilReady(engine, parameters);
    } catch (error) {
      await this.#drop(parameters).catch(() => undefined);
      throw error;
    }
    this.#prepared.set(group, parameters.members);
    return text;
  }

  /** Gives a group back. One that was prepared here and opened by nobody is in no chain: the others lose it, too. */
  async discard(parameters: GroupParameters): Promise<void> {
    const { group } = parameters;
    const isUnused = this.#prepared.has(group) && !this.#groups.isOpened(group);
    this.#prepared.delete(group);
    await (isUnused ? this.#drop(parameters) : this.#groups.discard(group));
  }

  tick(): void {
    this.#nowTicks++;
    for (const [group, preparation] of this.#underWay) {
      if (preparation.deadlineTicks <= this.#nowTicks) {
        this.#underWay.delete(group);
        preparation.reject(new QuipuError("NOQUORUM", `group ${group} had no leader in time: it is given up`));
      } else if ((preparation.deadlineTicks - this.#nowTicks) % this.#settings.announceTicks === 0) {
        this.#announce(preparation);
      }
    }
  }

  /** A message for a group that is not open here. */
  onStray(from: MemberId, group: number): void {
    const saidTicks = this.#dropped.get(group);
    if (saidTicks === undefined || saidTicks === this.#nowTicks) return;
    this.#dropped.set(group, this.#nowTicks);
    this.#options.hub.send(from, { type: "groupDropped", group });
  }

  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#underWay.values()) reject(closed());
    this.#underWay.clear();
  }

  #untilReady(engine: GroupEngine, parameters: GroupParameters): Promise<void> {
    if (this.#isClosed) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      const deadlineTicks = this.#nowTicks + this.#settings.prepareDeadlineTicks;
      const preparation = { engine, parameters, deadlineTicks, resolve, reject };
      this.#underWay.set(parameters.group, preparation);
      this.#announce(preparation);
    });
  }

  #announce({ engine, parameters: { group, members } }: Preparation): void {
    const { hub } = this.#options;
    for (const member of members) {
      if (member !== hub.member) hub.send(member, { type: "groupMade", group, engine, members });
    }
    const driven = this.#groups.get(group);
    if (driven !== undefined) this.#askBarrier(driven);
  }

  /** Until one has passed: what fails is asked for again with the next announcement. */
  #askBarrier(driven: AnyGroup): void {
    if (this.#barriers.has(driven)) return;
    this.#barriers.set(driven, "on its way");
    driven.barriers.tail().then(
      () => {
        this.#barriers.set(driven, "passed");
        this.#ready(driven.group);
      },
      () => this.#barriers.delete(driven),
    );
  }

  #ready(group: number): void {
    const preparation = this.#underWay.get(group);
    this.#underWay.delete(group);
    preparation?.resolve();
  }

  async #drop(parameters: GroupParameters): Promise<void> {
    const { group, members } = parameters;
    const { hub } = this.#options;
    this.#remember(group);
    await this.#groups.discard(group);
    for (const member of members) if (member !== hub.member) hub.send(member, { type: "groupDropped", group });
  }

  #remember(group: number): void {
    this.#dropped.set(group, this.#nowTicks);
    const [oldest] = this.#dropped.keys();
    if (this.#dropped.size > droppedMax && oldest !== undefined) this.#dropped.delete(oldest);
  }

  #onMade(from: MemberId, { group, engine, members }: GroupMade): void {
    const { hub, mayMake, onFatal } = this.#options;
    if (this.#dropped.has(group)) {
      this.onStray(from, group);
      return;
    }
    if (!members.includes(hub.member)) return;
    const driven = this.#groups.get(group);
    if (driven !== undefined) {
      this.#reply(from, driven);
      return;
    }
    if (this.#groups.isGone(group) || !mayMake(group)) return;
    this.#groups.make(engine, { group, members }).then(
      (made) => this.#reply(from, made),
      (error: unknown) => {
        // A full disk, a limit, an end: it is announced again. A disk that fails makes itself known.
        if (!(error instanceof QuipuError)) onFatal(error);
      },
    );
  }

  #reply(to: MemberId, driven: AnyGroup): void {
    this.#askBarrier(driven);
    const ready = this.#barriers.get(driven) === "passed";
    this.#options.hub.send(to, { type: "groupMadeReply", group: driven.group, ready });
  }

  /** A founding voter reads from its own part of the group; who has none takes the word of one that has. */
  #onMadeReply({ group, ready }: GroupMadeReply): void {
    const members = this.#underWay.get(group)?.parameters.members;
    if (ready && members !== undefined && !members.includes(this.#options.hub.member)) this.#ready(group);
  }

  #onDropped({ group }: GroupDropped): void {
    // Whoever says that is wrong, if a chain has it.
    if (this.#groups.isOpened(group) || this.#dropped.has(group)) return;
    this.#remember(group);
    this.#groups.discard(group).catch((error: unknown) => {
      if (!(error instanceof QuipuError)) this.#options.onFatal(error);
    });
  }
}

function closed(): QuipuError {
  return new QuipuError("SHUTTING_DOWN", "the log is closed");
}
