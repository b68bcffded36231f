/** The chain: what one node needs no more stays for the others where several keep a segment; damaged bytes. */
import { emptyConfiguration } from "@quipu/consensus";
import { lsn } from "@quipu/core";
import { expect, test } from "vitest";
import {
  type LogletEngine,
  type LogReplication,
  memoryEngine,
  memoryMetadataStore,
  openVirtualLog,
} from "../src/mod.ts";
import { decodeChain } from "../src/virtual-log/chain.ts";
import { bytesOf } from "./group-harness.ts";

test("a trim, which is one node's word, takes no segment out of the chain that others may need", async () => {
  const inner = memoryEngine();
  const replication: LogReplication = {
    startAt: () => undefined,
    installed: () => Promise.resolve(),
    configuration: () => emptyConfiguration,
    agreedUpTo: () => lsn(0),
    onSnapshotNeeded: () => undefined,
  };
  const shared: LogletEngine = {
    ...inner,
    open: async (parameters) => Object.assign(await inner.open(parameters), { replication }),
  };
  const engines = { shared, memory: memoryEngine() };
  const log = await openVirtualLog({ metadata: memoryMetadataStore(), key: "c", engines, initialEngine: "memory" });
  for (const next of ["shared", "memory", "memory"]) {
    await log.append([bytesOf("a")]);
    await log.reconfigure(next);
  }
  await log.trim(lsn(3));
  expect(log.chain().segments.map(({ base }) => base)).toEqual([2, 3, 4]);
  await log.close();
});

test.each([
  '[{"base":0,"engine":"raft","parameters":"1"}]',
  '[{"base":1.5,"engine":"raft","parameters":"1"}]',
  '[{"base":1,"engine":"raft","parameters":"1","end":5},{"base":6,"engine":"raft","parameters":"2"}]',
  '[{"base":5,"engine":"raft","parameters":"1","end":4},{"base":4,"engine":"raft","parameters":"2"}]',
])("bytes that are no chain are damage, not a bug of ours: %s", (segments) => {
  const bytes = bytesOf(`{"format":1,"segments":${segments}}`);
  expect(() => decodeChain("c", 1, bytes)).toThrow(expect.objectContaining({ code: "LOG_CORRUPT" }) as Error);
});
