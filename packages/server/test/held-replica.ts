/**
 * The real replica on the memory engine, with a hand on the log: appends and tails can be held back, so that a test
 * decides what is pending when.
 */
import { Replica, type ReplicaLimits } from "@quipu/cluster";
import { lsn } from "@quipu/core";
import { CounterMachine } from "@quipu/counters";
import { memoryEngine, type VirtualLog } from "@quipu/log";
import { NodeClock } from "../src/ports/node-clock.ts";

class Gate {
  #isOpen = true;
  #waiting: (() => void)[] = [];

  hold(): void {
    this.#isOpen = false;
  }

  release(): void {
    this.#isOpen = true;
    for (const resume of this.#waiting.splice(0)) resume();
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  async pass(): Promise<void> {
    if (this.#isOpen) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

export interface HeldReplica {
  readonly replica: Replica;
  readonly appends: Gate;
  readonly tails: Gate;
  /** False: no read may be evaluated at once; every one waits for a tail. */
  setTailKnown(isKnown: boolean): void;
}

export async function heldReplica(limits: Partial<ReplicaLimits> = {}): Promise<HeldReplica> {
  const engine = memoryEngine();
  const loglet = await engine.open(await engine.prepare());
  const chain = { version: 1, segments: [{ base: lsn(1), engine: "memory", parameters: "" }] };
  const appends = new Gate();
  const tails = new Gate();
  let isTailKnown = true;
  const log: VirtualLog = {
    append: (records) => appends.pass().then(() => loglet.append(records)),
    tail: () => tails.pass().then(() => loglet.tail()),
    tailNow: () => (isTailKnown ? loglet.tailNow?.() : undefined),
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
    limits,
    onFatal: (error) => {
      throw error;
    },
  });
  await replica.start();
  return {
    replica,
    appends,
    tails,
    setTailKnown: (isKnown) => {
      isTailKnown = isKnown;
    },
  };
}
