/**
 * How nodes that were started with the same list of names come to form one cell, or find the one that is there.
 *
 * Two phases. The coordinator (the only node with data, else the first name) proposes a cell once every listed node has
 * answered and fits; each puts it on its disk and says so; when all have, the coordinator commits, durably. The others ask
 * until somebody says that the cell is there. So a node which is told of a cell that its disk does not know has lost that
 * disk: it joins, under a new generation, and never has the vote of a founder.
 *
 * At most one proposal is committed. A coordinator commits only what its own disk has accepted last, and whoever puts
 * something else in the place of a proposal gets the word of that one's coordinator first. Acknowledgements count only in
 * the life of the coordinator that asked for them, and a late proposal fails on what it expects of its addressee.
 */
import { QuipuError, type Random, unreachable } from "@quipu/core";
import type { FoundingMutation } from "../../mutation.ts";
import type { DirectoryKind } from "./directory.ts";
import { type FoundingLink, isSameNames, parseFoundingMessage, type Proposal, type Standing } from "./messages.ts";
import type { FoundingRegister } from "./register.ts";

/** What came of it. */
export type FoundingResult =
  /** Every founder, the coordinator included: what it has accepted is a cell. */
  | { readonly type: "founder"; readonly proposal: Proposal }
  /** The coordinator's own data begins it. Committed, and yet to be adopted. */
  | { readonly type: "adopter"; readonly proposal: Proposal }
  | { readonly type: "joiner"; readonly cell: number; readonly node: number };

export interface FoundingProtocolOptions {
  readonly link: FoundingLink;
  readonly random: Random;
  readonly register: FoundingRegister;
  readonly kind: DirectoryKind;
  readonly onWaiting: (text: string) => void;
  readonly mutation: FoundingMutation | undefined;
}

interface Heard {
  readonly standing: Standing;
  readonly names: readonly string[];
  readonly round: number;
}

/** An answer to a question of so many rounds ago no longer says that its node is there. */
const freshRounds = 8;
/** Rounds in which only members answered that do not know this node: one that lags may learn of it meanwhile. */
const refusedRoundsMax = 12;
/** One half of a question's number is of this life, so that an answer to an earlier one is known for that. */
const roundsMax = 2 ** 20;

interface Attempt {
  readonly proposal: Proposal;
  /** Have it on disk. */
  readonly accepted: Set<string>;
  /** Were asked to. */
  readonly sent: Set<string>;
}

export class FoundingProtocol {
  readonly #options: FoundingProtocolOptions;
  readonly #heard: Map<string, Heard> = new Map();
  #life: number;
  #round = 0;
  #refusedRounds = 0;
  /** Of this node as coordinator. */
  #attempt: Attempt | undefined;
  #waitingText = "";
  #result: FoundingResult | undefined;

  constructor(options: FoundingProtocolOptions) {
    this.#options = options;
    this.#life = options.random.uint32();
  }

  /** Set once. The owner makes it durable, except the adopter's, which is. */
  get result(): FoundingResult | undefined {
    return this.#result;
  }

