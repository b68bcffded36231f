/** A cluster of Debian's etcd on the loopback, with its own settings: every write is synced by a majority. */
import { join } from "node:path";
import { freePorts, type Peer, removeDirectory, ServerProcess, temporaryDirectory, untilReady } from "./processes.ts";

const program = "/usr/bin/etcd";

export async function startEtcd(nodes = 3): Promise<Peer> {
  const directory = await temporaryDirectory("etcd");
  const ports = await freePorts(2 * nodes);
  const clientPorts = ports.slice(0, nodes);
  const peerPorts = ports.slice(nodes);
  const url = (port: number | undefined): string => `http://127.0.0.1:${port}`;
  const servers = clientPorts.map(
    (port, place) =>
      new ServerProcess(program, [
        ...["--name", `e${place + 1}`, "--data-dir", join(directory, `e${place + 1}`)],
        ...["--listen-client-urls", url(port), "--advertise-client-urls", url(port)],
        ...["--listen-peer-urls", url(peerPorts[place]), "--initial-advertise-peer-urls", url(peerPorts[place])],
        ...["--initial-cluster", peerPorts.map((peer, at) => `e${at + 1}=${url(peer)}`).join(",")],
        ...["--initial-cluster-state", "new", "--initial-cluster-token", directory],
        ...["--logger", "zap", "--log-level", "error"],
      ]),
  );
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.end("SIGKILL")));
    await removeDirectory(directory);
  };
  try {
    await Promise.all(
      servers.map((server, place) =>
        untilReady(`etcd ${place + 1}`, server, async () => {
          const health = (await (await fetch(`${url(clientPorts[place])}/health`)).json()) as { health?: unknown };
          return health.health === "true";
        }),
      ),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: `etcd, ${nodes} nodes`,
    ports: clientPorts,
    pids: () => servers.map((server) => server.pid),
    stop,
  };
}
