/**
 * Who this node is to its log (DESIGN §4.5): its number, and its incarnation, raised and durable before the first
 * record of each start, so that what an earlier process may still have under way is void.
 */
import type { WriterIdentity } from "@quipu/cluster";
import { QuipuError } from "@quipu/core";
import type { MetadataStore } from "@quipu/log";
import { z } from "zod";

/** The register in the metadata store. */
export const identityKey = "node";

/** A cell will number its nodes; a single process is the first. */
const firstNode = 1;

/** Incarnations are unsigned 32-bit numbers in a record's header. */
const incarnationMax = 0xffff_ffff;

const storedIdentity: z.ZodType<WriterIdentity> = z.strictObject({
  node: z.number().int().min(1).max(0xffff_ffff),
  incarnation: z.number().int().min(1).max(incarnationMax),
});

export async function raiseIncarnation(metadata: MetadataStore): Promise<WriterIdentity> {
  const stored = await metadata.get(identityKey);
  const last = stored === undefined ? { node: firstNode, incarnation: 0 } : parseIdentity(stored.value);
  if (last.incarnation === incarnationMax) {
    throw new QuipuError("DATA_DIRECTORY_UNUSABLE", `the node has started ${incarnationMax} times; no number is left`);
  }
  const identity = { node: last.node, incarnation: last.incarnation + 1 };
  const value = new TextEncoder().encode(JSON.stringify(identity));
  if (await metadata.compareAndSet(identityKey, stored?.version ?? 0, value)) return identity;
  throw new QuipuError("DATA_DIRECTORY_IN_USE", "another process raised the node's incarnation at the same time");
}

function parseIdentity(value: Uint8Array): WriterIdentity {
  try {
    return storedIdentity.parse(JSON.parse(new TextDecoder("utf8", { fatal: true }).decode(value)));
  } catch (cause) {
    throw new QuipuError("STORE_CORRUPT", `the identity of the node in ${identityKey} does not decode`, { cause });
  }
}
