/** Every engine there is, by itself and under a virtual log, passes the contract. */
import { invariant } from "@quipu/core";
import type { SimulatedDisk } from "@quipu/simulator";
import {
  fileMetadataStore,
  localEngine,
  memoryEngine,
  memoryMetadataStore,
  openVirtualLog,
  type VirtualLog,
  type WriteAheadLog,
} from "../src/mod.ts";
import { logletConformance } from "../src/testing/mod.ts";
import { TestCell } from "./raft-harness.ts";
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

for (const where of ["leader", "follower"] as const) {
  logletConformance(`raft, three members, on the ${where}`, async () => {
    const cell = await TestCell.open({ seed: 11, delayMsMax: 6, repeatPercent: 2 });
    const leader = await cell.untilLeader();
    const member = where === "leader" ? leader : cell.follower();
    const stop = cell.pump();
    return {
      log: cell.node(member).log,
      reopen: async () => {
        stop();
        await cell.step();
        const { log } = await cell.restart(member);
        await cell.untilLeader();
        cell.pump();
        return log;
      },
      close: async () => {
        cell.pump()();
        await cell.step();
      },
    };
  });
}
