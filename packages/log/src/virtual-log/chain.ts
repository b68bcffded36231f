/** The chain of a virtual log as a value: its bytes in the metadata store, and the steps it may take. */
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import type { Chain, LogletName } from "../loglet.ts";

/** As it is stored; the version is the register's. */
interface StoredChain {
  readonly segments: readonly StoredSegment[];
  readonly next?: LogletName;
}

interface StoredSegment extends LogletName {
  readonly base: number;
  readonly end?: number;
}

export function encodeChain({ segments, next }: Chain): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ format: 1, segments, next }));
}

/** Throws LOG_CORRUPT where the bytes are not a chain. */
export function decodeChain(key: string, version: number, bytes: Uint8Array): Chain {
  let stored: unknown;
  try {
    stored = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new QuipuError("LOG_CORRUPT", `the chain ${key} is not JSON`, { cause: error });
  }
  if (!isStoredChain(stored)) throw new QuipuError("LOG_CORRUPT", `the chain ${key} has no segments`);
  const fault = chainFault(stored.segments);
  if (fault !== undefined) throw new QuipuError("LOG_CORRUPT", `the chain ${key}: ${fault}`);
  return {
    version,
    segments: stored.segments.map(({ base, engine, parameters, end }) => ({
      base: lsn(base),
      engine,
      parameters,
      ...(end === undefined ? {} : { end: lsn(end) }),
    })),
    ...(stored.next === undefined ? {} : { next: stored.next }),
  };
}

/** Segments are contiguous and only the last one is open. */
function checkChain(chain: Chain): void {
  const fault = chainFault(chain.segments);
  invariant(fault === undefined, `${fault}`);
}

function chainFault(segments: readonly StoredSegment[]): string | undefined {
  for (const [i, { base, end }] of segments.entries()) {
    const next = segments[i + 1];
    if (!(Number.isSafeInteger(base) && base >= 1)) return `segment ${i} begins at ${base}`;
    if (end !== next?.base) return `segment ${i} ends at ${end}, the next one begins at ${next?.base}`;
    if (end !== undefined && end < base) return `segment ${i} ends before it begins`;
  }
  return undefined;
}

/** The first chain of a log that begins at `base`. */
export function foundedChain(base: Lsn, first: LogletName): Chain {
  return { version: 1, segments: [{ base, ...first }] };
}

/** The chain with a switch to `next` under way. */
export function announced(chain: Chain, next: LogletName): Chain {
  invariant(chain.next === undefined, "one switch at a time");
  return { version: chain.version + 1, segments: chain.segments, next };
}

/** The chain with its last segment ended at `end` and the one made ready after it. */
export function extended(chain: Chain, end: Lsn): Chain {
  const { next } = chain;
  invariant(next !== undefined, "nothing is made ready to follow");
  const closed = chain.segments.map((segment, i) => (i === chain.segments.length - 1 ? { ...segment, end } : segment));
  const after: Chain = { version: chain.version + 1, segments: [...closed, { base: end, ...next }] };
  checkChain(after);
  return after;
}

/** The chain without its first `count` segments, all of them sealed. */
export function without(chain: Chain, count: number): Chain {
  const segments = chain.segments.slice(count);
  invariant(segments.length > 0, "the open segment stays");
  return { ...chain, version: chain.version + 1, segments };
}

/** Two names are of the same loglet. */
export function nameOf({ engine, parameters }: LogletName): string {
  return JSON.stringify([engine, parameters]);
}

/** Whether the loglet is in the chain, or is to follow. */
export function isNamed({ segments, next }: Chain, name: LogletName): boolean {
  return [...segments, ...(next === undefined ? [] : [next])].some((each) => nameOf(each) === nameOf(name));
}

function isStoredChain(value: unknown): value is StoredChain {
  if (typeof value !== "object" || value === null || !("segments" in value)) return false;
  const { segments } = value;
  if (!(Array.isArray(segments) && segments.length > 0 && segments.every(isStoredSegment))) return false;
  return !("next" in value) || isLogletName(value.next);
}

function isLogletName(value: unknown): value is LogletName {
  if (typeof value !== "object" || value === null) return false;
  const { engine, parameters } = value as Partial<LogletName>;
  return typeof engine === "string" && typeof parameters === "string";
}

function isStoredSegment(value: unknown): value is StoredSegment {
  if (!isLogletName(value)) return false;
  const { base, end } = value as Partial<StoredSegment>;
  return typeof base === "number" && (end === undefined || typeof end === "number");
}
