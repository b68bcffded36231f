/** What makes a process a node of a cell: its name, the names and addresses of all, and the secret they share. */
import { readFileSync } from "node:fs";
import { QuipuError } from "@quipu/core";
import type { PeerAddress } from "../peers/peer-transport.ts";

/** Letters, digits, dot, dash, underscore: a name stands in flags, file names, logs and metrics. */
export const namePattern: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** As many as a configuration holds. */
export const cellNodesMax = 32;

/** Shorter secrets could be guessed by trying. */
const secretBytesMin = 16;

export interface CellTlsSettings {
  /** PEM. */
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;
}

export interface CellSettings {
  readonly name: string;
  /** Peer addresses of all nodes by name, this one's included. */
  readonly peers: ReadonlyMap<string, PeerAddress>;
  readonly listen: PeerAddress;
  readonly secret: Uint8Array;
  readonly tls: CellTlsSettings | undefined;
}

function refuse(message: string, cause?: unknown): QuipuError {
  return new QuipuError("INVALID_CONFIGURATION", message, { cause });
}

export function parseNodeName(text: string, where: string): string {
  if (namePattern.test(text)) return text;
  throw refuse(`${where}: ${JSON.stringify(text)} is no name: letters, digits, ".", "-" and "_", at most 63 of them`);
}

/** `host:port`; an IPv6 address stands in brackets. */
export function parsePeerAddress(text: string, where: string): PeerAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) {
    throw refuse(`${where}: ${JSON.stringify(text)} is no address: expected host:port, as in 10.0.0.5:7381`);
  }
  return { host: (match[1] ?? match[2]) as string, port };
}

/** `name=host:port`. */
export function parseNamedPeer(text: string, where: string): readonly [name: string, address: PeerAddress] {
  const at = text.indexOf("=");
  if (at < 0) throw refuse(`${where}: ${JSON.stringify(text)} names no node: expected name=host:port`);
  return [parseNodeName(text.slice(0, at), where), parsePeerAddress(text.slice(at + 1), where)];
}

/** `n1=host:port,n2=host:port`. */
export function parsePeers(text: string, where: string): ReadonlyMap<string, PeerAddress> {
  const peers = new Map<string, PeerAddress>();
  const owners = new Map<string, string>();
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    const [name, address] = parseNamedPeer(part, where);
    if (peers.has(name)) throw refuse(`${where}: ${name} is named twice`);
    const shown = formatAddress(address);
    const owner = owners.get(shown);
    if (owner !== undefined) throw refuse(`${where}: ${owner} and ${name} have the same address ${shown}`);
    owners.set(shown, name);
    peers.set(name, address);
  }
  if (peers.size === 0) throw refuse(`${where}: no node is named: expected n1=host:port,n2=host:port,...`);
  if (peers.size > cellNodesMax) throw refuse(`${where}: ${peers.size} nodes, at most ${cellNodesMax}`);
  return peers;
}

export function formatAddress({ host, port }: PeerAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** The content of the file, or the text itself; without the line end that editors leave. */
export function readSecret(file: string | undefined, text: string | undefined, hint: string): Uint8Array {
  if (file === undefined && text === undefined) {
    throw refuse(`a cell needs a secret that its nodes share: ${hint}. Make one: openssl rand -hex 32 > cell-secret`);
  }
  const secret = new TextEncoder().encode((file === undefined ? (text as string) : readText(file, "secret")).trim());
  if (secret.length >= secretBytesMin) return secret;
  const where = file === undefined ? "the cell secret" : `the cell secret in ${file}`;
  throw refuse(`${where} has ${secret.length} bytes, at least ${secretBytesMin} are needed; openssl rand -hex 32`);
}

export function readText(file: string, what: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw refuse(`cannot read the ${what} file ${file}: ${(error as Error).message}`, error);
  }
}
