/**
 * The transport between the nodes of a cell: the port `Network`, addressed by member, and control messages, addressed by
 * name. docs/decisions/0010-peer-transport.md says why it is as it is.
 */
import type { AddressInfo, Server, Socket } from "node:net";
import { type Clock, invariant, type Network, QuipuError, type Random } from "@quipu/core";
import { featureLevelMax, firstFeatureLevel } from "@quipu/counters";
import { startTicks } from "@quipu/log";
import {
  decodeControl,
  encodeControl,
  helloNonceBytes,
  isNodeName,
  type LinkHello,
  linkKind,
  linkVersionMax,
  linkVersionMin,
} from "@quipu/protocol";
import { listenFailure } from "../listen-failure.ts";
import type { Log } from "../log.ts";
import { Flusher } from "./flusher.ts";
import { mismatchOf } from "./handshake.ts";
import { IncomingLinks } from "./incoming-links.ts";
import {
  connectionsMax,
  controlHeadroomBytes,
  defaultPeerSettings,
  goodbyeMs,
  type PeerSettings,
  secretBytesMin,
} from "./limits.ts";
import type { LinkContext } from "./link-context.ts";
import { OutgoingLink, type OutgoingOwner } from "./outgoing-link.ts";
import { newTraffic, type PeerAddress, type PeerStatus, type Traffic } from "./peer-status.ts";
import { RefusalLog } from "./refusal-log.ts";
import { createPeerServer, type PeerTlsSettings } from "./tls.ts";

export type { PeerAddress, PeerStatus } from "./peer-status.ts";
export type { PeerTlsSettings } from "./tls.ts";

/** What this node is at the moment; every link begins with it. */
export interface PeerSelf {
  /** `[A-Za-z0-9][A-Za-z0-9._-]{0,62}` */
  readonly name: string;
  /** 0: belongs to no cell yet. */
  readonly cell: number;
  /** 0: has no number yet. */
  readonly node: number;
}

export interface PeerTransportOptions {
  readonly self: PeerSelf;
  /** Content of the cell's secret file, trimmed; at least 16 bytes. */
  readonly secret: Uint8Array;
  /** Port 0: any that is free. */
  readonly listen: PeerAddress;
  /** The others, by name. */
  readonly peers: ReadonlyMap<string, PeerAddress>;
  readonly tls?: PeerTlsSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Tests: other versions of the stream. */
  readonly protocol?: { readonly min: number; readonly max: number };
  readonly settings?: Partial<PeerSettings>;
  /** A JSON value of at most 16 KiB from a connected peer of that name. Never throws. */
  readonly onControl: (from: string, message: unknown) => void;
  /** Our own link to a peer of that name is up, or is not any more. */
  readonly onReachable?: (name: string, isReachable: boolean) => void;
  /** Why a node that says this of itself is refused. Without it, only names among `peers` are let in. */
  readonly admit?: (hello: PeerSelf) => string | undefined;
}

export class PeerTransport {
  readonly network: Network;
  readonly #options: PeerTransportOptions;
  readonly #settings: PeerSettings;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #process: number;
  readonly #context: OutgoingOwner;
  readonly #incoming: IncomingLinks;
  readonly #outgoing = new Map<string, OutgoingLink>();
  readonly #byMember = new Map<number, OutgoingLink>();
  #members: readonly number[] = [];
  readonly #traffic = new Map<string, Traffic>();
  #self: PeerSelf;
  #member = 0;
  #onFrame: ((from: number, frame: Uint8Array) => boolean | void) | undefined;
  #isRenewalScheduled = false;
  #isClosed = false;
  #stopTicks: () => void = () => {};

