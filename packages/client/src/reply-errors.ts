/** Error replies as QuipuErrors: the first word decides, and Redis' own texts where that word is `ERR`. */
import { type ErrorCode, type Outcome, QuipuError } from "@quipu/core";
import type { ReplyError } from "@quipu/protocol";

const codeOfWord: ReadonlyMap<string, ErrorCode> = new Map([
  ["OUTOFBOUNDS", "OUT_OF_BOUNDS"],
  ["CONFLICT", "PRECONDITION_FAILED"],
  ["WRONGTYPE", "NOT_AN_INTEGER"],
  ["IDEMPOTENCYMISMATCH", "IDEMPOTENCY_MISMATCH"],
  ["IDEMPOTENCYEXPIRED", "IDEMPOTENCY_EXPIRED"],
  ["SESSIONEXPIRED", "SESSION_EXPIRED"],
  ["SESSIONNUMBER", "SESSION_NUMBER_USED"],
  ["OVERLOADED", "OVERLOADED"],
  ["NOAUTH", "UNAUTHENTICATED"],
  ["WRONGPASS", "UNAUTHENTICATED"],
  ["NOPERM", "UNAUTHENTICATED"],
  ["INDOUBT", "INDOUBT"],
]);

const codeOfErrText: readonly (readonly [RegExp, ErrorCode])[] = [
  [/not an integer/, "NOT_AN_INTEGER"],
  [/overflow/, "OVERFLOW"],
  [/invalid (username|password)/i, "UNAUTHENTICATED"],
];

/** What an error reply is called in the catalogue. An unknown first word may mean anything: INDOUBT. */
export function replyErrorCode(error: ReplyError): ErrorCode {
  const code = codeOfWord.get(error.code);
  if (code !== undefined) return code;
  if (error.code !== "ERR") return "INDOUBT";
  return codeOfErrText.find(([text]) => text.test(error.text))?.[1] ?? "INVALID_ARGUMENT";
}

/** `outcome` overrides the catalogue's, where earlier attempts matter too (promise P7). */
export function replyQuipuError(error: ReplyError, outcome?: Outcome): QuipuError {
  return new QuipuError(replyErrorCode(error), error.text, outcome === undefined ? {} : { outcome });
}

/** The same batch may pass in a moment, or through another endpoint. */
export function isTemporary(code: ErrorCode): boolean {
  return code === "OVERLOADED" || code === "INDOUBT";
}
