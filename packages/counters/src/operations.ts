/**
 * The input language of the state machine: operations on keys, and commands that wrap them.
 *
 * Everything a record contains is one of these. Times are log time in milliseconds since the Unix epoch;
 * a relative time is resolved against log time when the record is applied, so a retry has the same bytes.
 */
import type { Int64, Lsn } from "@quipu/core";

/** One of Redis' 16 numbered databases: a namespace, 0..15. */
export type Database = number;

/** Where a value was last changed: the record, and the index of the operation in it. Text form `lsn-index`. */
export interface Position {
  readonly lsn: Lsn;
  readonly index: number;
}

/** What a write does to the expiry of its key. */
export type ExpiryChange =
  | { readonly type: "clear" }
  | { readonly type: "keep" }
  | { readonly type: "in"; readonly ms: number }
  | { readonly type: "at"; readonly ms: number };

/** When EXPIRE and its kin take effect (Redis' NX, XX, GT, LT; XX may join GT or LT). No expiry counts as infinite. */
export interface ExpireConditions {
  readonly ifNone: boolean;
  readonly ifSome: boolean;
  readonly ifLater: boolean;
  readonly ifEarlier: boolean;
}

interface OnKey {
  readonly database: Database;
  readonly key: Uint8Array;
}

export type WriteOperation =
  /** INCR, DECR, INCRBY, DECRBY: exact, within bounds. integer | error. */
  | ({ readonly type: "add"; readonly delta: Int64 } & OnKey)
  /** INCRBYFLOAT: exact decimal addition, 17 digits after the point kept. bytes | error. */
  | ({ readonly type: "addDecimal"; readonly increment: Uint8Array } & OnKey)
  /** INCREX (Redis 8.8). array [new value, applied increment] | error. Out of range is no error: [current, 0]. */
  | ({
      readonly type: "addWithin";
      readonly by:
        | {
            readonly type: "integer";
            readonly delta: Int64;
            readonly lower: Int64 | null;
            readonly upper: Int64 | null;
          }
        | {
            readonly type: "decimal";
            readonly increment: Uint8Array;
            readonly lower: Uint8Array | null;
            readonly upper: Uint8Array | null;
          };
      readonly saturate: boolean;
      readonly expiry: ExpiryChange;
      /** ENX: the expiry is set only where the key has none. */
      readonly expiryOnlyIfNone: boolean;
    } & OnKey)
  /** SET with all options, SETNX, SETEX, GETSET. returnPrevious: bytes/integer | nil; else ok | nil (condition failed). */
  | ({
      readonly type: "set";
      readonly value: Uint8Array;
      readonly condition: "always" | "ifAbsent" | "ifPresent";
      readonly returnPrevious: boolean;
      readonly expiry: ExpiryChange;
    } & OnKey)
  /** MSET: ok. MSETNX (ifNoneExists): integer 1 or 0. All or nothing: one value refused by bounds refuses all. */
  | {
      readonly type: "setMany";
      readonly database: Database;
      readonly pairs: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[];
      readonly ifNoneExists: boolean;
    }
  /** GETDEL: value | nil. */
  | ({ readonly type: "getAndDelete" } & OnKey)
  /** GETEX: value | nil. */
  | ({ readonly type: "getAndExpire"; readonly expiry: ExpiryChange } & OnKey)
  /** DEL, UNLINK: integer, how many existed. */
  | { readonly type: "delete"; readonly database: Database; readonly keys: readonly Uint8Array[] }
  /** EXPIRE family: integer 1 or 0. A time not after log time deletes the key (Redis), answering 1. */
  | ({
      readonly type: "expire";
      readonly expiry: Extract<ExpiryChange, { readonly ms: number }>;
      readonly conditions: ExpireConditions;
    } & OnKey)
  /** PERSIST: integer 1 or 0. */
  | ({ readonly type: "persist" } & OnKey)
  /**
   * Q.BOUND: sets, keeps or clears each end. An absent key starts at 0. array [min | nil, max | nil] | error
   * BOUND_EXCLUDES_VALUE unless force.
   */
  | ({
      readonly type: "bound";
      readonly minimum: Int64 | "keep" | "clear";
      readonly maximum: Int64 | "keep" | "clear";
      readonly force: boolean;
    } & OnKey)
  /** Compare-and-set. array [1, new value] or [0, present value | nil] | error (bounds). Keeps bounds and expiry. */
  | ({
      readonly type: "compareAndSet";
      readonly expected:
        | { readonly type: "absent" }
        | { readonly type: "value"; readonly value: Int64 }
        | { readonly type: "version"; readonly version: Position };
      readonly value: Int64;
    } & OnKey)
  /** FLUSHDB, FLUSHALL (database null): ok. */
  | { readonly type: "flush"; readonly database: Database | null };