  private constructor(options: PeerTransportOptions) {
    const { secret, self, random } = options;
    this.#options = options;
    this.#self = self;
    if (secret.length < secretBytesMin) {
      const text = `the cell secret has ${secret.length} bytes, at least ${secretBytesMin} are needed`;
      throw new QuipuError("INVALID_CONFIGURATION", text);
    }
    if (!isNodeName(self.name)) throw new QuipuError("INVALID_CONFIGURATION", `not a node's name: ${self.name}`);
    this.#settings = { ...defaultPeerSettings, ...options.settings };
    this.#process = random.uint32() + random.below(0x1_0000) * 0x1_0000_0000;
    this.#context = this.#newContext();
    this.#incoming = new IncomingLinks(this.#context, (name) => this.#outgoing.get(name)?.nudge());
    this.#server = createPeerServer(options.tls, this.#settings.handshakeMs, {
      onSocket: (socket) => this.#incoming.take(socket),
      onTlsFailure: (error, socket) =>
        this.#context.refusals.warn("refused a node", {
          address: socket.remoteAddress ?? "an address that is gone",
          name: undefined,
          reason: `TLS: ${error.message}`,
        }),
    });
    this.#server.maxConnections = connectionsMax;
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.network = {
      listen: (member, onFrame) => this.#listenAs(member, onFrame),
      send: (to, frame) => {
        const connection = this.#byMember.get(to)?.connection;
        connection?.offer(linkKind.datagram, frame, this.#settings.queuedBytesMax);
      },
      peers: () => this.#members,
    };
  }

  /** Rejects with PORT_IN_USE or INVALID_CONFIGURATION. Resolves when it listens; peers may come later. */
  static async start(options: PeerTransportOptions): Promise<PeerTransport> {
    const transport = new PeerTransport(options);
    await transport.#open();
    return transport;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0;
  }

  /** Links are made anew, so that the others learn it. */
  setSelf(self: PeerSelf): void {
    const { name, cell, node } = this.#self;
    if (self.name === name && self.cell === cell && self.node === node) return;
    this.#self = self;
    this.#renewSoon();
  }

  setPeers(peers: ReadonlyMap<string, PeerAddress>): void {
    if (this.#isClosed) return;
    for (const [name, link] of this.#outgoing) {
      const address = peers.get(name);
      if (address?.host === link.address.host && address.port === link.address.port) continue;
      this.#outgoing.delete(name);
      link.stop();
    }
    for (const [name, address] of peers) {
      if (name === this.#self.name || this.#outgoing.has(name)) continue;
      this.#outgoing.set(name, new OutgoingLink(name, address, this.#context));
    }
    this.#refuseThoseNoLongerAdmitted();
  }

  /** Who was taken out of the cell does not stay because it was there before. */
  #refuseThoseNoLongerAdmitted(): void {
    const own = this.#newHello();
    for (const link of [...this.#incoming.links()]) {
      const reason = link.hello === undefined ? undefined : this.#refusalOf(own, link.hello);
      if (reason !== undefined) link.refuse(reason);
    }
  }

  /** Best effort. Goes over the link that a node of that name made, where we have none to it. */
  sendControl(name: string, message: unknown): void {
    const payload = encodeControl(message);
    invariant(payload !== undefined, `a control message to ${name} is too large`);
    const connection = this.#outgoing.get(name)?.connection ?? this.#incoming.get(name)?.connection;
    connection?.offer(linkKind.control, payload, this.#settings.queuedBytesMax + controlHeadroomBytes);
  }

  peers(): readonly PeerStatus[] {
    return [...this.#outgoing.values()].map((link) => this.#statusOf(link));
  }

  /** Sends what waits, and leaves nothing open. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stopTicks();
    for (const link of this.#outgoing.values()) link.stop();
    this.#incoming.close();
    await new Promise<void>((resolve) => {
      // Those that are within their TLS handshake are nobody's yet.
      const cancel = this.#options.clock.setTimer(goodbyeMs, () => {
        for (const socket of this.#sockets) socket.destroy();
      });
      this.#server.close(() => {
        cancel();
        resolve();
      });
    });
  }

  async #open(): Promise<void> {
    const { host, port } = this.#options.listen;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject);
        this.#server.listen({ host, port }, resolve);
      });
    } catch (error) {
      throw listenFailure(error, "--peer-port", host, port);
    }
    const { clock, log } = this.#options;
    this.#server.on("error", (error) => log.warn({ reason: error.message }, "the peer port failed"));
    const { beatMs } = this.#settings;
    // Behind all input that waits, and not at all where this process stood still: late timers are nobody's silence.
    this.#stopTicks = startTicks(clock, { tickMs: beatMs, pauseMs: beatMs }, () => this.#beat()).stop;
    this.setPeers(this.#options.peers);
  }

  #beat(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#incoming.beat(nowMs);
    for (const link of this.#outgoing.values()) link.beat(nowMs);
  }

  #listenAs(member: number, onFrame: (from: number, frame: Uint8Array) => boolean | void): void {
    this.#onFrame = onFrame;
    if (member === this.#member) return;
    this.#member = member;
    this.#renewSoon();
  }

  /** Whatever else changes in this callback goes into the same hello. */
  #renewSoon(): void {
    if (this.#isRenewalScheduled) return;
    this.#isRenewalScheduled = true;
    process.nextTick(() => {
      this.#isRenewalScheduled = false;
      if (this.#isClosed) return;
      this.#incoming.renew();
      for (const link of this.#outgoing.values()) link.renew();
    });
  }

  #newContext(): OutgoingOwner {
    const { clock, random, secret, tls, log, onReachable } = this.#options;
    const context: LinkContext = {
      clock,
      secret,
      tls,
      settings: this.#settings,
      flusher: new Flusher(),
      refusals: new RefusalLog(log, clock),
      newHello: () => this.#newHello(),
      refusalOf: (own, other) => this.#refusalOf(own, other),
      trafficOf: (name) => this.#trafficOf(name),
      onControl: (name, payload) => this.#onControl(name, payload),
      onDatagram: (member, frame) => member === 0 || this.#onFrame?.(member, frame) !== false,
    };
    const outgoingChanged = (link: OutgoingLink, isReachable: boolean): void => {
      this.#findMembers();
      onReachable?.(link.name, isReachable);
    };
    return { ...context, random, outgoingChanged };
  }

  #newHello(): LinkHello {
    const { random, protocol } = this.#options;
    return {
      ...this.#self,
      versionMin: protocol?.min ?? linkVersionMin,
      versionMax: protocol?.max ?? linkVersionMax,
      member: this.#member,
      process: this.#process,
      // Every version reads the records of the first.
      featureLevelMin: firstFeatureLevel,
      featureLevelMax,
      nonce: Uint8Array.from({ length: helloNonceBytes }, () => random.below(256)),
    };
  }

  #refusalOf(own: LinkHello, other: LinkHello): string | undefined {
    const { admit } = this.#options;
    const { name, cell, node } = other;
    const mismatch = mismatchOf(own, other) ?? this.#numberTaken(other);
    if (mismatch !== undefined) return mismatch;
    if (admit !== undefined) return admit({ name, cell, node });
    return this.#outgoing.has(name) ? undefined : `${own.name} knows no node ${name}`;
  }

  /** By a node that is here under another name. */
  #numberTaken({ name, node, cell }: LinkHello): string | undefined {
    if (node === 0) return undefined;
    const live = [...this.#outgoing.values()].flatMap((link) => (link.connection === undefined ? [] : [link.hello]));
    for (const link of this.#incoming.links()) live.push(link.hello);
    const other = live.find((hello) => hello?.node === node && hello.cell === cell && hello.name !== name);
    return other === undefined ? undefined : `${name} has node number ${node}, which is the number of ${other.name}`;
  }

  #onControl(name: string, payload: Uint8Array): string | undefined {
    const decoded = decodeControl(payload);
    if (decoded.fault !== undefined) return decoded.fault;
    this.#options.onControl(name, decoded.message);
    return undefined;
  }

  #trafficOf(name: string): Traffic {
    let traffic = this.#traffic.get(name);
    if (traffic === undefined) this.#traffic.set(name, (traffic = newTraffic()));
    return traffic;
  }

  #findMembers(): void {
    this.#byMember.clear();
    for (const link of this.#outgoing.values()) {
      const member = link.connection === undefined ? 0 : (link.hello?.member ?? 0);
      if (member !== 0) this.#byMember.set(member, link);
    }
    this.#members = [...this.#byMember.keys()].sort((left, right) => left - right);
  }

  #statusOf(link: OutgoingLink): PeerStatus {
    const { name, address, problem, connection } = link;
    const accepted = this.#incoming.get(name);
    const hello = link.connection === undefined ? (accepted?.hello ?? link.hello) : link.hello;
    const heardMs = Math.max(connection?.heardMs ?? -Infinity, accepted?.connection.heardMs ?? -Infinity);
    return {
      name,
      address,
      reachable: connection !== undefined,
      node: hello?.node,
      member: hello?.member,
      cell: hello?.cell,
      process: hello?.process,
      queuedBytes: connection?.queuedBytes ?? 0,
      roundTripMs: connection?.roundTripMs,
      lastHeardMsAgo: heardMs === -Infinity ? undefined : this.#options.clock.monotonicMs() - heardMs,
      problem,
      ...this.#trafficOf(name),
    };
  }
}
