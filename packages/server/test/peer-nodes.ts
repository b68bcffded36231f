/** Transports on loopback for tests, with everything that they report. */
import { SeededRandom } from "@quipu/core";
import { afterEach } from "vitest";
import type { Log } from "../src/log.ts";
import { type PeerAddress, PeerTransport, type PeerTransportOptions } from "../src/peers/peer-transport.ts";
import { CryptoRandom } from "../src/ports/crypto-random.ts";
import { NodeClock } from "../src/ports/node-clock.ts";

export const secret: Uint8Array = Buffer.from("a secret of more than sixteen bytes");

export interface TestNode {
  readonly transport: PeerTransport;
  readonly lines: { readonly text: string; readonly fields: Readonly<Record<string, unknown>> }[];
  readonly controls: { readonly from: string; readonly message: unknown }[];
  readonly reachable: Map<string, boolean>;
  /** How often a link of ours came up. */
  ups: number;
  readonly frames: { readonly from: number; readonly bytes: Uint8Array }[];
  status(name: string): ReturnType<PeerTransport["peers"]>[number] | undefined;
}

const open: PeerTransport[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((transport) => transport.close()));
});

type Changes = Partial<PeerTransportOptions> & { readonly member?: number };

/** Knows nobody, and lets everybody in, until told otherwise. */
export async function startNode(name: string, changes: Changes = {}): Promise<TestNode> {
  const { member, ...options } = changes;
  const node: Omit<TestNode, "transport" | "status"> = {
    lines: [],
    controls: [],
    reachable: new Map(),
    ups: 0,
    frames: [],
  };
  const write = (fields: Readonly<Record<string, unknown>>, text: string): void =>
    void node.lines.push({ text, fields });
  const log: Log = { debug: write, info: write, warn: write, error: write, fatal: write };
  const transport = await PeerTransport.start({
    self: { name, cell: 0, node: 0 },
    secret,
    listen: { host: "127.0.0.1", port: 0 },
    peers: new Map(),
    clock: new NodeClock(),
    random: new CryptoRandom(),
    log,
    settings: { backoffMsMin: 5, backoffMsMax: 50 },
    onControl: (from, message) => void node.controls.push({ from, message }),
    onReachable: (peer, isReachable) => {
      node.reachable.set(peer, isReachable);
      if (isReachable) node.ups++;
    },
    admit: () => undefined,
    ...options,
  });
  open.push(transport);
  if (member !== undefined) transport.network.listen(member, (from, bytes) => void node.frames.push({ from, bytes }));
  return Object.assign(node, {
    transport,
    status: (peer: string) => transport.peers().find((status) => status.name === peer),
  });
}

export function addressOf(node: TestNode): PeerAddress {
  return { host: "127.0.0.1", port: node.transport.port };
}

/** Everybody knows everybody. */
export function introduce(nodes: Readonly<Record<string, TestNode>>): void {
  for (const [name, node] of Object.entries(nodes)) {
    const others = Object.entries(nodes).filter(([other]) => other !== name);
    node.transport.setPeers(new Map(others.map(([other, each]) => [other, addressOf(each)])));
  }
}

/** `count` frames of up to `bytesMax` bytes that are all different. */
export function someBytes(count: number, bytesMax: number): readonly Uint8Array[] {
  const random = new SeededRandom(7);
  return Array.from({ length: count }, () =>
    Uint8Array.from({ length: 1 + random.below(bytesMax) }, () => random.below(256)),
  );
}
