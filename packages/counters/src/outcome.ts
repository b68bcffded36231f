/**
 * What a command answers. One mutable register per machine on the hot path: no object per command.
 *
 * The same shape, frozen as {@link OutcomeValue}, is what idempotency and session entries store and replay.
 */
import type { ErrorCode, Int64 } from "@quipu/core";

/** A self-contained outcome. `bytes` is never shared with a buffer that changes. */
export type OutcomeValue =
  | { readonly type: "ok" }
  | { readonly type: "nil" }
  | { readonly type: "integer"; readonly value: Int64 }
  | { readonly type: "bytes"; readonly value: Uint8Array }
  | { readonly type: "error"; readonly code: ErrorCode }
  | { readonly type: "array"; readonly items: readonly OutcomeValue[] };

/**
 * The outcome of a run: `count` equal adds to one key (a single add is a run of one).
 * The i-th caller (from 0) got `first + i * delta` if i < admitted, else `rejection`.
 * Mutable and reused: read it before the next command is applied.
 */
export class RunOutcome {
  first: Int64 = 0;
  delta: Int64 = 0;
  count = 0;
  /** 0 <= admitted <= count. */
  admitted = 0;
  rejection: ErrorCode = "OUT_OF_BOUNDS";
}
