/**
 * The model of a coordination service as a log's home: several handles, one for each node, on one shared state. Requests take
 * time, get lost on the way there or back, or are carried out long after their sender gave them up. Clock and chance are given.
 */
import { type Clock, invariant, type Lsn, QuipuError, type Random } from "@quipu/core";
import {
  type BlobStore,
  type ExternalLog,
  type ExternalMutation,
  type ExternalService,
  type LogHead,
  memoryMetadataStore,
  type MetadataStore,
} from "@quipu/log";
import { ModelLog } from "./model-log.ts";

/** Chances are of 1000 requests. */
export interface ModelServiceFaults {
  /** One way. */
  readonly delayMsMax: number;
  /** A request without an answer ends after this. */
  readonly timeoutMs: number;
  readonly requestsLost: number;
  readonly answersLost: number;
  /** Carried out after its sender has given it up, up to `lateMsMax` later. */
  readonly requestsLate: number;
  readonly lateMsMax: number;
  readonly hintsMissed: number;
  /** Hints that come for nothing, after an append or a look, with or without a number; the number may be wrong. */
  readonly hintsWrong: number;
  /** Reads that show no more than what the handle has seen of the head. */
  readonly readsOld: number;
}

export const noFaults: ModelServiceFaults = {
  delayMsMax: 0,
  timeoutMs: 1000,
  requestsLost: 0,
  answersLost: 0,
  requestsLate: 0,
  lateMsMax: 0,
  hintsMissed: 0,
  hintsWrong: 0,
  readsOld: 0,
};

export interface ModelServiceOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly faults?: Partial<ModelServiceFaults>;
  readonly valueBytesMax?: number;
  /** All logs together hold this much; beyond, LOG_FULL. */
  readonly bytesMax?: number;
  readonly mutation?: ExternalMutation;
}

/** The service itself. */
export class ModelCluster {
  readonly options: ModelServiceOptions;
  readonly logs: Map<string, ModelLog> = new Map();
  readonly blobs: Map<string, Uint8Array> = new Map();
  readonly registers: MetadataStore = memoryMetadataStore();
  faults: ModelServiceFaults;
  /** Nobody is reached. */
  isDown = false;

  constructor(options: ModelServiceOptions) {
    this.options = options;
    this.faults = { ...noFaults, ...options.faults };
  }

  /** A handle of one node; closing it is that node's death: what is on its way is carried out, its promises never settle. */
  connect(): ExternalService {
    return new ModelService(this);
  }

  log(name: string): ModelLog {
    const log = this.logs.get(name);
    if (log === undefined) throw new QuipuError("LOG_CORRUPT", `model: there is no log ${name}`);
    return log;
  }

  checkSpace(more: number): void {
    let bytes = more;
    for (const log of this.logs.values()) bytes += log.bytes;
    if (bytes > (this.options.bytesMax ?? Infinity)) throw new QuipuError("LOG_FULL", "model: no space");
  }
}

class ModelService implements ExternalService {
  readonly engine = "model";
  readonly description = "model";
  readonly valueBytesMax: number;
  readonly registers: MetadataStore;
  readonly blobs: BlobStore;
  readonly cluster: ModelCluster;
  isClosed = false;

  constructor(cluster: ModelCluster) {
    this.cluster = cluster;
    this.valueBytesMax = cluster.options.valueBytesMax ?? 1024 * 1024;
    this.registers = {
      get: (key) => this.call("read", () => cluster.registers.get(key)),
      compareAndSet: (key, version, value) =>
        this.call("write", () => cluster.registers.compareAndSet(key, version, value)),
    };
    this.blobs = {
      put: (name, bytes) => this.call("write", () => void cluster.blobs.set(name, bytes.slice())),
      get: (name) => this.call("read", () => cluster.blobs.get(name)),
      remove: (name) => this.call("write", () => void cluster.blobs.delete(name)),
      list: (prefix) =>
        this.call("read", () => [...cluster.blobs.keys()].filter((name) => name.startsWith(prefix)).sort()),
    };
  }

  createLog(log: string): Promise<void> {
    const { logs, options } = this.cluster;
    return this.call("write", () => {
      if (!logs.has(log)) logs.set(log, new ModelLog(`model, log ${log}`, options.mutation));
    });
  }

  async openLog(log: string): Promise<ExternalLog> {
    await this.call("read", () => this.cluster.log(log));
    return new ModelHandle(this, log);
  }

