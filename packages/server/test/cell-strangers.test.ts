/** What does not belong to a cell knocks at its peer ports, and processes of cells are stopped at odd moments. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import path from "node:path";
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChildServer, freePort, LocalCell, type LocalNode, RawConnection } from "quipu/testing";
import { temporaryDirectory } from "./temporary.ts";

const patienceMs = 60_000;
const launcher = path.resolve(import.meta.dirname, "..", "bin", "quipu.js");

async function until<Result>(what: string, look: () => Promise<Result | undefined>): Promise<Result> {
  const endMs = performance.now() + patienceMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > endMs) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("strangers at the peer port", () => {
  const directory = temporaryDirectory();
  let cell: LocalCell;
  const strangers: ChildServer[] = [];

  beforeAll(async () => {
    cell = await LocalCell.start({ directory, nodes: 3, startTimeoutMs: 90_000 });
  }, 120_000);

  afterAll(() => {
    cell.killNow();
    for (const stranger of strangers) stranger.killNow();
  });

  /** Knocks, and waits until it is thrown out. */
  async function knock(port: number, bytes: Uint8Array): Promise<void> {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => undefined);
    socket.resume();
    socket.write(bytes);
    await once(socket, "close");
  }

  /** A process that names the nodes of the cell; resolves when it says that somebody refuses it. */
  async function strange(name: string, dataDirectory: string, secretFile: string): Promise<string> {
    const peers = cell.nodes.map((node) => `${node.name}=127.0.0.1:${node.peerPort}`).join(",");
    const port = String(await freePort());
    const stranger = await ChildServer.prepare({
      dataDirectory,
      startTimeoutMs: patienceMs,
      extraArguments: ["--name", name, "--cell-peers", peers, "--cell-secret-file", secretFile, "--peer-port", port],
    });
    strangers.push(stranger);
    // It never becomes ready.
    stranger.restart().catch(() => undefined);
    const problem = await until("a refusal", async () => {
      const status = await fetch(`${stranger.httpUrl}/v1/cluster`).then(
        (response) => response.json() as Promise<{ cell?: { nodes: { problem: string | null }[] } }>,
        () => undefined,
      );
      return (
        status?.cell?.nodes.map((node) => node.problem).find((each) => each?.startsWith("refused") === true) ??
        undefined
      );
    });
    expect(await stranger.stop("SIGTERM")).toMatchObject({ code: 0 });
    return problem;
  }

  test(
    "garbage, absurd lengths, wrong secrets, a second n2, another cell's n3: the cell goes on",
    { timeout: 180_000 },
    async () => {
      const [one, , three] = cell.nodes as readonly [LocalNode, LocalNode, LocalNode];
      await knock(one.peerPort, Buffer.from("GET / HTTP/1.1\r\n\r\n"));
      await knock(one.peerPort, Buffer.from([0xff, 0xff, 0xff, 0x7f, 1, 0, 0]));
      const otherSecret = path.join(directory, "other-secret");
      writeFileSync(otherSecret, "another secret, as long as it must be");
      expect(await strange("n2", path.join(directory, "liar"), otherSecret)).toContain("wrong cell secret");
      expect(await strange("n2", path.join(directory, "second"), cell.secretFile)).toContain(
        "another process runs as n2",
      );
      await three.server.stop("SIGTERM");
      const alone = await ChildServer.start({
        dataDirectory: path.join(directory, "alone"),
        extraArguments: [
          "--name",
          "n3",
          "--cell-peers",
          `n3=127.0.0.1:${await freePort()}`,
          "--cell-secret-file",
          cell.secretFile,
        ],
      });
      await alone.stop("SIGTERM");
      expect(await strange("n3", path.join(directory, "alone"), cell.secretFile)).toMatch(/is of cell [0-9a-f]{12}/);
      await three.server.restart();
      const connection = await RawConnection.open(three.server.respPort);
      expect(await connection.ask("INCR", "unharmed")).toBe(1);
      connection.close();
      const { stderr } = await one.server.stop("SIGTERM");
      const refusals = stderr.split("\n").filter((line) => line.includes("refused a node"));
      expect(refusals.filter((line) => line.includes("127.0.0.1")).length).toBe(refusals.length);
      for (const reason of ["unknown kind", "limit", "wrong cell secret", "another process runs as n2", "is of cell"]) {
        expect(
          refusals.some((line) => line.includes(reason)),
          `${reason} in:\n${refusals.join("\n")}`,
        ).toBe(true);
      }
    },
  );
});

describe("stopping", () => {
  const directory = temporaryDirectory();

  test("a node that waits for its cell stops in order", { timeout: 120_000 }, async () => {
    const secretFile = path.join(directory, "secret");
    writeFileSync(secretFile, "a secret as long as it must be");
    const peers = `n1=127.0.0.1:${await freePort()},n2=127.0.0.1:${await freePort()},n3=127.0.0.1:${await freePort()}`;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const server = await ChildServer.prepare({
        dataDirectory: path.join(directory, "waiting"),
        extraArguments: ["--name", "n1", "--cell-peers", peers, "--cell-secret-file", secretFile],
      });
      server.restart().catch(() => undefined);
      await until("a status", async () => {
        const response = await fetch(`${server.httpUrl}/v1/cluster`).catch(() => undefined);
        return response?.ok === true ? true : undefined;
      });
      expect(await server.stop(signal)).toMatchObject({ code: 0 });
    }
  });

  test("quipu dev stops its nodes with itself; a taken port is named", { timeout: 180_000 }, async () => {
    const ports = { resp: await freePort(), http: await freePort(), peer: await freePort() };
    const words = [
      "dev",
      "--nodes",
      "3",
      "--resp-port",
      `${ports.resp}`,
      "--http-port",
      `${ports.http}`,
      "--peer-port",
      `${ports.peer}`,
    ];
    const start = () => spawn(process.execPath, [launcher, ...words], { stdio: ["ignore", "pipe", "pipe"] });
    const dev = start();
    let output = "";
    for (const stream of [dev.stdout, dev.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    await until("three nodes", () => Promise.resolve(output.includes("3 nodes are ready") ? true : undefined));
    const second = start();
    let complaint = "";
    second.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
    const [secondCode] = (await once(second, "close")) as [number];
    expect(secondCode).toBe(2);
    expect(complaint).toMatch(/port/);
    dev.kill("SIGINT");
    const [code] = (await once(dev, "close")) as [number];
    expect(code).toBe(0);
    for (let index = 0; index < 3; index++) {
      await expect(RawConnection.open(ports.resp + index * 10)).rejects.toThrow("ECONNREFUSED");
    }
  });
});
