/** ZooKeeper counts by reading a node and setting it if its version is still the same; callers of one key queue. */
import zookeeper, { type Client } from "node-zookeeper-client";
import { changing, type CountingClient } from "./counting-client.ts";
import { KeyLocks } from "./key-locks.ts";

interface Found {
  readonly value: bigint;
  readonly version: number;
}

export async function openZooKeeper(ports: readonly number[]): Promise<CountingClient> {
  const client = zookeeper.createClient(ports.map((port) => `127.0.0.1:${port}`).join(","));
  await new Promise<void>((resolve) => {
    client.once("connected", resolve);
    client.connect();
  });
  const locks = new KeyLocks();
  const increment = async (key: string): Promise<void> => {
    for (;;) {
      const found = await read(client, key);
      if (found === undefined) await create(client, key);
      else if (await changing(() => setIfUnchanged(client, key, found))) return;
    }
  };
  return {
    increment: (key) => locks.hold(key, () => increment(key)),
    read: (keys) => Promise.all(keys.map(async (key) => (await read(client, key))?.value ?? 0n)),
    close: async () => client.close(),
  };
}

const pathOf = (key: string): string => `/${key}`;

function hasCode(error: Error, code: number): boolean {
  return error instanceof zookeeper.Exception && error.getCode() === code;
}

/** Undefined: there is no such node. */
function read(client: Client, key: string): Promise<Found | undefined> {
  return new Promise((resolve, reject) => {
    client.getData(pathOf(key), (error, data, stat) => {
      if (error === null) resolve({ value: BigInt(data.toString()), version: stat.version });
      else if (hasCode(error, zookeeper.Exception.NO_NODE)) resolve(undefined);
      else reject(error);
    });
  });
}

function create(client: Client, key: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.create(pathOf(key), Buffer.from("0"), (error) => {
      if (error === null || hasCode(error, zookeeper.Exception.NODE_EXISTS)) resolve();
      else reject(error);
    });
  });
}

/** False: another was quicker. */
function setIfUnchanged(client: Client, key: string, { value, version }: Found): Promise<boolean> {
  return new Promise((resolve, reject) => {
    client.setData(pathOf(key), Buffer.from(String(value + 1n)), version, (error) => {
      if (error === null) resolve(true);
      else if (hasCode(error, zookeeper.Exception.BAD_VERSION)) resolve(false);
      else reject(error);
    });
  });
}
