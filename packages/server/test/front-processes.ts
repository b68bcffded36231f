/** Nodes in front of an etcd or a ZooKeeper as real processes, and load whose count is exact. */
import { connect } from "@quipu/client";
import { ChildServer, RawConnection } from "quipu/testing";

/** Three services and as many nodes share two cores. */
const startTimeoutMs = 60_000;

export function startFront(dataDirectory: string, engine: string, endpoints: readonly string[]): Promise<ChildServer> {
  const extraArguments = ["--engine", engine, "--endpoints", endpoints.join(",")];
  return ChildServer.start({ dataDirectory, extraArguments, startTimeoutMs });
}

/** Adds one at a time, each exactly once whatever happens, until it is told to stop. */
export class Load {
  readonly #running: Promise<void>;
  #isStopped = false;
  #added = 0;
  #onAdded: (() => void) | undefined;

  constructor(url: string, key: string, callers = 4) {
    this.#running = this.#run(url, key, callers);
    this.#running.catch(() => undefined); // Seen by whoever stops it.
  }

  get added(): number {
    return this.#added;
  }

  /** Resolves when `count` more were acknowledged. */
  async more(count: number): Promise<void> {
    const wanted = this.#added + count;
    const reached = new Promise<void>((resolve) => {
      this.#onAdded = () => {
        if (this.#added >= wanted) resolve();
      };
    });
    await Promise.race([reached, this.#running]);
  }

  /** How many were acknowledged. */
  async stop(): Promise<number> {
    this.#isStopped = true;
    await this.#running;
    return this.#added;
  }

  async #run(url: string, key: string, callers: number): Promise<void> {
    const client = await connect(url, { backoffFirstMs: 5, backoffMaxMs: 100, requestTimeoutMs: 0 });
    const add = async (): Promise<void> => {
      while (!this.#isStopped) {
        await client.counter(key).add();
        this.#added += 1;
        this.#onAdded?.();
      }
    };
    try {
      await Promise.all(Array.from({ length: callers }, add));
    } finally {
      await client.close();
    }
  }
}

export function ask(server: ChildServer, ...words: readonly string[]): Promise<unknown> {
  return RawConnection.askOnce(server.respPort, ...words);
}

export interface ShownStatus {
  readonly ready: boolean;
  readonly node: number;
  readonly engine: string;
  readonly waitingFor?: string | null;
  readonly chain: readonly { readonly base: string; readonly engine: string; readonly end: string | null }[];
  readonly shards: readonly {
    readonly appliedPosition: string;
    readonly stateHash: string | null;
    readonly recordsApplied: number;
  }[];
}

export async function statusOf(server: ChildServer): Promise<ShownStatus> {
  const response = await fetch(`${server.httpUrl}/v1/cluster`);
  return (await response.json()) as ShownStatus;
}

/** Looks again and again; what it waits for comes by itself, sooner or later. */
export async function eventually<Result>(what: string, look: () => Promise<Result | undefined>): Promise<Result> {
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
    if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
