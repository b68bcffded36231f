/** One append, or seal, of this member's own replica, from the call to its outcome. */
import type { LogIndex, Term } from "@quipu/consensus";
import { lsn, QuipuError } from "@quipu/core";
import type { Forward } from "@quipu/protocol";
import type { Appended } from "../../loglet.ts";

export interface Operation {
  readonly content: Forward["operation"];
  readonly bytes: number;
  readonly deadlineTicks: number;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: QuipuError) => void;
}

/** Where a leader put an operation into its log. */
export interface Place {
  readonly term: Term;
  readonly first: LogIndex;
  readonly last: LogIndex;
}

export function appendedAt({ first, last }: Pick<Place, "first" | "last">): Appended {
  return { first: lsn(first), last: lsn(last) };
}

export function sealedError(): QuipuError {
  return new QuipuError("LOG_SEALED", "the log is sealed");
}

export function unknownError(why: string): QuipuError {
  return new QuipuError("LOG_APPEND_UNKNOWN", `the append may still appear in the log: ${why}`);
}

/** What a leader's refusal means for the caller: surely not in the log. */
export function refusedError(reason: "sealed" | "overloaded" | "refused"): QuipuError {
  return reason === "sealed" ? sealedError() : new QuipuError("OVERLOADED", `the leader did not take it: ${reason}`);
}
