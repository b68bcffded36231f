/** Connections with and without TLS, dialled and accepted. With TLS both sides show a certificate of the cell's CA. */
import net, { type Server, type Socket } from "node:net";
import tls, { TLSSocket } from "node:tls";
import type { PeerAddress } from "./peer-status.ts";

/** PEM. */
export interface PeerTlsSettings {
  readonly key: string;
  readonly certificate: string;
  /** Whose certificates are taken, from either side. */
  readonly ca: string;
}

const minVersion = "TLSv1.3";
const bindingLabel = "EXPORTER-quipu-peer-link";
const bindingBytes = 32;
const nothing = new Uint8Array(0);

export interface DoorHandlers {
  onSocket(socket: Socket): void;
  /** Somebody could not agree with us on TLS. */
  onTlsFailure(error: Error, socket: Socket): void;
}

export function createPeerServer(
  settings: PeerTlsSettings | undefined,
  handshakeTimeout: number,
  handlers: DoorHandlers,
): Server {
  if (settings === undefined) return net.createServer((socket) => handlers.onSocket(socket));
  const { key, certificate: cert, ca } = settings;
  const options = { key, cert, ca, minVersion, handshakeTimeout, requestCert: true, rejectUnauthorized: true } as const;
  const server = tls.createServer(options, (socket) => handlers.onSocket(socket));
  server.on("tlsClientError", (error, socket) => handlers.onTlsFailure(error, socket));
  return server;
}

/** `onReady`: bytes may be sent. */
export function dialPeer(address: PeerAddress, settings: PeerTlsSettings | undefined, onReady: () => void): Socket {
  const { host, port } = address;
  if (settings === undefined) return net.connect({ host, port }, onReady);
  const { key, certificate: cert, ca } = settings;
  // Who it is, the proof tells, which is bound to this connection; names of hosts would add nothing but trouble.
  return tls.connect({ host, port, key, cert, ca, minVersion, checkServerIdentity: () => undefined }, onReady);
}

/** What only the two ends of this connection know. */
export function bindingOf(socket: Socket): Uint8Array {
  if (!(socket instanceof TLSSocket)) return nothing;
  return socket.exportKeyingMaterial(bindingBytes, bindingLabel, Buffer.alloc(0));
}
