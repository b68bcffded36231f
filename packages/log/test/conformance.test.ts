/** Every engine there is, by itself and under a virtual log, passes the contract. */
import { invariant } from "@quipu/core";
import type { SimulatedDisk } from "@quipu/simulator";
import {
  fileMetadataStore,
  localEngine,
  type Loglet,
  memoryEngine,
  memoryMetadataStore,
  openVirtualLog,
  type VirtualLog,
  type WriteAheadLog,
} from "../src/mod.ts";
import { logletConformance } from "../src/testing/mod.ts";
import { bothEngines, TestCell } from "./group-harness.ts";
import { makeDisk, openLog } from "./wal-harness.ts";

logletConformance("memory", async () => {
  const engine = memoryEngine();
  const log = await engine.open(await engine.prepare());
  return { log, close: () => log.close() };
});

logletConformance("local", async () => {
  let disk = makeDisk();
  let { wal } = await openLog(disk);
  const parameters = await localEngine(wal).prepare();
  return {
    log: await localEngine(wal).open(parameters),
    reopen: async () => {
      disk = disk.crash();
      ({ wal } = await openLog(disk));
      return localEngine(wal).open(parameters);
    },
    close: () => wal.close(),
  };
});

logletConformance("virtual log over memory", async () => {
  const options = {
    metadata: memoryMetadataStore(),
    key: "chain",
    engines: { memory: memoryEngine() },
    initialEngine: "memory",
  };
  const log = await openVirtualLog(options);
  return { log, close: () => log.close() };
});

logletConformance("virtual log over local", async () => {
  const open = async (disk: SimulatedDisk): Promise<{ readonly wal: WriteAheadLog; readonly log: VirtualLog }> => {
    const { wal } = await openLog(disk);
    const metadata = await fileMetadataStore(disk, "wal");
    return {
      wal,
      log: await openVirtualLog({
        metadata,
        key: "chain",
        engines: { local: localEngine(wal) },
        initialEngine: "local",
      }),
    };
  };
  let disk = makeDisk();
  let opened = await open(disk);
  return {
    log: opened.log,
    reopen: async () => {
      disk = disk.crash();
      opened = await open(disk);
      invariant(opened.log.chain().segments.length === 1, "the chain was founded twice");
      return opened.log;
    },
    close: async () => {
      await opened.log.close();
      await opened.wal.close();
    },
  };
});

const onGroups = bothEngines.flatMap((engine) =>
  (["leader", "follower"] as const).map((where) => ({ engine, where }) as const),
);

for (const { engine, where } of onGroups) {
  for (const isVirtual of [false, true]) {
    logletConformance(`${isVirtual ? "virtual log over " : ""}${engine}, three members, on the ${where}`, async () => {
      const cell = await TestCell.open({ engine, seed: 11, delayMsMax: 6, repeatPercent: 2 });
      const leader = await cell.untilLeader();
      const member = where === "leader" ? leader : cell.follower();
      cell.pump();
      const onGroup = (log: Loglet): Promise<VirtualLog> =>
        openVirtualLog({
          metadata: memoryMetadataStore(),
          key: "chain",
          engines: { group: { prepare: async () => "1", open: async () => log, discard: async () => undefined } },
          initialEngine: "group",
        });
      const logOf = async ({ log }: { readonly log: Loglet }): Promise<Loglet | VirtualLog> =>
        isVirtual ? await onGroup(log) : log;
      return {
        log: await logOf(cell.node(member)),
        reopen: async () => {
          cell.stop();
          const node = await cell.restart(member);
          await cell.untilLeader();
          cell.pump();
          return logOf(node);
        },
        close: async () => {
          cell.stop();
          await cell.step();
        },
      };
    });
  }
}
