/**
 * Carries out what operators ask of a cell, on the node that leads. Everything is checked before the first change, and each
 * step is of the kind that may be repeated: an operator who got no answer asks again.
 */
import { type CellNode } from "@quipu/cluster";
import {
  type Configuration,
  type CoreView,
  isVoter,
  type MemberId,
  membersOf,
  nodeNumberMax,
  nodeOf,
} from "@quipu/consensus";
import { type Clock, QuipuError, unreachable } from "@quipu/core";
import type { ConsensusGroup } from "@quipu/log";
import type { PeerAddress } from "../peers/peer-transport.ts";
import { switchEngine } from "../engines/switch-engine.ts";
import type { CellAnswer, CellRequest } from "./cell-requests.ts";
import { cellNodesMax, formatAddress } from "./cell-settings.ts";
import { isSameAddress } from "./peer-addresses.ts";
import { changeRoster, nodeNamed, type Roster, rosterOf } from "./roster.ts";

/** A transfer takes a round trip and an election; the core gives up after an election timeout. */
const transferMsMax = 5_000;
const transferPollMs = 5;
/** A log whose members never change goes on in another segment, after some looks of the chain's keeper. */
const followMsMax = 20_000;

function refuse(message: string): QuipuError {
  return new QuipuError("INVALID_ARGUMENT", message);
}

export class CellOperations {
  readonly #node: CellNode;
  readonly #clock: Clock;

  constructor(node: CellNode, clock: Clock) {
    this.#node = node;
    this.#clock = clock;
  }

  /** Rejects with OVERLOADED (definite) where this node does not lead. */
  run(request: CellRequest): Promise<CellAnswer> {
    switch (request.type) {
      case "add":
        return this.#add(request.name, request.address);
      case "move":
        return this.#move(request.name, request.address);
      case "remove":
        return this.#remove(request.name);
      case "promote":
        return this.#promote(request.name);
      case "replace":
        return this.#replace(request.name, request.address, request.force);
      case "transferLeadership":
        return this.#transfer(request.to);
      case "switchEngine":
        return this.#switchEngine(request);
      default:
        return unreachable(request);
    }
  }

