/** Every kind of client that a load can run with, by name. */
import { unreachable } from "@quipu/core";
import type { CountingClient } from "./counting-client.ts";
import { openEtcd } from "./etcd.ts";
import { openQuipu } from "./quipu.ts";
import { openRedis, openRedisWithBatchedWait, openRedisWithWait } from "./redis.ts";
import { openZooKeeper } from "./zookeeper.ts";

export const clientKinds = [
  "sdk",
  "ioredis",
  "redis-wait",
  "redis-wait-batch",
  "etcd-lock",
  "etcd-retry",
  "zookeeper-lock",
] as const;

export type ClientKind = (typeof clientKinds)[number];

export async function openClient(kind: ClientKind, ports: readonly number[], callers: number): Promise<CountingClient> {
  switch (kind) {
    case "sdk":
      return await openQuipu(ports);
    case "ioredis":
      return openRedis(ports);
    case "redis-wait":
      return openRedisWithWait(ports, callers);
    case "redis-wait-batch":
      return openRedisWithBatchedWait(ports);
    case "etcd-lock":
      return openEtcd(ports, "lock");
    case "etcd-retry":
      return openEtcd(ports, "retry");
    case "zookeeper-lock":
      return await openZooKeeper(ports);
    default:
      return unreachable(kind);
  }
}
