/** A replica on the memory engine: the real state machine without a disk. */
import { Replica } from "@quipu/cluster";
import { lsn } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import { memoryEngine, type VirtualLog } from "@quipu/log";
import { NodeClock } from "../src/ports/node-clock.ts";

export async function memoryReplica(): Promise<Replica> {
  const engine = memoryEngine();
  const loglet = await engine.open(await engine.prepare());
  const chain = { version: 1, segments: [{ base: lsn(1), engine: "memory", parameters: "" }] };
  const log: VirtualLog = {
    append: (records) => loglet.append(records),
    tail: () => loglet.tail(),
    tailNow: () => loglet.tailNow?.(),
    read: (from, onDelivery) => loglet.read(from, onDelivery),
    trim: (upTo) => loglet.trim(upTo),
    chain: () => chain,
    reconfigure: () => Promise.resolve(chain),
    finishSealedChain: () => Promise.resolve(),
    dropTrimmed: () => Promise.resolve(),
    wearsOut: () => false,
    close: () => loglet.close(),
  };
  const replica = new Replica({
    log,
    machine: new CounterMachine(),
    clock: new NodeClock(),
    identity: { node: 1, incarnation: 1 },
    onFatal: (error) => {
      throw error;
    },
  });
  await replica.start();
  return replica;
}
