/** The chain of a virtual log as a value: its bytes in the metadata store, and the steps it may take. */
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import type { Chain } from "../loglet.ts";

/** As it is stored; the version is the register's. */
interface StoredSegment {
  readonly base: number;
  readonly engine: string;
  readonly parameters: string;
  readonly end?: number;
}

export function encodeChain(chain: Chain): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ format: 1, segments: chain.segments }));
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
  };
}

/** Segments are contiguous and only the last one is open. */
export function checkChain(chain: Chain): void {
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

/** The chain with its last segment ended at `end` and a new one after it. */
export function extended(chain: Chain, end: Lsn, engine: string, parameters: string): Chain {
  const closed = chain.segments.map((segment, i) => (i === chain.segments.length - 1 ? { ...segment, end } : segment));
  const next: Chain = { version: chain.version + 1, segments: [...closed, { base: end, engine, parameters }] };
  checkChain(next);
  return next;
}

/** The chain without the leading segments that end at or below `first`; the open one always stays. */
export function withoutBefore(chain: Chain, first: Lsn): Chain {
  const segments = chain.segments.filter(({ end }) => end === undefined || end > first);
  return { version: chain.version + 1, segments };
}

function isStoredChain(value: unknown): value is { readonly segments: readonly StoredSegment[] } {
  if (typeof value !== "object" || value === null || !("segments" in value)) return false;
  const { segments } = value;
  return Array.isArray(segments) && segments.length > 0 && segments.every(isStoredSegment);
}

function isStoredSegment(value: unknown): value is StoredSegment {
  if (typeof value !== "object" || value === null) return false;
  const { base, engine, parameters, end } = value as Partial<StoredSegment>;
  return (
    typeof base === "number" &&
    typeof engine === "string" &&
    typeof parameters === "string" &&
    (end === undefined || typeof end === "number")
  );
}
