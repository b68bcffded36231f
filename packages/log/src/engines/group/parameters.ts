/** What a segment of a chain says of the group that keeps it, as JSON text: `{"group":7,"members":[1,2,3]}`. */
import { type LogIndex, type MemberId, membersMax } from "@quipu/consensus";
import { invariant, QuipuError } from "@quipu/core";

export interface GroupParameters {
  /** From 1, below 2^32; unique in the cell for ever. */
  readonly group: number;
  /** Founding voters, ascending. Nobody: whoever opens it has to be let in (Raft). */
  readonly members: readonly MemberId[];
  /** The records up to there are in the state that each founder has already, and the log goes on above them. */
  readonly after?: LogIndex;
}

const u32Max = 0xffff_ffff;

export function encodeGroupParameters(parameters: GroupParameters): string {
  const fault = parametersFault(parameters);
  invariant(fault === undefined, `parameters of a group: ${fault}`);
  const { group, members, after } = parameters;
  return JSON.stringify({ group, members, ...(after !== undefined && { after }) });
}

/** Throws LOG_CORRUPT where `text` is not what {@link encodeGroupParameters} gives. */
export function decodeGroupParameters(text: string): GroupParameters {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new QuipuError("LOG_CORRUPT", `the parameters of a group are not JSON: ${text}`, { cause: error });
  }
  const fault = typeof value === "object" && value !== null ? parametersFault(value) : "no object";
  if (fault !== undefined) throw new QuipuError("LOG_CORRUPT", `the parameters of a group: ${fault}: ${text}`);
  const { group, members, after } = value as GroupParameters;
  return { group, members, ...(after !== undefined && { after }) };
}

function parametersFault(value: { readonly [Name in keyof GroupParameters]?: unknown }): string | undefined {
  const { group, members, after } = value;
  if (!isWhole(group, 1, u32Max)) return "no number of a group";
  if (after !== undefined && !isWhole(after, 0, Number.MAX_SAFE_INTEGER)) return "no position after which it begins";
  if (!Array.isArray(members) || members.length > membersMax) return "no list of members";
  for (const [place, member] of members.entries()) {
    if (!isWhole(member, 1, u32Max)) return "no member";
    if (place > 0 && member <= members[place - 1]) return "members out of order";
  }
  return undefined;
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max;
}