export type ReadOperation =
  /** bytes | integer | nil. */
  | ({ readonly type: "get" } & OnKey)
  /** array of bytes | integer | nil. */
  | { readonly type: "getMany"; readonly database: Database; readonly keys: readonly Uint8Array[] }
  /** EXISTS, TOUCH: integer; a key named twice counts twice. */
  | { readonly type: "exists"; readonly database: Database; readonly keys: readonly Uint8Array[] }
  /** integer 1 if present, else 0. */
  | ({ readonly type: "typeOf" } & OnKey)
  /** TTL, PTTL (remaining), EXPIRETIME, PEXPIRETIME (absolute): integer ms or s; -2 no key, -1 no expiry. TTL rounds as Redis: (ms + 500) / 1000. */
  | ({ readonly type: "timeToLive"; readonly unit: "ms" | "s"; readonly absolute: boolean } & OnKey)
  /** integer. */
  | { readonly type: "databaseSize"; readonly database: Database }
  /** array [next cursor (integer, 0 = done), array of keys]. Walks slots; the cursor is the next slot. */
  | {
      readonly type: "scan";
      readonly database: Database;
      readonly cursor: number;
      readonly count: number;
      readonly pattern: Uint8Array | null;
    }
  /** array of keys that match a glob. */
  | { readonly type: "keys"; readonly database: Database; readonly pattern: Uint8Array }
  /** bytes | nil; `choice` is a random unsigned 32-bit integer drawn by the caller. */
  | { readonly type: "randomKey"; readonly database: Database; readonly choice: number }
  /** nil, or array [value, position text, min | nil, max | nil, expiry ms or -1]. */
  | ({ readonly type: "describe" } & OnKey)
  /** bytes: the version of the key as `lsn-index`; of an absent key, its slot's last removal. For WATCH. */
  | ({ readonly type: "versionOf" } & OnKey);

export type Operation = WriteOperation | ReadOperation;

/** A watched key and the version that it must still have (WATCH). */
export interface Watch extends OnKey {
  readonly version: Position;
}

/** MULTI … EXEC: array of outcomes, or nil if a watched key changed. As in Redis, one error does not undo the rest. */
export interface TransactionCommand {
  readonly type: "transaction";
  readonly watches: readonly Watch[];
  readonly operations: readonly Operation[];
}

/** Q.ONCE, Idempotency-Key: the outcome of the first time, again; DESIGN §4.5. */
export interface OnceCommand {
  readonly type: "once";
  /** The caller's key; its scope is the lowest slot among the keys of `command` (no keys: slot 0). */
  readonly id: Uint8Array;
  readonly retentionMs: number;
  /** When the caller made the id (UUIDv7, `AT ms`), or null. Older than the retention: IDEMPOTENCY_EXPIRED. */
  readonly bornAtMs: number | null;
  readonly command: Operation | TransactionCommand;
}

/** Q.BATCH: one numbered batch of an SDK session (RIFL). array [position text, replayed 0|1, array of outcomes] | error. */
export interface SessionCommand {
  readonly type: "session";
  readonly session: Uint8Array;
  /** Part of the session's identity: absolute expiry in log time. */
  readonly expiresAtMs: number;
  readonly number: number;
  /** The lowest number whose reply the client has not seen; replies below it are dropped. */
  readonly lowestOpen: number;
  readonly operations: readonly Operation[];
}

export type Command = Operation | TransactionCommand | OnceCommand | SessionCommand;
