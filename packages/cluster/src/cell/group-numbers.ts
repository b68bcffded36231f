/**
 * Numbers of the groups of a cell. They are given out by the metadata store, and never again: 1 is the metadata store's own
 * group, 2 the first one that keeps a log. A node remembers up to which number groups have passed it by, so that no late
 * word makes it take part, without memory, in one that it has given back.
 */
import { type LogIndex, logIndex, type MemberId } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import {
  type Chain,
  decodeGroupParameters,
  encodeGroupParameters,
  type LogletName,
  type MetadataStore,
} from "@quipu/log";

export const metadataGroup = 1;
const firstLogGroup = 2;

const numbersKey = "groups";
/** Attempts to be the next one to take a number, among nodes that all want one. */
const attemptsMax = 20;

/** A number that no group has or had. */
export async function takeGroupNumber(metadata: MetadataStore): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const stored = await metadata.get(numbersKey);
    const next = stored === undefined ? firstLogGroup + 1 : Number(new TextDecoder().decode(stored.value));
    if (!Number.isSafeInteger(next))
      throw new QuipuError("LOG_CORRUPT", "the number of the next group does not decode");
    const value = new TextEncoder().encode(String(next + 1));
    if (await metadata.compareAndSet(numbersKey, stored?.version ?? 0, value)) return next;
  }
  throw new QuipuError("OVERLOADED", "too many want the number of a new group");
}

/** Engines that every cell has by itself: groups of its own nodes keep the log. */
export type CellEngine = "raft" | "multi-paxos" | "local";

export function isCellEngine(engine: string): engine is CellEngine {
  return engine === "raft" || engine === "multi-paxos" || engine === "local";
}

/**
 * What a log is founded on that nobody has to prepare, the same for all founders. `startsAfter`: the records up to there
 * are in the state that the only founder has.
 */
export function firstSegmentOf(founders: readonly MemberId[], startsAfter: number, engine: CellEngine): LogletName {
  const after: { readonly after?: LogIndex } = startsAfter === 0 ? {} : { after: logIndex(startsAfter) };
  return { engine, parameters: encodeGroupParameters({ group: firstLogGroup, members: founders, ...after }) };
}

/** Of a loglet that a group of this cell keeps; else undefined. */
export function groupOf({ engine, parameters }: LogletName): number | undefined {
  return isCellEngine(engine) ? decodeGroupParameters(parameters).group : undefined;
}

/** The founding voters of a loglet whose members never change. */
export function staticMembersOf({ engine, parameters }: LogletName): readonly MemberId[] | undefined {
  return engine === "multi-paxos" ? decodeGroupParameters(parameters).members : undefined;
}

/** Who keeps a loglet that is on one node. */
export function onlyMemberOf({ engine, parameters }: LogletName): MemberId | undefined {
  return engine === "local" ? decodeGroupParameters(parameters).members[0] : undefined;
}

/** Numbers that the chain names, the announced one too. */
export function groupsOf({ segments, next }: Chain): readonly number[] {
  const names: readonly LogletName[] = next === undefined ? segments : [...segments, next];
  return names.map(groupOf).filter((group) => group !== undefined);
}

/** The highest number that has passed this node by, in a register of its metadata file. */
export class GroupFloor {
  readonly #file: MetadataStore;
  readonly #key: string;
  #version = 0;
  #floor = 0;
  /** Writes, one after another. */
  #raising: Promise<void> = Promise.resolve();

  constructor(file: MetadataStore, key: string) {
    this.#file = file;
    this.#key = key;
  }

  async load(): Promise<void> {
    const stored = await this.#file.get(this.#key);
    if (stored === undefined) return;
    this.#version = stored.version;
    this.#floor = Number(new TextDecoder().decode(stored.value));
    if (!Number.isSafeInteger(this.#floor)) throw new QuipuError("STORE_CORRUPT", `${this.#key} does not decode`);
  }

  get floor(): number {
    return this.#floor;
  }

  /** Durable when it resolves; to be awaited before a group up to `group` is given back. */
  raise(group: number): Promise<void> {
    const raised = this.#raising.then(() => this.#raise(group));
    this.#raising = raised.catch(() => undefined);
    return raised;
  }

  async #raise(group: number): Promise<void> {
    if (group <= this.#floor) return;
    const value = new TextEncoder().encode(String(group));
    if (!(await this.#file.compareAndSet(this.#key, this.#version, value))) {
      throw new QuipuError("DATA_DIRECTORY_IN_USE", `another process changed the register ${this.#key}`);
    }
    this.#version += 1;
    this.#floor = group;
  }
}
