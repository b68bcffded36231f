/** etcd counts by reading and then writing if nothing changed in between; callers of one key queue, or try again. */
import { Etcd3 } from "etcd3";
import { changing, type CountingClient } from "./counting-client.ts";
import { KeyLocks } from "./key-locks.ts";

/** A call that the client holds back for ever would hang the load. */
const callDeadlineMs = 30_000;

export function openEtcd(ports: readonly number[], mode: "lock" | "retry"): CountingClient {
  const client = new Etcd3({
    hosts: ports.map((port) => `http://127.0.0.1:${port}`),
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + callDeadlineMs }),
  });
  const locks = new KeyLocks();
  const increment = async (key: string): Promise<void> => {
    for (;;) {
      const found = (await client.get(key).exec()).kvs[0];
      const next = String(BigInt(found === undefined ? "0" : found.value.toString()) + 1n);
      // The client returns errors for writes that were applied: after one, nothing is tried again, only read back. The
      // condition keeps such a write, when it comes late, from undoing another.
      const { succeeded } = await changing(() =>
        client
          .if(key, "Mod", "==", found?.mod_revision ?? 0)
          .then(client.put(key).value(next))
          .commit(),
      );
      if (succeeded) return;
    }
  };
  return {
    increment: mode === "lock" ? (key) => locks.hold(key, () => increment(key)) : increment,
    read: (keys) => Promise.all(keys.map(async (key) => BigInt((await client.get(key).string()) ?? "0"))),
    close: async () => client.close(),
  };
}