  /** Calls may not overlap, here and below. Rejects where the node can do nothing but end, with the reason. */
  async tick(): Promise<void> {
    if (this.#result !== undefined) return;
    this.#round += 1;
    if (this.#round === roundsMax) this.#beginAnew();
    for (const name of this.#others) this.#options.link.send(name, { type: "ask", question: this.#question });
    await this.#look(true);
  }

  async receive(from: string, value: unknown): Promise<void> {
    const message = parseFoundingMessage(value);
    if (message === undefined || !this.#others.includes(from)) return;
    switch (message.type) {
      case "ask": {
        const { link } = this.#options;
        const standing = this.#standingFor(from);
        link.send(from, { type: "answer", question: message.question, standing, names: link.names });
        return;
      }
      case "answer": {
        const age = this.#question - message.question;
        if (age < 0 || age >= freshRounds) return;
        const round = this.#round - age;
        if (round < (this.#heard.get(from)?.round ?? 0)) return;
        this.#heard.set(from, { standing: message.standing, names: message.names, round });
        break;
      }
      case "propose":
        if (this.#result === undefined) await this.#onPropose(from, message.proposal, message.expects);
        return;
      case "accepted":
        if (this.#attempt?.proposal.cell === message.cell) this.#attempt.accepted.add(from);
        break;
      default:
        return unreachable(message);
    }
    if (this.#result === undefined) await this.#look(false);
  }

  /** After some days of waiting: the numbers of questions are used up. */
  #beginAnew(): void {
    this.#life = this.#options.random.uint32();
    this.#round = 0;
    this.#heard.clear();
  }

  get #me(): string {
    return this.#options.link.name;
  }

  get #others(): readonly string[] {
    return this.#options.link.names.filter((name) => name !== this.#me);
  }

  get #question(): number {
    return this.#life * roundsMax + this.#round;
  }

  /** What this node has on its disk. */
  get #accepted(): Proposal | undefined {
    return this.#options.register.present?.proposal;
  }

  #standingFor(name: string): Standing {
    const result = this.#result;
    if (result?.type === "founder" || result?.type === "adopter") {
      const place = result.proposal.names.indexOf(name);
      return { state: "member", cell: result.proposal.cell, number: place < 0 ? null : place + 1 };
    }
    const { kind } = this.#options;
    const accepted = this.#accepted;
    if (kind !== "empty" || accepted === undefined) return { state: kind };
    return { state: "founding", cell: accepted.cell, coordinator: accepted.coordinator };
  }

  #wait(text: string): void {
    if (text === this.#waitingText) return;
    this.#waitingText = text;
    this.#options.onWaiting(text);
  }

  /** Acts on what is known. */
  async #look(isTick: boolean): Promise<void> {
    const fresh = new Map([...this.#heard].filter(([, { round }]) => this.#round - round < freshRounds));
    const members = [...fresh].flatMap(([name, { standing }]) =>
      standing.state === "member" ? [{ name, ...standing }] : [],
    );
    if (members.length > 0) this.#follow(members, isTick);
    else await this.#found(fresh, isTick);
  }

  // A cell is there

  #follow(
    members: readonly (Extract<Standing, { state: "member" }> & { readonly name: string })[],
    isTick: boolean,
  ): void {
    const [first] = members;
    const other = members.find(({ cell }) => cell !== first?.cell);
    if (first === undefined) return;
    if (other !== undefined) {
      const cells = `${first.name} belongs to cell ${first.cell}, ${other.name} to cell ${other.cell}`;
      throw refused(`${cells}: no node can join both. List the nodes of one cell.`);
    }
    const { cell } = first;
    if (this.#options.kind === "single") {
      const text = `this data directory is that of a single process, and ${first.name} already belongs to cell ${cell}`;
      throw refused(`${text}. Join with an empty --data, or start this one without --cell-peers.`);
    }
    const accepted = this.#options.mutation === "empty-disk-founds" ? this.#asIfAccepted(cell) : this.#accepted;
    if (accepted?.cell === cell) {
      const node = accepted.names.indexOf(this.#me) + 1;
      this.#result =
        accepted.kind === "found" ? { type: "founder", proposal: accepted } : { type: "joiner", cell, node };
      return;
    }
    const told = members.find(({ number }) => typeof number === "number")?.number;
    if (typeof told === "number") {
      this.#result = { type: "joiner", cell, node: told };
      return;
    }
    this.#wait(`${first.name} belongs to cell ${cell}, but does not know this node yet`);
    if (!isTick || members.some(({ number }) => number === "unknown")) return;
    if (++this.#refusedRounds < refusedRoundsMax) return;
    const add = `quipu cell add ${this.#me}=<address>`;
    throw refused(`cell ${cell} has no node named ${this.#me}. Run on one of its nodes: ${add}`);
  }

  /** Tests only. */
  #asIfAccepted(cell: number): Proposal {
    return { cell, kind: "found", coordinator: this.#me, names: this.#options.link.names };
  }

  // None is there

  async #found(fresh: ReadonlyMap<string, Heard>, isTick: boolean): Promise<void> {
    const { link, kind } = this.#options;
    const { names } = link;
    const isIn = (state: Standing["state"]): readonly string[] =>
      names.filter((name) => (name === this.#me ? kind === state : fresh.get(name)?.standing.state === state));
    const singles = isIn("single");
    if (singles.length > 1) {
      const text = `${singles.join(" and ")} each hold the data of a single process; a cell can begin with one only`;
      if (kind === "single") throw refused(`${text}. Start the others with an empty --data.`);
      return this.#wait(text);
    }
    const stranger = [...fresh].find(([, heard]) => !isSameNames(heard.names, names));
    if (stranger !== undefined) {
      const lists = `${stranger[0]} was started with ${stranger[1].names.join(", ")}, this node with ${names.join(", ")}`;
      return this.#wait(`the nodes list different peers: ${lists}`);
    }
    const damaged = isIn("damaged");
    if (damaged.length > 0) {
      const lost = `the data directory of ${damaged.join(", ")} has lost the identity of its node`;
      return this.#wait(`${lost}: its cell takes it back, but none can be founded with it. Empty it to found one.`);
    }
    const absent = this.#others.filter((name) => !fresh.has(name));
    if (absent.length > 0)
      return this.#wait(`no answer from ${absent.join(", ")}: a cell is founded by all of its nodes`);
    const coordinator = singles[0] ?? names[0];
    if (coordinator !== this.#me) return this.#wait(`${coordinator} founds the cell`);
    await this.#propose(fresh, isTick);
  }

  async #propose(fresh: ReadonlyMap<string, Heard>, isTick: boolean): Promise<void> {
    const attempt = this.#presentAttempt();
    const { proposal, accepted, sent } = attempt;
    const isAgreed = (name: string): boolean => accepted.has(name);
    for (const name of this.#options.link.names.filter((each) => !isAgreed(each))) {
      const before = name === this.#me ? this.#accepted : acceptedBy(fresh.get(name)?.standing);
      if (this.#mustWaitFor(before, name, attempt)) continue;
      if (name === this.#me) {
        if (before?.cell !== proposal.cell) await this.#accept(proposal);
        accepted.add(name);
      } else if (isTick || !sent.has(name)) {
        sent.add(name);
        this.#options.link.send(name, { type: "propose", proposal, expects: before?.cell ?? 0 });
      }
    }
    const missing = this.#options.link.names.filter((name) => !isAgreed(name));
    const isEnough = missing.length === 0 || this.#options.mutation === "commit-before-all-accepted";
    if (isEnough && isAgreed(this.#me)) await this.#commit(proposal);
    else this.#wait(`${missing.join(", ")} has yet to agree to cell ${proposal.cell}`);
  }

  /** The one under way, unless this node has meanwhile accepted another. */
  #presentAttempt(): Attempt {
    if (this.#attempt !== undefined) return this.#attempt;
    const { link, kind, random } = this.#options;
    const what = { kind: kind === "single" ? "adopt" : "found", coordinator: this.#me, names: link.names } as const;
    const last = this.#accepted;
    const isMine = last?.coordinator === this.#me && last.kind === what.kind && isSameNames(last.names, what.names);
    // Where this node was interrupted it goes on.
    const proposal = isMine ? last : { cell: drawCell(random), ...what };
    this.#attempt = { proposal, accepted: new Set(), sent: new Set() };
    return this.#attempt;
  }

  /** Its coordinator may be committing what stands on that disk at this very moment: it has to let go first. */
  #mustWaitFor(
    before: Pick<Proposal, "cell" | "coordinator"> | undefined,
    name: string,
    { proposal, accepted }: Attempt,
  ): boolean {
    if (before === undefined || before.cell === proposal.cell) return false;
    const { coordinator } = before;
    if (coordinator === this.#me || coordinator === name || accepted.has(coordinator)) return false;
    return this.#options.link.names.includes(coordinator);
  }

  async #commit(proposal: Proposal): Promise<void> {
    if (proposal.kind === "found") {
      this.#result = { type: "founder", proposal };
      return;
    }
    await this.#options.register.store({ proposal, phase: "committed", startsAfter: 0 });
    this.#result = { type: "adopter", proposal };
  }

  async #onPropose(from: string, proposal: Proposal, expects: number): Promise<void> {
    const { link, kind } = this.#options;
    if (kind !== "empty" || proposal.coordinator !== from || !isSameNames(proposal.names, link.names)) return;
    if (this.#accepted?.cell !== proposal.cell) {
      if (expects !== (this.#accepted?.cell ?? 0)) return;
      await this.#accept(proposal);
      this.#attempt = undefined;
    }
    link.send(from, { type: "accepted", cell: proposal.cell });
  }

  async #accept(proposal: Proposal): Promise<void> {
    const { register, mutation } = this.#options;
    const founding = { proposal, phase: "accepted", startsAfter: 0 } as const;
    if (mutation === "accept-not-durable") register.pretend(founding);
    else await register.store(founding);
  }
}

function acceptedBy(standing: Standing | undefined): Pick<Proposal, "cell" | "coordinator"> | undefined {
  return standing?.state === "founding" ? standing : undefined;
}

/** 1 .. 2^48 - 1, as frames have room for. */
export function drawCell(random: Random): number {
  return Math.max(1, random.uint32() * 0x1_0000 + random.below(0x1_0000));
}

function refused(text: string): QuipuError {
  return new QuipuError("INVALID_CONFIGURATION", text);
}
