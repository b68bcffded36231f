/** Whether the chain, as this node's metadata file has it, names a part of the log that is on this node's disk only. */
import { memberOf } from "@quipu/consensus";
import { decodeChain, type MetadataStore } from "@quipu/log";
import { chainKey, metadataKey } from "./cell-chain.ts";
import { onlyMemberOf } from "./group-numbers.ts";
import type { CellIdentity } from "./identity.ts";
import { decodeState } from "./metadata/registers.ts";

/** Needs neither log nor quorum. Rejects with LOG_CORRUPT where the file does not decode. */
export async function keepsAlone(file: MetadataStore, identity: CellIdentity): Promise<boolean> {
  const key = metadataKey(identity);
  const stored = await file.get(key);
  if (stored === undefined) return false;
  const chain = decodeState(`the register ${key}`, stored.value).registers.get(chainKey);
  if (chain === undefined) return false;
  const self = memberOf(identity.node, identity.generation);
  const { segments } = decodeChain(chainKey, chain.version, chain.value);
  return segments.some((segment) => onlyMemberOf(segment) === self);
}
