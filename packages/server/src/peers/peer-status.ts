/** What can be said of a peer at a moment. */

export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** What went over the links with one peer since this process began; frames and bytes of handshakes and beats too. */
export interface Traffic {
  bytesSent: number;
  bytesReceived: number;
  framesSent: number;
  framesReceived: number;
  /** Not sent, because too much waited. */
  framesDropped: number;
}

export function newTraffic(): Traffic {
  return { bytesSent: 0, bytesReceived: 0, framesSent: 0, framesReceived: 0, framesDropped: 0 };
}

export interface PeerStatus extends Readonly<Traffic> {
  readonly name: string;
  readonly address: PeerAddress;
  /** Our own link to it is up. */
  readonly reachable: boolean;
  /** What it said of itself last; undefined if it never did. */
  readonly node: number | undefined;
  readonly member: number | undefined;
  readonly cell: number | undefined;
  readonly process: number | undefined;
  readonly queuedBytes: number;
  readonly roundTripMs: number | undefined;
  /** Undefined: there is no link in either direction. */
  readonly lastHeardMsAgo: number | undefined;
  /** Why it is not reachable: the last refusal or failure, until a link is up. */
  readonly problem: string | undefined;
}
