/**
 * One life of the simulated process: the real write-ahead log, virtual log, machine, replica and checkpointer, wired
 * as packages/server wires them, on simulated ports.
 */
import {
  Checkpointer,
  type CheckpointerMutation,
  loadMachine,
  Replica,
  type ReplicaMutation,
  type WriterIdentity,
} from "@quipu/cluster";
import type { Clock, Disk, KeyValueStore, Random } from "@quipu/core";
import { CounterMachine, type CounterMutation } from "@quipu/counters";
import type { LogMutation, MetadataStore, VirtualLog } from "@quipu/log";
import type { Server } from "./client.ts";
import { openNodeLog, type NodeLog } from "./node-log.ts";
import type { SwarmConfiguration } from "./swarm.ts";

/** Every deliberate bug, wherever it lives. */
export interface Mutations {
  readonly counters?: CounterMutation;
  readonly log?: LogMutation;
  readonly replica?: ReplicaMutation;
  readonly checkpointer?: CheckpointerMutation;
}

export interface NodeOptions {
  readonly disk: Disk;
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly swarm: SwarmConfiguration;
  readonly mutations: Mutations;
  readonly onFatal: (error: unknown) => void;
  /** Puts the observing, misbehaving log between the real one and the replica. */
  readonly observe: (log: VirtualLog) => VirtualLog;
  /** Called with the machine as recovery left it, before anybody is served. */
  readonly recovered: (node: SimulatedNode) => void;
}

const identityKey = "node";

export class SimulatedNode implements Server {
  readonly #options: NodeOptions;
  #log: NodeLog | undefined;
  #observed: VirtualLog | undefined;
  #replica: Replica | undefined;
  #checkpointer: Checkpointer | undefined;
  #isServing = false;

  constructor(options: NodeOptions) {
    this.#options = options;
  }

  get isServing(): boolean {
    return this.#isServing;
  }

  /** From the moment at which the machine is loaded. */
  get hasDoor(): boolean {
    return this.#replica !== undefined;
  }

  get door(): Replica {
    return this.#replica as Replica;
  }

  get machine(): CounterMachine {
    return this.door.machine;
  }

  /** The log as other writers reach it: through the misbehaving engine. */
  get log(): VirtualLog {
    return this.#observed as VirtualLog;
  }

  /** The log itself, for what a misbehaving engine does later. */
  get innerLog(): VirtualLog {
    return (this.#log as NodeLog).log;
  }

  async start(): Promise<void> {
    const { disk, store, clock, random, swarm, mutations, onFatal } = this.#options;
    const walMutation = mutations.log === undefined ? {} : { mutation: mutations.log };
    const { segmentBytes, frameBytesMax } = swarm;
    this.#log = await openNodeLog({ disk, clock, random, segmentBytes, frameBytesMax, onFatal, ...walMutation });
    const machine = new CounterMachine({
      seed: random.uint32(),
      ...(mutations.counters === undefined ? {} : { mutation: mutations.counters }),
    });
    await loadMachine(store, machine);
    const identity = await raiseIncarnation(this.#log.metadata);
    const log = this.#options.observe(this.#log.log);
    this.#observed = log;
    const { recordsInFlightMax, recordBytesTarget, queuedItemsMax } = swarm;
    this.#replica = new Replica({
      log,
      machine,
      clock,
      identity,
      limits: { recordsInFlightMax, recordBytesTarget, queuedItemsMax },
      onFatal,
      ...(mutations.replica === undefined ? {} : { mutation: mutations.replica }),
    });
    await this.#replica.start();
    this.#options.recovered(this);
    this.#checkpointer = new Checkpointer({
      store,
      machine,
      log,
      clock,
      onFatal,
      settings: { intervalMs: swarm.checkpointIntervalMs, sliceMs: swarm.sliceMs, pauseMs: 0.5 },
      ...(mutations.checkpointer === undefined ? {} : { mutation: mutations.checkpointer }),
    });
    this.#checkpointer.start();
    this.#isServing = true;
  }

  /** A checkpoint out of turn. At most one at a time. */
  async checkpoint(): Promise<void> {
    await this.#checkpointer?.checkpoint();
  }

  /** An orderly stop, in the order of packages/server. */
  async stop(): Promise<void> {
    this.#isServing = false;
    await this.door.drain();
    await this.#checkpointer?.stop();
    await this.#checkpointer?.checkpoint();
    this.door.close();
    await this.#log?.close();
  }
}

/** As packages/server does it, without its decoder. */
async function raiseIncarnation(metadata: MetadataStore): Promise<WriterIdentity> {
  const stored = await metadata.get(identityKey);
  const incarnation = (stored === undefined ? 0 : Number(new TextDecoder().decode(stored.value))) + 1;
  const value = new TextEncoder().encode(`${incarnation}`);
  const raised = await metadata.compareAndSet(identityKey, stored?.version ?? 0, value);
  if (!raised) throw new Error("the incarnation was raised by somebody else");
  return { node: 1, incarnation };
}
