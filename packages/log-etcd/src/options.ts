/** How to reach an etcd cluster, and how much of it to use. */
import type { Clock } from "@quipu/core";
import type { Pressure } from "./quota.ts";

export interface EtcdOptions {
  /** `http://host:port` or `https://host:port` of members of one cluster; tried in this order. */
  readonly endpoints: readonly string[];
  /** Everything of ours is below it. It ends with a slash. Default: `/quipu/`. */
  readonly prefix?: string;
  /** Whose logs are below the prefix: a second cell is refused there. Default: whoever comes. */
  readonly cell?: string;
  /** PEM. `ca` beside what the system trusts not at all: instead of it. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly user?: { readonly name: string; readonly password: string };
  readonly clock: Clock;
  /** A request without an answer is given up after this. Default: 5 s, about what etcd itself allows an election. */
  readonly requestTimeoutMs?: number;
  /** A connection that does not come about is given up after this. Default: 1 s. */
  readonly connectTimeoutMs?: number;
  /** etcd's `--quota-backend-bytes`, which it does not tell. Default: 2 GiB, as etcd's own. */
  readonly quotaBytes?: number;
  /** Most bytes of one value; etcd's `--max-request-bytes` must be half as large again. Default: 1 MiB. */
  readonly valueBytesMax?: number;
  /** Revisions of the whole cluster that are older are compacted away. Default: 5 minutes. 0: somebody else does it. */
  readonly compactAfterMs?: number;
  /** How often to look how full it is, and what to compact. Default: 5 s, in which a busy log writes some megabytes. */
  readonly lookEveryMs?: number;
  /** The database has become fuller, or emptier, than a limit. */
  readonly onPressure?: (pressure: Pressure) => void;
}

/** The options with all defaults. */
export type EtcdSettings = Required<Omit<EtcdOptions, "cell" | "tls" | "user" | "onPressure">> &
  Pick<EtcdOptions, "cell" | "tls" | "user" | "onPressure">;

const mebibyte = 1024 * 1024;

const defaults = {
  prefix: "/quipu/",
  requestTimeoutMs: 5000,
  connectTimeoutMs: 1000,
  quotaBytes: 2048 * mebibyte,
  valueBytesMax: mebibyte,
  compactAfterMs: 5 * 60_000,
  lookEveryMs: 5000,
};

export function withDefaults(options: EtcdOptions): EtcdSettings {
  return { ...defaults, ...options };
}
