/** The part of etcd's JSON that we speak. Bytes are base64, 64-bit numbers are text, and what is 0 or empty is left out. */
import { QuipuError } from "@quipu/core";

export interface KeyValue {
  readonly key: string;
  readonly value?: string;
  readonly mod_revision?: string;
  /** Counts the writes of the key since it was made. */
  readonly version?: string;
}

export interface RangeReply {
  readonly kvs?: readonly KeyValue[];
  readonly more?: boolean;
}

export interface TxnReply {
  readonly succeeded?: boolean;
  readonly responses?: readonly { readonly response_range?: RangeReply }[];
}

export interface StatusReply {
  readonly header?: { readonly revision?: string };
  readonly dbSize?: string;
  readonly dbSizeInUse?: string;
}

export interface WatchLine {
  readonly result?: {
    readonly created?: boolean;
    readonly canceled?: boolean;
    readonly events?: readonly { readonly kv?: KeyValue }[];
  };
}

export interface Compare {
  readonly key: string;
  readonly range_end?: string;
  readonly result: "EQUAL";
  readonly target: "MOD" | "CREATE" | "VERSION";
  readonly mod_revision?: string;
  readonly create_revision?: string;
  readonly version?: string;
}

export type Operation =
  | { readonly request_put: { readonly key: string; readonly value: string } }
  | { readonly request_range: RangeRequest }
  | { readonly request_delete_range: { readonly key: string; readonly range_end?: string } };

export interface RangeRequest {
  readonly key: string;
  readonly range_end?: string;
  readonly limit?: number;
  readonly keys_only?: boolean;
}

export function base64(value: string | Uint8Array): string {
  const bytes =
    typeof value === "string" ? Buffer.from(value) : Buffer.from(value.buffer, value.byteOffset, value.length);
  return bytes.toString("base64");
}

export function keyOf(pair: KeyValue): string {
  return Buffer.from(pair.key, "base64").toString("utf8");
}

export function bytesOf(pair: KeyValue): Uint8Array {
  return Buffer.from(pair.value ?? "", "base64");
}

/** The end of the range of all keys that begin with `prefix`, which ends in an ASCII character. */
export function endOfPrefix(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/** Nothing is at `key`, or from there up to `end`. */
export function isAbsent(key: string, end?: string): Compare {
  const range = end === undefined ? {} : { range_end: base64(end) };
  return { key: base64(key), ...range, result: "EQUAL", target: "CREATE", create_revision: "0" };
}

/** `key` was last written at `revision`; 0: is absent. */
export function isUnchanged(key: string, revision: string): Compare {
  return { key: base64(key), result: "EQUAL", target: "MOD", mod_revision: revision };
}

export function put(key: string, value: string | Uint8Array): Operation {
  return { request_put: { key: base64(key), value: base64(value) } };
}

export function range(key: string, end?: string, limit?: number): RangeRequest {
  return {
    key: base64(key),
    ...(end === undefined ? {} : { range_end: base64(end) }),
    ...(limit === undefined ? {} : { limit }),
  };
}

/** What stands at `key` is not what we write there. */
export function notOurs(key: string, what: string): QuipuError {
  return new QuipuError("LOG_CORRUPT", `etcd key ${key}: ${what}`);
}
