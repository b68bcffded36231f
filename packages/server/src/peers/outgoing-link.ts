/**
 * Our own link to one peer: dials, proves, is used for everything that we send to it, dials again where it breaks.
 * Each side dials and sends on what it dialled, so nobody has to decide which of two connections stays.
 */
import { decodeHello, encodeHello, type LinkHello, linkKind } from "@quipu/protocol";
import { agreeVersion, isProof, printable, proofOf, type Transcript } from "./handshake.ts";
import type { LinkContext } from "./link-context.ts";
import { PeerConnection } from "./peer-connection.ts";
import type { PeerAddress } from "./peer-status.ts";
import { bindingOf, dialPeer } from "./tls.ts";

export interface OutgoingOwner extends LinkContext {
  readonly random: { below(limit: number): number };
  outgoingChanged(link: OutgoingLink, isReachable: boolean): void;
}

/** One dialled connection and how far its handshake has come. */
interface Attempt {
  readonly connection: PeerConnection;
  readonly own: LinkHello;
  readonly ownBytes: Uint8Array;
  hello: LinkHello | undefined;
  transcript: Transcript | undefined;
  isProven: boolean;
}

export class OutgoingLink {
  readonly name: string;
  readonly address: PeerAddress;
  /** What the peer said of itself when the link was last up. */
  hello: LinkHello | undefined;
  problem: string | undefined;
  readonly #owner: OutgoingOwner;
  #attempt: Attempt | undefined;
  #cancelWait: (() => void) | undefined;
  #failures = 0;
  #isStopped = false;

  constructor(name: string, address: PeerAddress, owner: OutgoingOwner) {
    this.name = name;
    this.address = address;
    this.#owner = owner;
    this.#dial();
  }

  /** Undefined while it is not up. */
  get connection(): PeerConnection | undefined {
    const connection = this.#attempt?.connection;
    return connection?.isOpen === true ? connection : undefined;
  }

  /** Dials now if it would have waited: the peer has just shown that it lives. */
  nudge(): void {
    if (this.#cancelWait !== undefined) this.#dial();
  }

  /** Dials anew, so that the peer learns what this node has become. */
  renew(): void {
    this.#failures = 0;
    this.#drop("renewed");
    this.#dial();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelWait?.();
    this.#cancelWait = undefined;
    this.#drop("stopped");
  }

  beat(nowMs: number): void {
    const connection = this.#attempt?.connection;
    if (connection === undefined) return;
    const { handshakeMs } = this.#owner.settings;
    if (connection.isOpen) connection.beat(nowMs);
    else if (nowMs - connection.startedMs > handshakeMs) connection.destroy(`no welcome within ${handshakeMs} ms`);
  }

  #drop(reason: string): void {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    const wasOpen = attempt.connection.isOpen;
    // First, so that its end is no failure.
    this.#attempt = undefined;
    attempt.connection.end(reason);
    if (wasOpen) this.#owner.outgoingChanged(this, false);
  }

  #dial(): void {
    this.#cancelWait?.();
    this.#cancelWait = undefined;
    if (this.#isStopped) return;
    const own = this.#owner.newHello();
    const ownBytes = encodeHello(own);
    const socket = dialPeer(this.address, this.#owner.tls, () => connection.post(linkKind.hello, ownBytes));
    const connection: PeerConnection = new PeerConnection(socket, this.#owner, {
      onFrame: (kind, payload) => this.#onFrame(attempt, kind, payload),
      onFault: (reason) => connection.refuse(reason),
      onClosed: (reason) => this.#onClosed(attempt, reason),
    });
    const attempt: Attempt = { connection, own, ownBytes, hello: undefined, transcript: undefined, isProven: false };
    this.#attempt = attempt;
  }

  #onFrame(attempt: Attempt, kind: number, payload: Uint8Array): void {
    if (attempt !== this.#attempt) return;
    switch (kind) {
      case linkKind.hello:
        return this.#onHello(attempt, payload);
      case linkKind.proof:
        return this.#onProof(attempt, payload);
      case linkKind.welcome:
        return this.#onWelcome(attempt);
      case linkKind.refusal:
        return attempt.connection.end(`refused: ${printable(Buffer.from(payload).toString("utf8"))}`);
      case linkKind.renewal:
        // Only who has proved itself may make us dial without a pause.
        return attempt.connection.isOpen ? this.renew() : attempt.connection.end("renewed within the handshake");
      case linkKind.control: {
        const fault = this.#owner.onControl(this.name, payload);
        return fault === undefined ? undefined : attempt.connection.refuse(`sent ${fault}`);
      }
      default:
        return attempt.connection.refuse(`sent a frame of kind ${kind} that only a dialler sends`);
    }
  }

  #onHello(attempt: Attempt, payload: Uint8Array): void {
    const { connection, own } = attempt;
    const hello = attempt.hello === undefined ? decodeHello(payload) : undefined;
    if (hello === undefined) return connection.refuse("sent a hello that is none, or a second one");
    attempt.hello = hello;
    const version = agreeVersion(own, hello);
    // The other side says the same; who closes first does not matter.
    if (typeof version === "string") return connection.refuse(version);
    const binding = bindingOf(connection.socket);
    attempt.transcript = { diallerHello: attempt.ownBytes, acceptorHello: payload, binding };
    connection.post(linkKind.proof, proofOf("dialler", this.#owner.secret, attempt.transcript));
  }

  #onProof(attempt: Attempt, payload: Uint8Array): void {
    const { transcript, connection } = attempt;
    if (transcript === undefined) return connection.refuse("sent a proof before a hello");
    if (!isProof(payload, "acceptor", this.#owner.secret, transcript)) return connection.refuse("wrong cell secret");
    attempt.isProven = true;
  }

  #onWelcome(attempt: Attempt): void {
    const { hello, connection, own } = attempt;
    if (hello === undefined || !attempt.isProven) return connection.refuse("sent a welcome before a proof");
    const refusal =
      this.#owner.refusalOf(own, hello) ??
      (hello.name === this.name ? undefined : `${hello.name} answers where ${this.name} is expected`);
    if (refusal !== undefined) return connection.refuse(refusal);
    connection.open(this.#owner.trafficOf(this.name));
    this.hello = hello;
    this.problem = undefined;
    this.#owner.outgoingChanged(this, true);
  }

  #onClosed(attempt: Attempt, reason: string): void {
    if (attempt !== this.#attempt) return;
    this.#attempt = undefined;
    this.problem = reason;
    const { settings, clock, random, refusals } = this.#owner;
    const wasOpen = this.hello !== undefined && attempt.hello === this.hello;
    if (wasOpen && clock.monotonicMs() - attempt.connection.startedMs >= settings.steadyMs) this.#failures = 0;
    const { host, port } = this.address;
    refusals.warn(wasOpen ? "lost the link to a node" : "cannot reach a node", {
      address: `${host}:${port}`,
      name: this.name,
      reason,
    });
    // Half of it is chance, so that nodes that lost each other at once do not meet at once for ever.
    const waitMs = Math.min(settings.backoffMsMax, settings.backoffMsMin * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 20);
    const halfMs = Math.ceil(waitMs / 2);
    this.#cancelWait = clock.setTimer(halfMs + random.below(halfMs + 1), () => this.#dial());
    if (wasOpen) this.#owner.outgoingChanged(this, false);
  }
}