  async #add(name: string, address: PeerAddress): Promise<CellAnswer> {
    this.#leading();
    const roster = await changeRoster(this.#node.door, (present) => {
      const known = nodeNamed(present, name);
      if (known !== undefined && !isSameAddress(known.address, address)) {
        throw refuse(`${name} is in the cell already, at ${formatAddress(known.address)}; to move it: quipu cell move`);
      }
      if (known !== undefined) return present;
      requireFree(present, name, address);
      if (present.nodes.length >= cellNodesMax) throw refuse(`a cell has at most ${cellNodesMax} nodes`);
      const node = present.nextNode;
      if (node > nodeNumberMax) {
        throw refuse(
          `the cell has given out all ${nodeNumberMax} numbers; a node that was removed leaves its own unused`,
        );
      }
      return { nodes: [...present.nodes, { name, node, address }], nextNode: node + 1 };
    });
    const { node } = nodeNamed(roster, name) as { readonly node: number };
    return {
      text: `${name} may join as node ${node}: start it with an empty data directory; it becomes a voter by itself`,
    };
  }

  async #remove(name: string): Promise<CellAnswer> {
    const { node } = this.#known(name);
    const { group, view } = this.#leading();
    const members = membersOf(view.configuration).filter((member) => nodeOf(member) === node);
    const voters = view.configuration.voters.filter((member) => nodeOf(member) !== node);
    if (voters.length === 0) throw refuse(`${name} is the last voter of the cell; there would be nobody left`);
    if (members.includes(view.member)) {
      throw refuse(`${name} leads; first: quipu cell transfer-leadership to another node`);
    }
    this.#requireQuorum(view, voters);
    if (members.length > 0) await group.changeMembers(voters, without(view.configuration.learners, node));
    await changeRoster(this.#node.door, (present) => ({
      ...present,
      nodes: present.nodes.filter((each) => each.name !== name),
    }));
    await this.#removeAgain(node);
    await this.#untilLogFollows(name, (member) => nodeOf(member) === node);
    return { text: `${name} is out of the cell; its process can be stopped and its data directory removed` };
  }

  /** It may have asked to be let in between the two steps; from here on nobody lets it in. */
  async #removeAgain(node: number): Promise<void> {
    const { group, view } = this.#leading();
    const { voters, learners } = view.configuration;
    if (!membersOf(view.configuration).some((member) => nodeOf(member) === node)) return;
    await group.changeMembers(without(voters, node), without(learners, node));
  }

  /** The groups of the log follow those of the cell by themselves: the next words would be wrong before they have. */
  async #untilLogFollows(name: string, isOut: (member: MemberId) => boolean): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    while (this.#node.logMembers?.some(isOut) === true) {
      if (this.#clock.monotonicMs() - startMs > followMsMax) {
        throw new QuipuError("OVERLOADED", `${name} is out of the cell, but its log still counts on it; ask again`);
      }
      await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#clock.setTimer(transferPollMs, resolve));
  }

  async #move(name: string, address: PeerAddress): Promise<CellAnswer> {
    this.#leading();
    await changeRoster(this.#node.door, (present) => {
      if (nodeNamed(present, name) === undefined) throw refuse(`no node of the cell is named ${name}`);
      return moved(present, name, address);
    });
    return { text: `${name} is looked for at ${formatAddress(address)}; its data and its vote stay` };
  }

  async #promote(name: string): Promise<CellAnswer> {
    const { node } = this.#known(name);
    const { group, view } = this.#leading();
    const { voters, learners } = view.configuration;
    if (voters.some((member) => nodeOf(member) === node)) return { text: `${name} is a voter already` };
    const member = learners.find((each) => nodeOf(each) === node);
    if (member === undefined) throw refuse(`${name} has not joined yet; start it, and see quipu status`);
    const progress = view.progress.find((each) => each.member === member);
    if (progress?.state !== "replicate" || !progress.active) {
      throw refuse(`${name} is behind (${progress?.state ?? "unknown"}); as a voter now it would hold everybody up`);
    }
    await group.changeMembers([...voters, member], without(learners, node));
    return { text: `${name} is a voter` };
  }

  async #replace(name: string, address: PeerAddress | undefined, force: boolean): Promise<CellAnswer> {
    const { node } = this.#known(name);
    const { view } = this.#leading();
    if (nodeOf(view.member) === node) throw refuse(`${name} leads, so it is alive; it need not be replaced`);
    const old = membersOf(view.configuration).filter((member) => nodeOf(member) === node);
    const isAlive = view.progress.some(({ member, active }) => active && old.includes(member));
    if (isAlive && !force) throw refuse(`${name} is alive; stop it first, or say --force`);
    const voters = view.configuration.voters.filter((member) => nodeOf(member) !== node);
    if (voters.length === 0) throw refuse(`${name} is the last voter of the cell`);
    this.#requireQuorum(view, voters);
    if (address !== undefined) await changeRoster(this.#node.door, (present) => moved(present, name, address));
    // What was looked at before may be another by now.
    const now = this.#leading();
    const remaining = without(now.view.configuration.voters, node);
    if (remaining.length === 0) throw refuse(`${name} is the last voter of the cell`);
    this.#requireQuorum(now.view, remaining);
    if (membersOf(now.view.configuration).some((member) => nodeOf(member) === node)) {
      await now.group.changeMembers(remaining, without(now.view.configuration.learners, node));
    }
    await this.#untilLogFollows(name, (member) => old.includes(member));
    const where = address === undefined ? "" : ` at ${formatAddress(address)}`;
    return { text: `start ${name}${where} with an empty data directory; it takes the place of the old one by itself` };
  }

  async #transfer(name: string): Promise<CellAnswer> {
    const { node } = this.#known(name);
    const { group: cell } = this.#leading();
    // Where a service keeps the log, only the cell itself is led. Whoever leads the log leads the cell soon after.
    const group = this.#node.logGroup ?? cell;
    const { configuration, role, member: self } = group.inspect();
    if (role !== "leader") throw new QuipuError("OVERLOADED", "the log has just got another leader; retry");
    const target = configuration.voters.find((member) => nodeOf(member) === node);
    if (target === undefined) throw refuse(`${name} is not a voter`);
    if (target === self) return { text: `${name} leads already` };
    group.transferLeadership(target);
    const startMs = this.#clock.monotonicMs();
    while (group.inspect().leader !== target) {
      const elapsedMs = this.#clock.monotonicMs() - startMs;
      if (elapsedMs > transferMsMax) {
        throw new QuipuError("OVERLOADED", `${name} did not take over within ${transferMsMax} ms; is it behind?`);
      }
      await this.#pause();
    }
    return { text: `${name} leads (after ${Math.round(this.#clock.monotonicMs() - startMs)} ms)` };
  }

  async #switchEngine(request: Extract<CellRequest, { readonly type: "switchEngine" }>): Promise<CellAnswer> {
    this.#leading();
    return await switchEngine({ log: this.#node.log, door: this.#node.door, clock: this.#clock }, request);
  }

  #leading(): { readonly group: ConsensusGroup; readonly view: CoreView } {
    const group = this.#node.metadataGroup;
    const view = group?.inspect();
    if (group === undefined || view?.role !== "leader") {
      throw new QuipuError("OVERLOADED", "this node does not lead any more; retry");
    }
    return { group, view };
  }

  #known(name: string): { readonly node: number } {
    const roster = rosterOf(this.#node.machine);
    const found = nodeNamed(roster, name);
    if (found !== undefined) return found;
    const names = roster?.nodes.map((each) => each.name).join(", ");
    throw refuse(`no node of the cell is named ${name}; there are: ${names ?? "none known yet"}`);
  }

  /** Those who stay must be able to decide without those who go. */
  #requireQuorum(view: CoreView, voters: readonly MemberId[]): void {
    const active = voters.filter(
      (member) => member === view.member || view.progress.some((each) => each.member === member && each.active),
    );
    if (active.length * 2 > voters.length) return;
    throw refuse(`only ${active.length} of the ${voters.length} voters that would remain are alive; start them first`);
  }
}

function without(members: readonly MemberId[], node: number): readonly MemberId[] {
  return members.filter((member) => nodeOf(member) !== node);
}

function moved(roster: Roster, name: string, address: PeerAddress): Roster {
  requireFree(roster, name, address);
  return { ...roster, nodes: roster.nodes.map((each) => (each.name === name ? { ...each, address } : each)) };
}

function requireFree(roster: Roster, name: string, address: PeerAddress): void {
  const owner = roster.nodes.find((node) => node.name !== name && isSameAddress(node.address, address));
  if (owner !== undefined) throw refuse(`${formatAddress(address)} is the address of ${owner.name}`);
}

/** In the words of `quipu status`. */
export function standingOf(configuration: Configuration, member: MemberId | undefined): "voter" | "learner" | "none" {
  if (member === undefined) return "none";
  if (isVoter(configuration, member)) return "voter";
  return configuration.learners.includes(member) ? "learner" : "none";
}
