/** ioredis, unchanged: INCR alone, INCR with a WAIT of its own, or one WAIT for all that was called meanwhile. */
import { Redis } from "ioredis";
import { changing, type CountingClient } from "./counting-client.ts";

const waitReplicas = 1;
const waitTimeoutMs = 5_000;
/** WAIT blocks its connection; so many, because 64 callers are the usual load and more of them were not faster. */
const waitConnectionsMax = 64;

function openConnection(ports: readonly number[], enableAutoPipelining: boolean): Redis {
  return new Redis({ port: ports[0] ?? 0, host: "127.0.0.1", enableAutoPipelining });
}

async function readAll(redis: Redis, keys: readonly string[]): Promise<readonly bigint[]> {
  return (await redis.mget(...keys)).map((text) => BigInt(text ?? "0"));
}

export function openRedis(ports: readonly number[]): CountingClient {
  const redis = openConnection(ports, true);
  return {
    increment: (key) => changing(() => redis.incr(key)),
    read: (keys) => readAll(redis, keys),
    close: () => redis.quit(),
  };
}

/** Each call waits for a replica by itself, on one of a pool of connections. */
export function openRedisWithWait(ports: readonly number[], callers: number): CountingClient {
  const pool = Array.from({ length: Math.min(callers, waitConnectionsMax) }, () => openConnection(ports, false));
  let turn = 0;
  return {
    increment: (key) =>
      changing(async () => {
        const redis = pool[turn++ % pool.length] as Redis;
        await executeAll(redis, [key]);
      }),
    read: (keys) => readAll(pool[0] as Redis, keys),
    close: () => Promise.all(pool.map((redis) => redis.quit())),
  };
}

interface WaitingCall {
  readonly key: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What is called while a batch is on its way makes the next batch. */
export function openRedisWithBatchedWait(ports: readonly number[]): CountingClient {
  const redis = openConnection(ports, false);
  let waiting: WaitingCall[] = [];
  let isBusy = false;
  const flush = async (): Promise<void> => {
    isBusy = true;
    // The callers that the last batch woke call again before the next is sealed.
    await new Promise((resolve) => setImmediate(resolve));
    const batch = waiting;
    waiting = [];
    try {
      await executeAll(
        redis,
        batch.map(({ key }) => key),
      );
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    isBusy = false;
    if (waiting.length > 0) void flush();
  };
  return {
    increment: (key) =>
      changing(
        () =>
          new Promise<void>((resolve, reject) => {
            waiting.push({ key, resolve, reject });
            if (!isBusy) void flush();
          }),
      ),
    read: (keys) => readAll(redis, keys),
    close: () => redis.quit(),
  };
}

/** Increments all keys and waits until a replica has them, in one write; throws if any reply says otherwise. */
async function executeAll(redis: Redis, keys: readonly string[]): Promise<void> {
  const pipeline = redis.pipeline();
  for (const key of keys) pipeline.incr(key);
  pipeline.wait(waitReplicas, waitTimeoutMs);
  const replies = (await pipeline.exec()) ?? [];
  const failure = replies.find(([error]) => error !== null)?.[0];
  if (failure !== undefined && failure !== null) throw failure;
  const acknowledging = Number(replies.at(-1)?.[1]);
  if (!(acknowledging >= waitReplicas)) throw new Error(`WAIT: ${acknowledging} replicas after ${waitTimeoutMs} ms`);
}
