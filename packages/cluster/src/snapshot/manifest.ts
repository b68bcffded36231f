/** What a published snapshot says of itself: JSON, so that people can read it with the service's own tools. */
import { lsn } from "@quipu/core";
import type { SnapshotIdentity } from "./format.ts";

export interface Manifest extends SnapshotIdentity {
  /** Of every chunk but the last. */
  readonly chunkBytes: number;
  /** How the log goes on above it; opaque. */
  readonly logStart: Uint8Array;
}

const format = 1;

export function encodeManifest({ position, totalBytes, checksum, chunkBytes, logStart }: Manifest): Uint8Array {
  const words = Buffer.from(logStart).toString("base64");
  const text = JSON.stringify({ format, position, totalBytes, checksum, chunkBytes, logStart: words });
  return new TextEncoder().encode(text);
}

/** Undefined where the bytes are not one. */
export function decodeManifest(bytes: Uint8Array): Manifest | undefined {
  let stored: unknown;
  try {
    stored = JSON.parse(new TextDecoder("utf8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof stored !== "object" || stored === null) return undefined;
  const found = stored as Readonly<Record<string, unknown>>;
  if (found["format"] !== format || typeof found["logStart"] !== "string") return undefined;
  const [position, totalBytes, checksum, chunkBytes] = ["position", "totalBytes", "checksum", "chunkBytes"].map(
    (name) => found[name],
  );
  if (!isCount(position) || !isCount(totalBytes) || !isCount(checksum) || !isCount(chunkBytes)) return undefined;
  if (chunkBytes < 1 || totalBytes < 1) return undefined;
  const logStart = new Uint8Array(Buffer.from(found["logStart"], "base64"));
  return { position: lsn(position), totalBytes, checksum, chunkBytes, logStart };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
