/** Limits and times of the links between nodes, each with its reason. */
import { controlBytesMax, peerFrameBytesMax } from "@quipu/protocol";

export interface PeerSettings {
  /** Between two beats of a link. Beats cost one small write for each pair of nodes, whatever the number of groups. */
  readonly beatMs: number;
  /** Nothing heard for so long: the link is dead. Counted in beats, six; half-open connections end no later than this. */
  readonly silenceMs: number;
  /** From connecting to welcome. Between machines it takes a few round trips; whoever is slower holds a place. */
  readonly handshakeMs: number;
  /** An accepted link heard from within this is alive: another process under its name is refused. */
  readonly aliveMs: number;
  /** First and longest wait before dialling again. A node that restarts is back within a second or two. */
  readonly backoffMsMin: number;
  readonly backoffMsMax: number;
  /** A link that lived for so long was a good one: waits begin anew. */
  readonly steadyMs: number;
  /** What waits for one peer. Four frames of the largest size; consensus keeps less in flight to a member. */
  readonly queuedBytesMax: number;
  /** Connections that have not proved anything yet. A cell has far fewer nodes; the oldest goes first. */
  readonly strangersMax: number;
}

export const defaultPeerSettings: PeerSettings = {
  beatMs: 500,
  silenceMs: 3000,
  handshakeMs: 3000,
  aliveMs: 2000,
  backoffMsMin: 50,
  backoffMsMax: 2000,
  steadyMs: 1000,
  queuedBytesMax: 4 * peerFrameBytesMax,
  strangersMax: 64,
};

/** Beyond this the operating system is told to drop connections; TLS handshakes under way count. */
export const connectionsMax = 1024;

/** Beside datagrams, control messages may use this much, so that a full queue does not silence them. */
export const controlHeadroomBytes: number = 64 * controlBytesMax;

/** A closing connection may take so long to send what it has. */
export const goodbyeMs = 1000;

/** HMAC-SHA256 with less is a matter of guessing. */
export const secretBytesMin = 16;

/** One line for the same refusal in so long. */
export const refusalLogMs = 10_000;
/** Refusals remembered for that; beyond, they are forgotten and logged again. */
export const refusalsRememberedMax = 256;
