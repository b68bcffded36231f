/** A connection that another node made: checks who it is, and takes what it sends. */
import type { Socket } from "node:net";
import { decodeHello, encodeHello, type LinkHello, linkKind } from "@quipu/protocol";
import { agreeVersion, isProof, printable, proofOf, type Transcript } from "./handshake.ts";
import type { LinkContext } from "./link-context.ts";
import { PeerConnection } from "./peer-connection.ts";
import { bindingOf } from "./tls.ts";

export interface IncomingOwner extends LinkContext {
  /** Authenticated, and not refused by {@link LinkContext.refusalOf}. Why it is refused all the same, or undefined. */
  admitIncoming(link: IncomingLink): string | undefined;
  incomingClosed(link: IncomingLink): void;
}

export class IncomingLink {
  readonly connection: PeerConnection;
  readonly address: string;
  /** What the other side says of itself; to be believed only once the link is open. */
  hello: LinkHello | undefined;
  readonly #owner: IncomingOwner;
  readonly #own: LinkHello;
  #transcript: Transcript | undefined;

  constructor(socket: Socket, owner: IncomingOwner) {
    this.#owner = owner;
    this.#own = owner.newHello();
    this.address = socket.remoteAddress ?? "an address that is gone";
    this.connection = new PeerConnection(socket, owner, {
      onFrame: (kind, payload) => this.#onFrame(kind, payload),
      onFault: (reason) => this.refuse(reason),
      onClosed: () => owner.incomingClosed(this),
    });
  }

  /** Closes with one line in the log, and tells the other side why. */
  refuse(reason: string): void {
    const name = this.hello?.name;
    this.#owner.refusals.warn("refused a node", { address: this.address, name, reason: printable(reason) });
    this.connection.refuse(reason);
  }

  #onFrame(kind: number, payload: Uint8Array): void {
    switch (kind) {
      case linkKind.hello:
        return this.#onHello(payload);
      case linkKind.proof:
        return this.#onProof(payload);
      case linkKind.datagram: {
        const isGood = this.#owner.onDatagram(this.hello?.member ?? 0, payload);
        return isGood ? undefined : this.refuse("sent a datagram with a wrong checksum");
      }
      case linkKind.control: {
        const fault = this.#owner.onControl(this.hello?.name ?? "", payload);
        return fault === undefined ? undefined : this.refuse(`sent ${fault}`);
      }
      case linkKind.refusal:
      case linkKind.renewal:
        return this.connection.end("the other side has closed");
      default:
        return this.refuse(`sent a frame of kind ${kind} that only an acceptor sends`);
    }
  }

  #onHello(payload: Uint8Array): void {
    if (this.hello !== undefined) return this.refuse("sent a second hello");
    const hello = decodeHello(payload);
    if (hello === undefined) return this.refuse("sent a hello that is none");
    this.hello = hello;
    const acceptorHello = encodeHello(this.#own);
    this.connection.post(linkKind.hello, acceptorHello);
    const version = agreeVersion(this.#own, hello);
    if (typeof version === "string") return this.refuse(version);
    const binding = bindingOf(this.connection.socket);
    this.#transcript = { diallerHello: payload, acceptorHello, binding };
  }

  #onProof(payload: Uint8Array): void {
    const { hello } = this;
    const transcript = this.#transcript;
    if (hello === undefined || transcript === undefined) return this.refuse("sent a proof before a hello");
    if (!isProof(payload, "dialler", this.#owner.secret, transcript)) {
      return this.refuse(`wrong cell secret: ${hello.name} has another than ${this.#own.name}`);
    }
    this.connection.post(linkKind.proof, proofOf("acceptor", this.#owner.secret, transcript));
    const refusal = this.#owner.refusalOf(this.#own, hello) ?? this.#owner.admitIncoming(this);
    if (refusal !== undefined) return this.refuse(refusal);
    this.connection.post(linkKind.welcome);
    this.connection.open(this.#owner.trafficOf(hello.name));
  }
}
