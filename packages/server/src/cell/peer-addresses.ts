/**
 * Where the other nodes are dialled. Two sources may differ: the roster, which the cell has agreed upon, and --cell-peers of
 * this process. Machines get other addresses while they are down, and the roster can only be changed by a cell that runs:
 * so a node that is not found at one of its addresses is tried at the other.
 */
import type { Clock } from "@quipu/core";
import type { PeerAddress } from "../peers/peer-transport.ts";
import { formatAddress } from "./cell-settings.ts";
import type { Roster } from "./roster.ts";

/** Some attempts to connect. */
const patienceMs = 2_000;

interface Choice {
  readonly candidates: readonly PeerAddress[];
  at: number;
  sinceMs: number;
}

export class PeerAddresses {
  readonly #own: string;
  readonly #listed: ReadonlyMap<string, PeerAddress>;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #choices: Map<string, Choice> = new Map();

  constructor(own: string, listed: ReadonlyMap<string, PeerAddress>, clock: Pick<Clock, "monotonicMs">) {
    this.#own = own;
    this.#listed = listed;
    this.#clock = clock;
  }

  /** By name, of all others in the roster; before there is one, of all others that are listed. Call it now and then. */
  choose(roster: Roster | undefined, isReachable: (name: string) => boolean): ReadonlyMap<string, PeerAddress> {
    const nodes = roster?.nodes ?? [...this.#listed].map(([name, address]) => ({ name, address }));
    const chosen = new Map<string, PeerAddress>();
    for (const { name, address } of nodes) {
      if (name !== this.#own) chosen.set(name, this.#choose(name, address, isReachable(name)));
    }
    return chosen;
  }

  #choose(name: string, agreed: PeerAddress, isReachable: boolean): PeerAddress {
    const nowMs = this.#clock.monotonicMs();
    const listed = this.#listed.get(name);
    const candidates = listed === undefined || isSameAddress(listed, agreed) ? [agreed] : [agreed, listed];
    let choice = this.#choices.get(name);
    if (choice === undefined || !isSameList(choice.candidates, candidates)) {
      // What is in use goes on being used, if it is still one of them.
      const before = choice?.candidates[choice.at];
      const at = before === undefined ? -1 : candidates.findIndex((each) => isSameAddress(each, before));
      choice = { candidates, at: Math.max(0, at), sinceMs: nowMs };
      this.#choices.set(name, choice);
    }
    if (isReachable) choice.sinceMs = nowMs;
    else if (nowMs - choice.sinceMs >= patienceMs) {
      choice.at = (choice.at + 1) % candidates.length;
      choice.sinceMs = nowMs;
    }
    return candidates[choice.at] as PeerAddress;
  }
}

export function isSameAddress(left: PeerAddress, right: PeerAddress): boolean {
  return left.host === right.host && left.port === right.port;
}

function isSameList(left: readonly PeerAddress[], right: readonly PeerAddress[]): boolean {
  return left.map(formatAddress).join() === right.map(formatAddress).join();
}
