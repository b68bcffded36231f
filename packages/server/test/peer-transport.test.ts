/** The transport between nodes, on real sockets: what is sent arrives, and who is refused is told why. */
import net from "node:net";
import { describe, expect, test } from "vitest";
import { addressOf, introduce, secret, someBytes, startNode, type TestNode } from "./peer-nodes.ts";
import { until } from "./until.ts";

async function pair(): Promise<{ readonly n1: TestNode; readonly n2: TestNode }> {
  const nodes = { n1: await startNode("n1", { member: 1 }), n2: await startNode("n2", { member: 2 }) };
  introduce(nodes);
  await until(() => nodes.n1.transport.network.peers().includes(2) && nodes.n2.transport.network.peers().includes(1));
  return nodes;
}

function reasons(node: TestNode): readonly string[] {
  return node.lines.map(({ fields }) => String(fields["reason"]));
}

describe("what is sent arrives", () => {
  test("frames both ways, in order, small and large, from who sent them", async () => {
    const { n1, n2 } = await pair();
    const small = someBytes(5000, 100);
    const large = [new Uint8Array(3_000_000).fill(1), new Uint8Array(16 * 1024 * 1024).fill(2), Uint8Array.of(3)];
    for (const frame of [...small, ...large]) n1.transport.network.send(2, frame);
    for (const frame of small) n2.transport.network.send(1, frame);
    await until(() => n2.frames.length === small.length + large.length && n1.frames.length === small.length);
    const expected = [...small, ...large];
    expect(
      n2.frames.every(
        ({ from, bytes }, at) => from === 1 && Buffer.compare(bytes, expected[at] ?? bytes.subarray(1)) === 0,
      ),
    ).toBe(true);
    expect(
      n1.frames.every(
        ({ from, bytes }, at) => from === 2 && Buffer.compare(bytes, small[at] ?? bytes.subarray(1)) === 0,
      ),
    ).toBe(true);
  });

  test("small frames keep no chunk alive", async () => {
    const { n1, n2 } = await pair();
    for (const frame of someBytes(2000, 100)) n1.transport.network.send(2, frame);
    await until(() => n2.frames.length === 2000);
    const kept = new Set(n2.frames.map(({ bytes }) => bytes.buffer));
    let bytes = 0;
    for (const buffer of kept) bytes += buffer.byteLength;
    expect(bytes).toBeLessThan(4 * n2.frames.reduce((sum, frame) => sum + frame.bytes.length, 0) + 4096);
  });

  test("control messages by name; back over the link of one that we do not know", async () => {
    const n1 = await startNode("n1");
    const n2 = await startNode("n2");
    n2.transport.setPeers(new Map([["n1", addressOf(n1)]]));
    await until(() => n2.reachable.get("n1") === true);
    n2.transport.sendControl("n1", { ask: ["join", 1] });
    await until(() => n1.controls.length === 1);
    expect(n1.controls).toEqual([{ from: "n2", message: { ask: ["join", 1] } }]);
    n1.transport.sendControl("n2", "welcome");
    await until(() => n2.controls.length === 1);
    expect(n2.controls).toEqual([{ from: "n1", message: "welcome" }]);
  });

  test("setSelf and listen make links that say the new thing", async () => {
    const { n1, n2 } = await pair();
    n1.transport.setSelf({ name: "n1", cell: 77, node: 5 });
    n1.transport.network.listen(1029, () => true);
    await until(() => n2.transport.network.peers().includes(1029) && n1.transport.network.peers().includes(2));
    await until(() => n2.status("n1")?.cell === 77);
    expect(n2.status("n1")).toMatchObject({ node: 5, member: 1029, cell: 77 });
    n2.transport.network.send(1, Uint8Array.of(1));
    expect(n2.transport.network.peers()).toEqual([1029]);
  });

  test("a peer that comes back is dialled again", async () => {
    const { n1, n2 } = await pair();
    const address = addressOf(n2);
    await n2.transport.close();
    await until(() => n1.reachable.get("n2") === false);
    const again = await startNode("n2", { member: 1026, listen: address });
    again.transport.setPeers(new Map([["n1", addressOf(n1)]]));
    await until(() => n1.transport.network.peers().includes(1026));
    expect(n1.status("n2")?.problem).toBeUndefined();
  });
});

