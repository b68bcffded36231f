/**
 * What lies where under a prefix, and what the values say. Values of our own are words and decimal numbers, so that people
 * can read them with ZooKeeper's own tools; whatever does not read exactly like them is somebody else's.
 *
 *     PREFIX                       anything: an administrator may have made it
 *     PREFIX/format                "quipu zookeeper 1"
 *     PREFIX/logs/LOG              "log"
 *     PREFIX/logs/LOG/open         "open", or "sealed" once and for ever
 *     PREFIX/logs/LOG/head         "head NEXT-BATCH TAIL"; its version is the number of batches ever written
 *     PREFIX/logs/LOG/trim         "trim FIRST-BATCH TRIMMED-UP-TO REMOVED-BELOW"
 *     PREFIX/logs/LOG/e/NUMBER     a batch
 *     PREFIX/registers/KEY         a register; its version is that of the node and one
 *     PREFIX/blobs/BUCKET/NAME     a blob
 *
 * Numbers of batches come from the head. Never from sequential nodes, whose counter is an int32 and wraps
 * (ZOOKEEPER-2944), and never from a list of the children, which may be longer than an answer can be.
 */
import { lsn, type Lsn } from "@quipu/core";

const encoder = new TextEncoder();
const text = (value: Uint8Array): string => Buffer.from(value).toString("latin1");

export const formatValue: Uint8Array = encoder.encode("quipu zookeeper 1");
export const logValue: Uint8Array = encoder.encode("log");
export const openValue: Uint8Array = encoder.encode("open");
export const sealedValue: Uint8Array = encoder.encode("sealed");
export const noValue: Uint8Array = new Uint8Array(0);

/** The version of `open` while it is open: whoever seals sets it once. */
export const unsealedVersion = 0;

/** Names of one list: 100,000 blobs of a megabyte, more than ZooKeeper can hold, are 1,600 names in each. */
const buckets = 64;

export interface Layout {
  readonly prefix: string;
  readonly format: string;
  readonly logs: string;
  readonly registers: string;
  readonly blobs: string;
}

export function layoutOf(prefix: string): Layout {
  return {
    prefix,
    format: `${prefix}/format`,
    logs: `${prefix}/logs`,
    registers: `${prefix}/registers`,
    blobs: `${prefix}/blobs`,
  };
}

export interface LogPaths {
  readonly log: string;
  readonly open: string;
  readonly head: string;
  readonly trim: string;
  readonly batches: string;
  readonly batch: (number: number) => string;
}

export function pathsOf(layout: Layout, name: string): LogPaths {
  const log = `${layout.logs}/${escapeName(name)}`;
  return {
    log,
    open: `${log}/open`,
    head: `${log}/head`,
    trim: `${log}/trim`,
    batches: `${log}/e`,
    batch: (number) => `${log}/e/${number}`,
  };
}

export function registerPath(layout: Layout, key: string): string {
  return `${layout.registers}/${escapeName(key)}`;
}

export function blobPath(layout: Layout, name: string): { readonly bucket: string; readonly path: string } {
  // FNV-1a, 32 bits.
  let hash = 0x811c9dc5;
  for (const byte of encoder.encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  const bucket = `${layout.blobs}/${hash % buckets}`;
  return { bucket, path: `${bucket}/${escapeName(name)}` };
}

export function blobBuckets(layout: Layout): readonly string[] {
  return Array.from({ length: buckets }, (_, bucket) => `${layout.blobs}/${bucket}`);
}

/** One name of a node for one of ours: `/`, dots and whatever else is not a letter, digit or `-` become `%` and hex. */
export function escapeName(name: string): string {
  return [...encoder.encode(name)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9-]/.test(character) ? character : `%${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");
}

/** Undefined: no name of ours. */
export function unescapeName(escaped: string): string | undefined {
  try {
    const name = decodeURIComponent(escaped);
    return escapeName(name) === escaped ? name : undefined;
  } catch {
    return undefined;
  }
}

export function encodeHead(nextBatch: number, tail: Lsn): Uint8Array {
  return encoder.encode(`head ${nextBatch} ${tail}`);
}

/** Undefined: not what we write. The version of the node counts our changes, so it betrays those of others. */
export function decodeHead(
  value: Uint8Array,
  version: number,
): { readonly nextBatch: number; readonly tail: Lsn } | undefined {
  const [nextBatch, tail] = decodeNumbers("head", 2, value) ?? [];
  if (nextBatch === undefined || tail === undefined || nextBatch !== version + 1 || tail < 1) return undefined;
  return { nextBatch, tail: lsn(tail) };
}

/** What may be gone, and what is. */
export interface Trim {
  readonly firstBatch: number;
  readonly trimmedUpTo: number;
  /** Batches below are removed for certain; never above `firstBatch`. */
  readonly removedBelow: number;
}

export function encodeTrim({ firstBatch, trimmedUpTo, removedBelow }: Trim): Uint8Array {
  return encoder.encode(`trim ${firstBatch} ${trimmedUpTo} ${removedBelow}`);
}

/** Undefined: not what we write. */
export function decodeTrim(value: Uint8Array): Trim | undefined {
  const [firstBatch, trimmedUpTo, removedBelow] = decodeNumbers("trim", 3, value) ?? [];
  if (firstBatch === undefined || trimmedUpTo === undefined || removedBelow === undefined) return undefined;
  if (removedBelow < 1 || removedBelow > firstBatch) return undefined;
  return { firstBatch, trimmedUpTo, removedBelow };
}

function decodeNumbers(word: string, count: number, value: Uint8Array): readonly number[] | undefined {
  const [first, ...rest] = text(value).split(" ");
  const numbers = rest.map(Number);
  const isOurs =
    first === word &&
    rest.length === count &&
    numbers.every((number, place) => Number.isSafeInteger(number) && number >= 0 && String(number) === rest[place]);
  return isOurs ? numbers : undefined;
}

export function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
