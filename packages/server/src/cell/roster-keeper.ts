/**
 * What a node does about the cell's roster: follows it (whom to dial, whom to let in) and, while it leads, writes it: at first
 * the names of the founding, later where nodes were found.
 */
import type { CellNode } from "@quipu/cluster";
import type { Clock } from "@quipu/core";
import type { Log } from "../log.ts";
import type { PeerAddress, PeerSelf, PeerStatus, PeerTransport } from "../peers/peer-transport.ts";
import type { CellSettings } from "./cell-settings.ts";
import { isSameAddress, PeerAddresses } from "./peer-addresses.ts";
import { changeRoster, foundRoster, nodeNamed, type Roster, type RosterNode, rosterOf } from "./roster.ts";

export interface RosterKeeperOptions {
  readonly cell: CellSettings;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Log;
  /** For people: what the roster cannot be written without. */
  readonly onWaiting: (text: string) => void;
}

export class RosterKeeper {
  readonly #options: RosterKeeperOptions;
  readonly #addresses: PeerAddresses;
  /** Names that the cell was founded with, in the order of their numbers; undefined on a node that joined. */
  foundedWith: readonly string[] | undefined;
  #roster: Roster | undefined;
  #isBeingWritten = false;
  /** What the transport was told last, as text. */
  #chosen = "";

  constructor(options: RosterKeeperOptions) {
    this.#options = options;
    const { cell, clock } = options;
    this.#addresses = new PeerAddresses(cell.name, cell.peers, clock);
  }

  /** As this node saw it last; undefined before there is one. */
  get roster(): Roster | undefined {
    return this.#roster;
  }

  /** Some times a second, once the node's log is open. */
  follow(node: CellNode, transport: PeerTransport): void {
    this.#roster = rosterOf(node.machine) ?? this.#roster;
    if (this.#roster === undefined) this.#found(node);
    const peers = transport.peers();
    const reachable = new Set(peers.filter((peer) => peer.reachable).map((peer) => peer.name));
    const chosen = this.#addresses.choose(this.#roster, (name) => reachable.has(name));
    const shown = JSON.stringify([...chosen]);
    if (shown !== this.#chosen) transport.setPeers(chosen);
    this.#chosen = shown;
    if (this.#roster !== undefined) this.#writeMoves(node, this.#roster, peers);
  }

  /** The number of a name, for nodes that ask to belong; undefined: it is not in the roster. */
  numberOf(name: string): number | "unknown" | undefined {
    return this.#roster === undefined ? "unknown" : nodeNamed(this.#roster, name)?.node;
  }

  /** Why another node is not let in; undefined: it is. */
  refusalOf({ name, node }: PeerSelf): string | undefined {
    if (this.#roster === undefined) {
      return this.#options.cell.peers.has(name) ? undefined : `${name} is not among --cell-peers`;
    }
    const known = nodeNamed(this.#roster, name);
    if (known === undefined) return `${name} is not in this cell; add it: quipu cell add ${name}=host:port`;
    return node === 0 || node === known.node ? undefined : `${name} is node ${known.node}, not ${node}`;
  }

  /** Whoever leads a cell that was just founded writes down who is in it. */
  #found(node: CellNode): void {
    const { peers } = this.#options.cell;
    if (this.foundedWith === undefined || !this.#mayWrite(node)) return;
    const nodes: RosterNode[] = [];
    for (const [index, name] of this.foundedWith.entries()) {
      const address = peers.get(name);
      if (address === undefined) {
        return this.#options.onWaiting(`${name} in --cell-peers: the cell was founded with it`);
      }
      nodes.push({ name, address, node: index + 1 });
    }
    this.#write(foundRoster(node.door, nodes));
  }

  /** A node that was found at another address than the roster says is written down there; so is this node's own. */
  #writeMoves(node: CellNode, roster: Roster, peers: readonly PeerStatus[]): void {
    if (!this.#mayWrite(node)) return;
    const { cell, log } = this.#options;
    for (const known of roster.nodes) {
      const peer = peers.find(({ name, reachable }) => name === known.name && reachable);
      const found = peer?.node === known.node ? peer.address : undefined;
      const address = known.name === cell.name ? cell.peers.get(cell.name) : found;
      if (address === undefined || isSameAddress(address, known.address)) continue;
      log.info({ peer: known.name, address }, "a node has another address");
      this.#write(changeRoster(node.door, (present) => withMove(present, known, address)));
      return;
    }
  }

  #mayWrite(node: CellNode): boolean {
    return node.isServing && node.metadataGroup?.inspect().role === "leader" && !this.#isBeingWritten;
  }

  #write(writing: Promise<unknown>): void {
    this.#isBeingWritten = true;
    writing
      .catch((error: unknown) => this.#options.log.warn({ error: String(error) }, "the roster is written later"))
      .finally(() => (this.#isBeingWritten = false));
  }
}

/** Only if nobody has moved it elsewhere meanwhile. */
function withMove(present: Roster, known: RosterNode, address: PeerAddress): Roster {
  const isIt = (each: RosterNode): boolean => each.name === known.name && isSameAddress(each.address, known.address);
  return { ...present, nodes: present.nodes.map((each) => (isIt(each) ? { ...each, address } : each)) };
}
