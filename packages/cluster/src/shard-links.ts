/** One peer hub for several who send states: each hears only what is of its own number. */
import type { MemberId } from "@quipu/consensus";
import type { PeerMessage } from "@quipu/protocol";
import type { SnapshotLink, SnapshotMessageType } from "./snapshot/settings.ts";

type Handler = (from: MemberId, message: PeerMessage) => void;

export class ShardLinks {
  readonly #hub: SnapshotLink;
  readonly #handlers: Map<string, Handler> = new Map();
  readonly #types: Set<SnapshotMessageType> = new Set();

  constructor(hub: SnapshotLink) {
    this.#hub = hub;
  }

  /** The link of the shard with this number. */
  of(shard: number): SnapshotLink {
    const hub = this.#hub;
    return {
      member: hub.member,
      peers: () => hub.peers(),
      send: (to, message) => hub.send(to, message),
      handle: (type, handler) => {
        this.#handlers.set(`${type} ${shard}`, handler as Handler);
        if (this.#types.has(type)) return;
        this.#types.add(type);
        hub.handle(type, (from, message: PeerMessage & { readonly shard: number }) => {
          this.#handlers.get(`${type} ${message.shard}`)?.(from, message);
        });
      },
    };
  }
}