  removeLog(log: string): Promise<void> {
    return this.call("write", () => void this.cluster.logs.delete(log));
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  /** One request: what happens to it on its way is drawn. */
  call<Result>(kind: "read" | "write", effect: () => Result | Promise<Result>): Promise<Result> {
    const { cluster } = this;
    const { clock, random } = cluster.options;
    const { delayMsMax, timeoutMs, requestsLost, answersLost, requestsLate, lateMsMax } = cluster.faults;
    const delay = (): number => random.below(delayMsMax + 1);
    const draw = random.below(1000);
    return new Promise((resolve, reject) => {
      const after = (ms: number, action: () => void): void => void clock.setTimer(ms, action);
      const settle = (action: () => void): void => {
        if (!this.isClosed) action();
      };
      const noAnswer = (): void =>
        after(timeoutMs, () =>
          settle(() => reject(new QuipuError(kind === "read" ? "NOQUORUM" : "LOG_APPEND_UNKNOWN", "model: no answer"))),
        );
      const carryOut = (answer: boolean): void => {
        new Promise<Result>((done) => done(effect())).then(
          (result) => answer && after(delay(), () => settle(() => resolve(result))),
          (error: unknown) => answer && after(delay(), () => settle(() => reject(error as Error))),
        );
      };
      if (this.isClosed) return;
      after(delay(), () => {
        if (cluster.isDown) {
          // Refused, or swallowed.
          if (random.chance(1, 2)) settle(() => reject(new QuipuError("NOQUORUM", "model: refused")));
          else noAnswer();
        } else if (draw < requestsLost) noAnswer();
        else if (draw < requestsLost + answersLost) {
          carryOut(false);
          noAnswer();
        } else if (draw < requestsLost + answersLost + requestsLate) {
          noAnswer();
          after(timeoutMs + random.below(lateMsMax + 1), () => carryOut(false));
        } else carryOut(true);
      });
    });
  }
}

class ModelHandle implements ExternalLog {
  readonly #service: ModelService;
  readonly #name: string;
  /** The highest `nextBatch` that was shown. */
  #seen = 1;

  constructor(service: ModelService, name: string) {
    this.#service = service;
    this.#name = name;
  }

  async head(): Promise<LogHead> {
    return this.#shown(await this.#service.call("read", () => this.#log.head()));
  }

  async append(at: LogHead, batch: Uint8Array, tail: Lsn): Promise<LogHead | undefined> {
    invariant(batch.length <= this.#service.valueBytesMax, `a batch of ${batch.length} bytes`);
    const head = await this.#service.call("write", () => {
      this.#service.cluster.checkSpace(batch.length);
      return this.#log.append(at, batch, tail);
    });
    return head === undefined ? undefined : this.#shown(head);
  }

  read(from: number, bytesMax: number): Promise<readonly Uint8Array[]> {
    const seen = this.#seen;
    const { options, faults } = this.#service.cluster;
    return this.#service.call("read", () =>
      this.#log.read(from, options.random.below(1000) < faults.readsOld ? seen : Infinity, bytesMax),
    );
  }

  seal(): Promise<void> {
    return this.#service.call("write", () => this.#log.seal());
  }

  trim(firstBatch: number, trimmedUpTo: Lsn): Promise<void> {
    return this.#service.call("write", () => this.#log.trim(firstBatch, trimmedUpTo));
  }

  watch(onHint: (nextBatch?: number) => void): { readonly close: () => void } {
    const { random, clock } = this.#service.cluster.options;
    const log = this.#log;
    const watcher = (nextBatch: number): void => {
      const { delayMsMax, hintsMissed, hintsWrong } = this.#service.cluster.faults;
      if (random.below(1000) < hintsMissed) return;
      const isWrong = random.below(1000) < hintsWrong;
      const shown = isWrong ? nextBatch + random.below(5) : random.chance(1, 4) ? undefined : nextBatch;
      clock.setTimer(random.below(delayMsMax + 1), () => {
        if (log.watchers.has(watcher) && !this.#service.isClosed) onHint(shown);
      });
    };
    log.watchers.add(watcher);
    return { close: () => void log.watchers.delete(watcher) };
  }

  get #log(): ModelLog {
    return this.#service.cluster.log(this.#name);
  }

  #shown(head: LogHead): LogHead {
    this.#seen = Math.max(this.#seen, head.nextBatch);
    return head;
  }
}
