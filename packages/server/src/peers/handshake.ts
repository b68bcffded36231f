/**
 * How two nodes come to trust a connection: each says who it is with a fresh nonce, each proves that it has the cell's
 * secret over all that was said. Pure but for the hash.
 *
 *   dialler                                acceptor
 *   hello          ──────────────────────▶
 *                  ◀──────────────────────  hello
 *   proof          ──────────────────────▶  checked
 *                  ◀──────────────────────  proof, and welcome or refusal
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { LinkHello } from "@quipu/protocol";

export type LinkRole = "dialler" | "acceptor";

export interface Transcript {
  readonly diallerHello: Uint8Array;
  readonly acceptorHello: Uint8Array;
  /** Keying material of the TLS connection, so that nobody can sit between two of them; empty without TLS. */
  readonly binding: Uint8Array;
}

/**
 * HMAC-SHA256 over both hellos as they were sent. The role is in it, so a proof cannot be sent back to where it came
 * from; nonces are in it, so none can be used twice; versions are in it, so nobody can talk two nodes into an older one.
 */
export function proofOf(role: LinkRole, secret: Uint8Array, transcript: Transcript): Uint8Array {
  const hmac = createHmac("sha256", secret).update(`quipu peer link, ${role}`);
  for (const part of [transcript.diallerHello, transcript.acceptorHello, transcript.binding]) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(part.length);
    hmac.update(length).update(part);
  }
  return hmac.digest();
}

export function isProof(proof: Uint8Array, role: LinkRole, secret: Uint8Array, transcript: Transcript): boolean {
  const expected = proofOf(role, secret, transcript);
  return proof.length === expected.length && timingSafeEqual(proof, expected);
}

/** The version that both speak, the highest; or why there is none. */
export function agreeVersion(own: LinkHello, other: LinkHello): number | string {
  const version = Math.min(own.versionMax, other.versionMax);
  if (version >= Math.max(own.versionMin, other.versionMin)) return version;
  const range = ({ versionMin, versionMax }: LinkHello): string =>
    versionMin === versionMax ? `${versionMin}` : `${versionMin} to ${versionMax}`;
  return `no common version: ${other.name} speaks ${range(other)}, ${own.name} speaks ${range(own)}`;
}

/** Why these two have nothing to say to each other, whoever else there is; undefined: they may talk. */
export function mismatchOf(own: LinkHello, other: LinkHello): string | undefined {
  if (own.process === other.process) return `${own.name} has connected to itself`;
  if (own.name === other.name) return `another process runs as ${own.name}`;
  if (own.cell !== 0 && other.cell !== 0 && own.cell !== other.cell) {
    return `${other.name} is of cell ${cellText(other.cell)}, ${own.name} of cell ${cellText(own.cell)}`;
  }
  if (own.node !== 0 && own.node === other.node && own.cell === other.cell) {
    return `${other.name} has node number ${other.node}, which is the number of ${own.name}`;
  }
  return undefined;
}

function cellText(cell: number): string {
  return cell.toString(16).padStart(12, "0");
}

/** What somebody else wrote, fit for one line of a log. */
export function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, "?");
}
