/** An ensemble of Debian's ZooKeeper on the loopback: every write is synced by a majority (forceSync is its default). */
import { mkdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { freePorts, type Peer, removeDirectory, ServerProcess, temporaryDirectory, untilReady } from "./processes.ts";

const jar = "/usr/share/java/zookeeper.jar";
const java = "/usr/bin/java";
/** Enough that collections do not show with 100,000 nodes; three fit beside everything else. */
const heap = ["-Xms512m", "-Xmx512m"];

export async function startZooKeeper(nodes = 3): Promise<Peer> {
  const directory = await temporaryDirectory("zookeeper");
  const ports = await freePorts(3 * nodes);
  const clientPorts = ports.slice(0, nodes);
  const members = clientPorts.map(
    (_, place) => `server.${place + 1}=127.0.0.1:${ports[nodes + place]}:${ports[2 * nodes + place]}`,
  );
  const configurations = await Promise.all(
    clientPorts.map((port, place) => configure(join(directory, `z${place + 1}`), place + 1, port, members)),
  );
  const servers = configurations.map(
    (file) =>
      new ServerProcess(java, [
        ...heap,
        ...["-Dzookeeper.admin.enableServer=false", "-Dzookeeper.4lw.commands.whitelist=srvr"],
        ...["-cp", jar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", file],
      ]),
  );
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.end("SIGKILL")));
    await removeDirectory(directory);
  };
  try {
    await Promise.all(
      servers.map((server, place) =>
        untilReady(`ZooKeeper ${place + 1}`, server, async () =>
          /^Mode: (leader|follower|standalone)/m.test(await fourLetterWord(clientPorts[place] ?? 0, "srvr")),
        ),
      ),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: `ZooKeeper, ${nodes} nodes`,
    ports: clientPorts,
    pids: () => servers.map((server) => server.pid),
    stop,
  };
}

async function configure(directory: string, id: number, port: number, members: readonly string[]): Promise<string> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "myid"), `${id}\n`);
  const file = join(directory, "zoo.cfg");
  const lines = [
    "tickTime=2000",
    "initLimit=10",
    "syncLimit=5",
    `dataDir=${directory}`,
    `clientPort=${port}`,
    "clientPortAddress=127.0.0.1",
    "maxClientCnxns=0",
    ...members,
  ];
  await writeFile(file, `${lines.join("\n")}\n`);
  return file;
}

/** ZooKeeper's administrative commands: four letters there, some lines back, and the connection ends. */
function fourLetterWord(port: number, word: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(word));
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => (answer += text));
    socket.once("error", reject);
    socket.once("close", () => resolve(answer));
  });
}
