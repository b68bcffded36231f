/**
 * The chain of a cell's log as it was committed, every version of it, and what must hold of it (research/consensus.md
 * §3.3, V1–V6): segments are contiguous, only the last one is open, bases never change, versions grow; a segment ends
 * where its group was sealed; and each position of the log is one record of one group.
 */
import type { MemberId } from "@quipu/consensus";
import { check } from "../failure.ts";
import type { ConsensusBook } from "./book.ts";
import { MetadataBook, metadataGroup } from "./metadata-book.ts";

const chainKey = "chain/0";

export interface BookedSegment {
  readonly engine: string;
  readonly parameters: string;
  /** That keeps it; undefined: none of this cell does. */
  readonly group: number | undefined;
  readonly base: number;
  end: number | undefined;
}

interface StoredName {
  readonly engine: string;
  readonly parameters: string;
}

interface StoredChain {
  readonly segments: readonly (StoredName & { readonly base: number; readonly end?: number })[];
  readonly next?: StoredName;
}

export interface ChainBookOptions {
  readonly bookOf: (group: number) => ConsensusBook | undefined;
  /** Up to which position of the log the state stands in that member's store. */
  readonly stateUpTo: (member: MemberId) => number;
}

export class ChainBook {
  /** Fed with the committed records of the metadata group. */
  readonly metadata: MetadataBook;
  readonly #options: ChainBookOptions;
  /** Texts of all versions, from 1. */
  readonly #versions: string[] = [];
  #chain: StoredChain | undefined;
  /** All that there ever were, in the order of the log. */
  readonly #segments: BookedSegment[] = [];

  constructor(options: ChainBookOptions) {
    this.#options = options;
    this.metadata = new MetadataBook((key, version, value) => {
      if (key === chainKey) this.#stored(version, value);
    });
  }

  get version(): number {
    return this.#versions.length;
  }

  /** The newest one. */
  get text(): string {
    return `chain ${this.version}: ${this.#versions.at(-1)}`;
  }

  get segments(): readonly BookedSegment[] {
    return this.#segments;
  }

  /** A switch was announced and is not completed. */
  get isSwitching(): boolean {
    return this.#chain?.next !== undefined;
  }

  /** The metadata group, and those that take or will take what is appended. */
  get openGroups(): readonly number[] {
    const last = this.#segments.at(-1)?.group;
    const next = this.#chain?.next === undefined ? undefined : groupOf(this.#chain.next);
    return [metadataGroup, last, next].filter((group) => group !== undefined);
  }

  /** Those whose end is set, as long as the chain names them. */
  get sealedGroups(): readonly number[] {
    const named = this.#chain?.segments.slice(0, -1) ?? [];
    return named.map(groupOf).filter((group) => group !== undefined);
  }

  /** Whether that text is about a log on a service that the chain names. */
  names(text: string): boolean {
    const names = [...(this.#chain?.segments ?? []), ...(this.#chain?.next === undefined ? [] : [this.#chain.next])];
    return names.some((name) => groupOf(name) === undefined && text.includes(logOf(name)));
  }

  /** A node goes by this chain. */
  adopted(who: string, chain: StoredChain & { readonly version: number }): void {
    const { version, segments, next } = chain;
    const stored = this.#versions[version - 1];
    check(
      stored === textOf({ segments, ...(next === undefined ? {} : { next }) }),
      "chain",
      () => `${who} goes by version ${version} of the chain, which is ${stored}`,
    );
  }

  /** Position of the log in positions of that group; below 1: before it. */
  toGroup(group: number, position: number): number {
    const segment = this.#segments.find((each) => each.group === group);
    return segment === undefined ? 0 : position - segment.base + 1;
  }

  toLog(group: number, index: number): number {
    const segment = this.#segments.find((each) => each.group === group);
    return segment === undefined ? 0 : segment.base + index - 1;
  }

  segmentAt(position: number): BookedSegment | undefined {
    return this.#segments.findLast(({ base, end }) => base <= position && (end === undefined || position < end));
  }

  /** Whether the record there is committed for ever; true also where nobody here can know. */
  isCommitted(position: number): boolean {
    const segment = this.segmentAt(position);
    if (segment === undefined) return false;
    if (segment.group === undefined) return true;
    const registry = this.#options.bookOf(segment.group)?.registry;
    if (registry === undefined) return false;
    const index = position - segment.base + 1;
    return index <= registry.committedUpTo && (registry.sealedAt === undefined || index < registry.sealedAt);
  }

  /** The committed record there. "unknown": no group of this cell keeps it. Undefined: there is none. */
  recordAt(position: number): Uint8Array | "unknown" | undefined {
    if (!this.isCommitted(position)) return undefined;
    const segment = this.segmentAt(position);
    if (segment?.group === undefined) return "unknown";
    const entry = this.#options.bookOf(segment.group)?.registry.committedEntry(position - segment.base + 1);
    return entry?.kind === "record" ? entry.data : undefined;
  }

  #stored(version: number, value: Uint8Array): void {
    check(version === this.#versions.length + 1, "chain", () => `version ${version} after ${this.#versions.length}`);
    const chain = JSON.parse(new TextDecoder().decode(value)) as StoredChain;
    const before = this.#chain;
    this.#versions.push(textOf(chain));
    this.#chain = chain;
    if (before === undefined) this.#founded(chain);
    else if (chain.segments.length > before.segments.length) this.#extended(before, chain);
    else if (chain.segments.length < before.segments.length) this.#dropped(before, chain);
    else this.#announced(before, chain);
  }

  #founded({ segments, next }: StoredChain): void {
    const [first] = segments;
    check(
      segments.length === 1 && first?.base === 1 && first.end === undefined && next === undefined,
      "chain",
      () => `the log is founded with ${JSON.stringify(segments)}`,
    );
    this.#segments.push({ ...first, group: groupOf(first), end: undefined });
  }

  #announced(before: StoredChain, chain: StoredChain): void {
    check(
      before.next === undefined && chain.next !== undefined && isSame(before.segments, chain.segments),
      "chain",
      () => `${textOf(before)} became ${textOf(chain)}`,
    );
    const name = chain.next;
    check(
      !this.#segments.some(({ engine, parameters }) => engine === name.engine && parameters === name.parameters),
      "chain",
      () => `${JSON.stringify(name)} comes a second time`,
    );
  }

