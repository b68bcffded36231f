/** Debian's redis-server on the loopback, an AOF synced before every answer: a single one, or a primary with replicas. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ask } from "./ask.ts";
import { freePorts, type Peer, removeDirectory, ServerProcess, temporaryDirectory, untilReady } from "./processes.ts";

const program = "/usr/bin/redis-server";

/** `ports` holds the primary's only: WAIT is asked of it, and replicas answer no writes. */
export async function startRedisWithReplicas(replicas: number): Promise<Peer> {
  const directory = await temporaryDirectory("redis");
  const ports = await freePorts(1 + replicas);
  const [primary = 0] = ports;
  const servers = await Promise.all(
    ports.map(async (port) => {
      const data = join(directory, String(port));
      await mkdir(data);
      return new ServerProcess(program, [
        ...["--port", String(port), "--bind", "127.0.0.1", "--dir", data, "--save", ""],
        ...["--appendonly", "yes", "--appendfsync", "always"],
        ...(port === primary ? [] : ["--replicaof", "127.0.0.1", String(primary)]),
      ]);
    }),
  );
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.end("SIGKILL")));
    await removeDirectory(directory);
  };
  const connected = new RegExp(`^connected_slaves:${replicas}\\r$`, "m");
  try {
    await Promise.all(
      servers.map((server, place) =>
        untilReady(
          `redis-server ${place + 1}`,
          server,
          async () => (await ask(ports[place] ?? 0, "PING")) === "+PONG\r\n",
        ),
      ),
    );
    // Online, not only connected: WAIT counts replicas that have had their first copy.
    await untilReady("replication", servers[0] as ServerProcess, async () => {
      const information = await ask(primary, "INFO replication");
      return connected.test(information) && (information.match(/state=online/g) ?? []).length === replicas;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: replicas === 0 ? "redis" : `redis + ${replicas} replicas`,
    ports: [primary],
    pids: () => servers.map((server) => server.pid),
    stop,
  };
}