describe("who is refused is told why", () => {
  async function refusal(first: TestNode, second: TestNode, what: RegExp): Promise<void> {
    const name = "n1";
    second.transport.setPeers(new Map([[name, addressOf(first)]]));
    await until(() => what.test(second.status(name)?.problem ?? ""));
    expect(reasons(first).filter((reason) => what.test(reason))).toHaveLength(1);
    expect(second.reachable.get(name)).toBeUndefined();
  }

  test("another secret", async () => {
    const n2 = await startNode("n2", { secret: Buffer.from("another secret of many bytes") });
    await refusal(await startNode("n1"), n2, /wrong cell secret/);
  });

  test("another cell", async () => {
    const n1 = await startNode("n1", { self: { name: "n1", cell: 1, node: 1 } });
    const n2 = await startNode("n2", { self: { name: "n2", cell: 2, node: 2 } });
    await refusal(n1, n2, /n2 is of cell 000000000002, n1 of cell 000000000001/);
  });

  test("the same node number", async () => {
    const n1 = await startNode("n1", { self: { name: "n1", cell: 1, node: 1 } });
    await refusal(n1, await startNode("n2", { self: { name: "n2", cell: 1, node: 1 } }), /node number 1/);
  });

  test("no common version; the highest common one is taken", async () => {
    const n1 = await startNode("n1", { protocol: { min: 1, max: 2 } });
    const n2 = await startNode("n2", { protocol: { min: 2, max: 9 } });
    n2.transport.setPeers(new Map([["n1", addressOf(n1)]]));
    await until(() => n2.reachable.get("n1") === true);
    const n3 = await startNode("n3", { protocol: { min: 3, max: 4 } });
    await refusal(n1, n3, /no common version: n[13] speaks/);
  });

  test("a name that is not among ours; one that admit refuses", async () => {
    const stern = await startNode("n1", { admit: (hello) => (hello.name === "n2" ? "n2 was removed" : undefined) });
    await refusal(stern, await startNode("n2"), /n2 was removed/);
  });

  test("ourselves", async () => {
    const n1 = await startNode("n1");
    n1.transport.setPeers(new Map([["n9", addressOf(n1)]]));
    await until(() => /itself/.test(n1.status("n9")?.problem ?? ""));
  });

  test("a second live process under one name", async () => {
    const { n1, n2 } = await pair();
    const second = await startNode("n2");
    await refusal(n1, second, /another process runs as n2/);
    expect(n2.reachable.get("n1")).toBe(true);
  });
});

describe("bad input closes one connection", () => {
  async function firstBytes(socket: net.Socket): Promise<string> {
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    await new Promise((resolve) => socket.on("close", resolve));
    return text;
  }

  test("garbage, an absurd length, a frame before authentication", async () => {
    const { n1, n2 } = await pair();
    for (const bytes of [
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.of(255, 255, 255, 255, 1),
      Buffer.of(1, 0, 0, 0, 16, 9),
    ]) {
      const socket = net.connect(n1.transport.port, "127.0.0.1");
      socket.write(bytes);
      expect(await firstBytes(socket)).toMatch(/a frame of/);
    }
    n2.transport.network.send(1, Uint8Array.of(4));
    await until(() => n1.frames.length === 1);
  });

  test("slow-loris is cut off, too many strangers push out the oldest", async () => {
    const settings = { beatMs: 10, handshakeMs: 50, strangersMax: 2 };
    const n1 = await startNode("n1", { settings });
    const sockets = Array.from({ length: 3 }, () => net.connect(n1.transport.port, "127.0.0.1"));
    const texts = await Promise.all(sockets.map(firstBytes));
    expect(texts.filter((text) => text.includes("too many connections"))).toHaveLength(1);
    expect(texts.filter((text) => text.includes("within 50 ms"))).toHaveLength(2);
  });

  test("a damaged datagram closes the connection, and a new one is made", async () => {
    const { n1, n2 } = await pair();
    const seen: number[] = [];
    n1.transport.network.listen(1, (_, frame) => {
      seen.push(frame[0] as number);
      return frame[0] !== 66;
    });
    const before = n2.ups;
    n2.transport.network.send(1, Uint8Array.of(66));
    await until(() => n2.ups > before);
    n2.transport.network.send(1, Uint8Array.of(67));
    await until(() => seen.includes(67));
    expect(reasons(n1)).toContain("sent a datagram with a wrong checksum");
  });
});

interface Proxy {
  readonly port: number;
  /** Nothing gets through any more, not even that a side has closed. */
  swallow: boolean;
  /** Connections that the node behind it has closed itself while it swallowed. */
  closedBehind: number;
  readonly passed: Buffer[];
  close(): void;
}

