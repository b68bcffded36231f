/**
 * What nodes say to each other before they belong to a cell, and the port it travels through. JSON values, checked here:
 * whatever a peer sends, nothing throws.
 */
import { QuipuError } from "@quipu/core";

/**
 * The server's authenticated control channel between the listed nodes. Best effort: a message may be lost, repeated, late,
 * out of order; it is from whom the channel says.
 */
export interface FoundingLink {
  /** Of this node. */
  readonly name: string;
  /** All listed, this node's included; ascending, without repeats. */
  readonly names: readonly string[];
  send(to: string, message: FoundingMessage): void;
  /** The last handler given counts. */
  onMessage(handler: (from: string, message: unknown) => void): void;
}

/** A cell that may come to be. It does once every listed node has it on its disk. */
export interface Proposal {
  readonly cell: number;
  /** `found`: of empty nodes, all founders. `adopt`: of the coordinator alone, whose data it goes on with; others join. */
  readonly kind: "found" | "adopt";
  readonly coordinator: string;
  readonly names: readonly string[];
}

/** Where a node stands. */
export type Standing =
  | { readonly state: "empty" }
  /** Its directory holds the data of a single process. */
  | { readonly state: "single" }
  /** Its directory was a cell's and has lost its identity: only a cell that is there can take it back. */
  | { readonly state: "damaged" }
  /** Empty, and it has accepted that cell. */
  | { readonly state: "founding"; readonly cell: number; readonly coordinator: string }
  /** `number`: that of who asks, in the cell's roster. "unknown": this node cannot tell yet; null: it is not in it. */
  | { readonly state: "member"; readonly cell: number; readonly number: number | "unknown" | null };

export type FoundingMessage =
  | { readonly type: "ask"; readonly question: number }
  | {
      readonly type: "answer";
      readonly question: number;
      readonly standing: Standing;
      readonly names: readonly string[];
    }
  /** `expects`: the cell that the addressee has accepted before, else 0. A late one changes nothing. */
  | { readonly type: "propose"; readonly proposal: Proposal; readonly expects: number }
  | { readonly type: "accepted"; readonly cell: number };

/** As many as the engine promotes to voters: more survive no more failures that come one by one. */
export const listedNodesMax = 7;
/** A host name has at most so many characters, and a node's name is no longer. */
const nameCharactersMax = 253;
const cellMax = 2 ** 48 - 1;
const nodeNumberMax = 1023;

/** Rejects what no cell can be founded with. */
export function checkNames({ name, names }: Pick<FoundingLink, "name" | "names">): void {
  const listed = names.join(", ");
  if (!names.includes(name)) {
    throw new QuipuError("INVALID_CONFIGURATION", `the node's own name, ${name}, is not among the listed: ${listed}`);
  }
  if (isNames(names)) return;
  const wanted = `1 to ${listedNodesMax} names, ascending, without repeats, each at most ${nameCharactersMax} characters`;
  throw new QuipuError("INVALID_CONFIGURATION", `a cell is founded by ${wanted}; listed: ${listed}`);
}

export function isSameNames(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((name, i) => name === right[i]);
}

/** Undefined: no message that this version knows. */
export function parseFoundingMessage(value: unknown): FoundingMessage | undefined {
  if (!isObject(value)) return undefined;
  const { type, question, cell, expects, names } = value;
  switch (type) {
    case "ask":
      return isCount(question) ? { type, question } : undefined;
    case "answer": {
      const standing = parseStanding(value["standing"]);
      if (standing === undefined || !isCount(question) || !isNames(names)) return undefined;
      return { type, question, standing, names };
    }
    case "propose": {
      const proposal = parseProposal(value["proposal"]);
      const isSound = proposal !== undefined && (expects === 0 || isCell(expects));
      return isSound ? { type, proposal, expects: expects as number } : undefined;
    }
    case "accepted":
      return isCell(cell) ? { type, cell } : undefined;
    default:
      return undefined;
  }
}

export function parseProposal(value: unknown): Proposal | undefined {
  if (!isObject(value)) return undefined;
  const { cell, kind, coordinator, names } = value;
  if (!isCell(cell) || (kind !== "found" && kind !== "adopt") || !isName(coordinator) || !isNames(names)) {
    return undefined;
  }
  return names.includes(coordinator) ? { cell, kind, coordinator, names } : undefined;
}

function parseStanding(value: unknown): Standing | undefined {
  if (!isObject(value)) return undefined;
  const { state, cell, coordinator, number } = value;
  switch (state) {
    case "empty":
    case "single":
    case "damaged":
      return { state };
    case "founding":
      return isCell(cell) && isName(coordinator) ? { state, cell, coordinator } : undefined;
    case "member":
      if (!isCell(cell)) return undefined;
      if (number === "unknown" || number === null) return { state, cell, number };
      return isCount(number) && number >= 1 && number <= nodeNumberMax ? { state, cell, number } : undefined;
    default:
      return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCell(value: unknown): value is number {
  return isCount(value) && value >= 1 && value <= cellMax;
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.length >= 1 && value.length <= nameCharactersMax;
}

function isNames(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > listedNodesMax) return false;
  return value.every((name, i) => isName(name) && (i === 0 || (value[i - 1] as string) < name));
}
