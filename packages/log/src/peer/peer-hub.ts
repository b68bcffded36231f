/**
 * Where the messages of one member go out and come in: puts them into frames, sorts what arrives by its type, throws
 * away what is damaged, of another cell or for somebody else. One for each node, shared by all of its groups.
 */
import type { MemberId } from "@quipu/consensus";
import { invariant, type Network } from "@quipu/core";
import { decodePeerFrame, encodePeerFrame, isOfUnknownType, type PeerMessage } from "@quipu/protocol";

export type PeerMessageType = PeerMessage["type"];

export type PeerHandler<Type extends PeerMessageType> = (
  from: MemberId,
  message: Extract<PeerMessage, { readonly type: Type }>,
) => void;

/** Frames that were thrown away, and why. */
export interface PeerHubStatistics {
  /** Bytes that are no frame: damaged on the way, or of another version. */
  readonly damaged: number;
  readonly otherCell: number;
  /** For another member: one that lived at this address before. */
  readonly otherAddressee: number;
  /** From another member than the transport says. */
  readonly otherSender: number;
  /** Nobody here takes messages of that type, or a newer version sends them: nothing is wrong. */
  readonly unhandled: number;
}

export interface PeerHub {
  readonly member: MemberId;
  /** Other members that can be addressed at present, whether they are in a configuration or not. */
  peers(): readonly MemberId[];
  /** Best effort. What a member says to itself arrives too, without the network, and never before this returns. */
  send(to: MemberId, message: PeerMessage): void;
  /** Who takes messages of this type; one for each type. */
  handle<Type extends PeerMessageType>(type: Type, handler: PeerHandler<Type>): void;
  statistics(): PeerHubStatistics;
}

export interface PeerHubOptions {
  readonly network: Network;
  /** Below 2^48; frames of other cells are dropped. */
  readonly cell: number;
  readonly member: MemberId;
}

export function openPeerHub(options: PeerHubOptions): PeerHub {
  const hub = new FramingPeerHub(options);
  options.network.listen(options.member, (from, frame) => hub.onFrame(from, frame));
  return hub;
}

class FramingPeerHub implements PeerHub {
  readonly member: MemberId;
  readonly #network: Network;
  readonly #cell: number;
  readonly #handlers: Map<PeerMessageType, (from: MemberId, message: PeerMessage) => void> = new Map();
  readonly #dropped = { damaged: 0, otherCell: 0, otherAddressee: 0, otherSender: 0, unhandled: 0 };

  constructor(options: PeerHubOptions) {
    this.member = options.member;
    this.#network = options.network;
    this.#cell = options.cell;
  }

  peers(): readonly MemberId[] {
    return this.#network.peers() as readonly MemberId[];
  }

  send(to: MemberId, message: PeerMessage): void {
    if (to === this.member) {
      void Promise.resolve().then(() => this.#dispatch(to, message));
      return;
    }
    this.#network.send(to, encodePeerFrame({ cell: this.#cell, from: this.member, to, message }));
  }

  handle<Type extends PeerMessageType>(type: Type, handler: PeerHandler<Type>): void {
    invariant(!this.#handlers.has(type), `two handlers for messages of type ${type}`);
    this.#handlers.set(type, handler as unknown as PeerHandler<PeerMessageType>);
  }

  statistics(): PeerHubStatistics {
    return { ...this.#dropped };
  }

  /** False: damaged. A sound frame that only a later version understands is not: rolling upgrades keep their links. */
  onFrame(from: number, bytes: Uint8Array): boolean {
    const frame = decodePeerFrame(bytes);
    if (frame === undefined) {
      const isUnknown = isOfUnknownType(bytes);
      this.#dropped[isUnknown ? "unhandled" : "damaged"]++;
      return isUnknown;
    }
    if (frame.cell !== this.#cell) this.#dropped.otherCell++;
    else if (frame.to !== this.member) this.#dropped.otherAddressee++;
    else if (frame.from !== from) this.#dropped.otherSender++;
    else this.#dispatch(frame.from, frame.message);
    return true;
  }

  #dispatch(from: MemberId, message: PeerMessage): void {
    const handler = this.#handlers.get(message.type);
    if (handler === undefined) this.#dropped.unhandled++;
    else handler(from, message);
  }
}