async function proxyTo(port: number): Promise<Proxy> {
  const sockets: net.Socket[] = [];
  const server = net.createServer((near) => {
    const far = net.connect(port, "127.0.0.1");
    sockets.push(near, far);
    near.on("data", (chunk: Buffer) => {
      if (proxy.swallow) return;
      proxy.passed.push(chunk);
      far.write(chunk);
    });
    far.on("data", (chunk: Buffer) => void (proxy.swallow || near.write(chunk)));
    near.on("error", () => near.destroy());
    far.on("error", () => far.destroy());
    near.on("close", () => void (proxy.swallow || far.destroy()));
    far.on("close", () => {
      if (proxy.swallow) proxy.closedBehind++;
      else near.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: Proxy = {
    port: (server.address() as net.AddressInfo).port,
    swallow: false,
    closedBehind: 0,
    passed: [],
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  return proxy;
}

describe("links that are no links", () => {
  test("one that swallows everything is found out by both sides, and heals", async () => {
    const settings = { beatMs: 20, silenceMs: 200, handshakeMs: 200, backoffMsMin: 5, backoffMsMax: 20 };
    const n1 = await startNode("n1", { settings });
    const n2 = await startNode("n2", { settings });
    const proxy = await proxyTo(n1.transport.port);
    n2.transport.setPeers(new Map([["n1", { host: "127.0.0.1", port: proxy.port }]]));
    await until(() => n2.reachable.get("n1") === true);
    proxy.swallow = true;
    await until(() => n2.reachable.get("n1") === false && proxy.closedBehind > 0);
    expect(reasons(n2).some((reason) => reason.startsWith("nothing heard for"))).toBe(true);
    proxy.swallow = false;
    await until(() => n2.reachable.get("n1") === true);
    proxy.close();
  });

  test("a recorded conversation cannot be repeated", async () => {
    const n1 = await startNode("n1");
    const n2 = await startNode("n2");
    const proxy = await proxyTo(n1.transport.port);
    n2.transport.setPeers(new Map([["n1", { host: "127.0.0.1", port: proxy.port }]]));
    await until(() => n2.reachable.get("n1") === true);
    await n2.transport.close();
    const replay = net.connect(n1.transport.port, "127.0.0.1");
    replay.write(Buffer.concat(proxy.passed));
    replay.resume();
    await new Promise((resolve) => replay.on("close", resolve));
    expect(reasons(n1)).toContain("wrong cell secret: n2 has another than n1");
    proxy.close();
  });

  test("what a peer does not take is dropped beyond the limit, and counted; others are served", async () => {
    const settings = { queuedBytesMax: 1024 * 1024 };
    const n1 = await startNode("n1", { member: 1, settings });
    const n2 = await startNode("n2", { member: 2 });
    introduce({ n1, n2 });
    await until(() => n1.transport.network.peers().includes(2));
    // Within one callback nothing can leave.
    for (let count = 0; count < 100; count++) n1.transport.network.send(2, new Uint8Array(64 * 1024));
    const { queuedBytes, framesDropped } = n1.status("n2") ?? { queuedBytes: 0, framesDropped: 0 };
    expect(queuedBytes).toBeLessThanOrEqual(1024 * 1024);
    expect(framesDropped).toBe(85);
    await until(() => n2.frames.length === 15);
  });
});

test("who stood still itself does not take that for the silence of others", async () => {
  const settings = { beatMs: 20, silenceMs: 200 };
  const n1 = await startNode("n1", { settings });
  const n2 = await startNode("n2", { settings });
  introduce({ n1, n2 });
  await until(() => n1.reachable.get("n2") === true && n2.reachable.get("n1") === true);
  const endMs = performance.now() + 400;
  while (performance.now() < endMs);
  // Both have beaten again: what was sent before the pause has been read, and so have the answers.
  const before = n1.status("n2")?.framesSent ?? 0;
  await until(() => (n1.status("n2")?.framesSent ?? 0) > before + 4);
  expect([n1.ups, n2.ups]).toEqual([1, 1]);
  expect([...n1.lines, ...n2.lines].filter(({ text }) => text.startsWith("lost"))).toEqual([]);
});

test("after close nothing is open", async () => {
  const { n1, n2 } = await pair();
  const { port } = n1.transport;
  await n1.transport.close();
  await n2.transport.close();
  const error = await new Promise<Error>((resolve) => net.connect(port, "127.0.0.1").on("error", resolve));
  expect(error).toMatchObject({ code: "ECONNREFUSED" });
});

test("a secret that is too short, a port that is taken", async () => {
  await expect(startNode("n1", { secret: secret.subarray(0, 15) })).rejects.toMatchObject({
    code: "INVALID_CONFIGURATION",
  });
  const n1 = await startNode("n1");
  await expect(startNode("n2", { listen: addressOf(n1) })).rejects.toMatchObject({ code: "PORT_IN_USE" });
});
