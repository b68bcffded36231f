/** What every link of a node needs to know of the node. */
import type { LinkHello } from "@quipu/protocol";
import type { ConnectionServices } from "./peer-connection.ts";
import type { RefusalLog } from "./refusal-log.ts";
import type { Traffic } from "./peer-status.ts";
import type { PeerTlsSettings } from "./tls.ts";

export interface LinkContext extends ConnectionServices {
  readonly secret: Uint8Array;
  readonly tls: PeerTlsSettings | undefined;
  readonly refusals: RefusalLog;
  /** With a nonce of its own, each time. */
  newHello(): LinkHello;
  /** Why a node that says this of itself, and has the secret, is refused. */
  refusalOf(own: LinkHello, other: LinkHello): string | undefined;
  trafficOf(name: string): Traffic;
  onControl(name: string, payload: Uint8Array): string | undefined;
  /** False: the datagram is damaged. */
  onDatagram(member: number, frame: Uint8Array): boolean;
}