  #extended(before: StoredChain, chain: StoredChain): void {
    const { next } = before;
    const last = before.segments.at(-1);
    const end = chain.segments.at(-2)?.end;
    const open = chain.segments.at(-1);
    const kept = before.segments.length - 1;
    check(
      next !== undefined &&
        last !== undefined &&
        end !== undefined &&
        open !== undefined &&
        chain.next === undefined &&
        chain.segments.length === before.segments.length + 1 &&
        isSame(before.segments.slice(0, kept), chain.segments.slice(0, kept)) &&
        isSame(
          [
            { ...last, end },
            { base: end, ...next },
          ],
          chain.segments.slice(kept),
        ),
      "chain",
      () => `${textOf(before)} became ${textOf(chain)}`,
    );
    const sealed = this.#segments.at(-1);
    check(sealed !== undefined && end >= sealed.base, "chain", () => `a segment ends at ${end}, before it begins`);
    if (sealed.group !== undefined) this.#checkEnd(sealed.group, sealed.base, end);
    sealed.end = end;
    this.#segments.push({ ...open, group: groupOf(open), end: undefined });
  }

  /** It was sealed, and everything committed before the seal lies below the end. */
  #checkEnd(group: number, base: number, end: number): void {
    const registry = this.#options.bookOf(group)?.registry;
    const sealedAt = registry?.sealedAt;
    check(
      registry !== undefined && sealedAt !== undefined,
      "chain",
      () => `the segment of group ${group} ends, and nobody has sealed it`,
    );
    const tail = end - base + 1;
    let last = sealedAt - 1;
    while (last > 0 && registry.committedEntry(last)?.kind !== "record") last--;
    check(
      tail === last + 1,
      "chain",
      () => `the segment of group ${group} ends before ${tail}; its last record below the seal stands at ${last}`,
    );
  }

  #dropped(before: StoredChain, chain: StoredChain): void {
    const count = before.segments.length - chain.segments.length;
    check(
      isSame(before.segments.slice(count), chain.segments) &&
        JSON.stringify(before.next) === JSON.stringify(chain.next),
      "chain",
      () => `${textOf(before)} became ${textOf(chain)}`,
    );
    for (const { base, end, ...name } of before.segments.slice(0, count)) {
      check(end !== undefined, "chain", () => `the open segment at ${base} is dropped`);
      const configuration = this.#options.bookOf(groupOf(name) ?? metadataGroup)?.configuration;
      for (const voters of [configuration?.voters ?? [], configuration?.outgoing ?? []]) {
        const holders = voters.filter((voter) => this.#options.stateUpTo(voter) >= end - 1);
        check(
          voters.length === 0 || holders.length > voters.length / 2,
          "trimmed-too-far",
          () => `the segment up to ${end} is dropped; of ${voters.join()} only ${holders.join()} have the state`,
        );
      }
    }
  }
}

/** Engines whose parameters name a group of the cell. */
const groupEngines: readonly string[] = ["raft", "multi-paxos"];

function groupOf({ engine, parameters }: StoredName): number | undefined {
  return groupEngines.includes(engine) ? (JSON.parse(parameters) as { group: number }).group : undefined;
}

/** The name that a service has for it. */
function logOf({ parameters }: StoredName): string {
  return (JSON.parse(parameters) as { log: string }).log;
}

/** One text for one chain, whichever way its fields are ordered. */
function textOf({ segments, next }: StoredChain): string {
  return JSON.stringify({
    segments: segments.map(({ base, engine, parameters, end }) => ({ base, engine, parameters, end })),
    next: next === undefined ? undefined : { engine: next.engine, parameters: next.parameters },
  });
}

function isSame(left: StoredChain["segments"], right: StoredChain["segments"]): boolean {
  return textOf({ segments: left }) === textOf({ segments: right });
}
