/**
 * What a failed request means. The rule for writes: definite only where it is known that nothing was done; a word that is not
 * known here, a timeout, a connection that broke after the request had left are all unknown.
 */
import { type ErrorCode, QuipuError } from "@quipu/core";

/** Whether a request may be repeated without harm. */
export type RequestKind = "read" | "write";

/** A request that brought no result. */
export interface Failure {
  /** Endpoint and cause, for people. */
  readonly message: string;
  /** Undefined: unknown for a write; for a read another member may do. */
  readonly code: ErrorCode | undefined;
  /** The member did nothing and never will: another may be asked, for a write, too. */
  readonly isUntouched: boolean;
  /** The token is no longer good: with a new one the same request may be sent again. */
  readonly isTokenOld?: boolean;
  readonly cause?: unknown;
}

/** What etcd says, and what it is here. In order of search; parts of the text of etcd's api/v3rpc/rpctypes/error.go. */
const refusals: readonly { readonly text: string; readonly code: ErrorCode }[] = [
  { text: "database space exceeded", code: "LOG_FULL" },
  { text: "request is too large", code: "INVALID_CONFIGURATION" },
  { text: "larger than max", code: "INVALID_CONFIGURATION" },
  { text: "permission denied", code: "INVALID_CONFIGURATION" },
  { text: "authentication failed", code: "INVALID_CONFIGURATION" },
  { text: "authentication is not enabled", code: "INVALID_CONFIGURATION" },
  { text: "user name is empty", code: "INVALID_CONFIGURATION" },
  { text: "user name not found", code: "INVALID_CONFIGURATION" },
  { text: "too many requests", code: "NOQUORUM" },
  { text: "corrupt cluster", code: "NOQUORUM" },
];

/** Tokens are forgotten when they expire, when their member restarts, and when users or roles change. */
const oldTokens: readonly string[] = ["invalid auth token", "revision of auth store is old"];

/** A member answered with an error. */
export function answeredFailure(endpoint: string, status: number, body: string): Failure {
  const text = errorText(body) ?? `HTTP ${status} ${body.slice(0, 200).trim()}`;
  const message = `etcd ${endpoint}: ${text}`;
  if (oldTokens.some((known) => text.includes(known))) {
    return { message, code: "INVALID_CONFIGURATION", isUntouched: false, isTokenOld: true };
  }
  const known = refusals.find((refusal) => text.includes(refusal.text));
  // Without an error of etcd's it is no gateway of etcd's that answers, or one that speaks only TLS.
  const isElse = errorText(body) === undefined && status >= 400 && status < 500;
  return { message, code: known?.code ?? (isElse ? "INVALID_CONFIGURATION" : undefined), isUntouched: false };
}

/** Nobody answered. `isSent`: the request may have reached the member. */
export function connectionFailure(endpoint: string, error: Error, isSent: boolean): Failure {
  const { code = "" } = error as NodeJS.ErrnoException;
  const message = `etcd ${endpoint}: ${error.message || code}`;
  // What OpenSSL and Node.js call the many ways in which two sides cannot agree on certificates.
  const isTls = /CERT|SELF_SIGNED|UNABLE_TO|^ERR_SSL|^ERR_TLS|^EPROTO$/.test(code);
  return { message, code: isTls ? "INVALID_CONFIGURATION" : undefined, isUntouched: !isSent, cause: error };
}

/** The failure as what callers get. */
export function toError(kind: RequestKind, failure: Failure): QuipuError {
  const open = kind === "write" && !failure.isUntouched ? "LOG_APPEND_UNKNOWN" : "NOQUORUM";
  return new QuipuError(failure.code ?? open, failure.message, { cause: failure.cause });
}

function errorText(body: string): string | undefined {
  try {
    const { error, message } = JSON.parse(body) as { readonly error?: unknown; readonly message?: unknown };
    if (typeof error === "string") return error;
    if (typeof message === "string") return message;
    const nested = (error as { readonly message?: unknown } | undefined)?.message;
    return typeof nested === "string" ? nested : undefined;
  } catch {
    return undefined;
  }
}
