/**
 * How full etcd's database is, and its history: it keeps every revision until it is compacted, and once it has reached its
 * quota it takes no writes before an operator has cleared its alarm. So nothing is appended when it comes near.
 */
import { QuipuError } from "@quipu/core";
import type { EtcdClient } from "./client.ts";
import type { EtcdSettings } from "./options.ts";
import type { StatusReply } from "./wire.ts";

/** `warn`: half of the quota is in use. `full`: 80 % is, or the file has 95 %; appends are refused with LOG_FULL. */
export interface Pressure {
  readonly level: "ok" | "warn" | "full";
  /** Size of the database's file; only a defragmentation makes it smaller. */
  readonly fileBytes: number;
  /** Of it, what is in use: the rest is free for new revisions. */
  readonly usedBytes: number;
  readonly quotaBytes: number;
}

const warnRatio = 0.5;
const fullRatio = 0.8;
/** The alarm goes by the file's size: at this one it is near whatever is free inside. */
const fileFullRatio = 0.95;

export class Quota {
  readonly #client: EtcdClient;
  readonly #settings: EtcdSettings;
  #pressure: Pressure;
  /** Revisions and when they were the newest, oldest first. */
  readonly #revisions: { readonly atMs: number; readonly revision: number }[] = [];
  #compacted = 0;
  #endTimer: (() => void) | undefined;
  #isClosed = false;

  constructor(client: EtcdClient, settings: EtcdSettings) {
    this.#client = client;
    this.#settings = settings;
    this.#pressure = { level: "ok", fileBytes: 0, usedBytes: 0, quotaBytes: settings.quotaBytes };
  }

  get pressure(): Pressure {
    return this.#pressure;
  }

  /** Throws LOG_FULL where nothing more should be appended. */
  check(): void {
    const { level, fileBytes, usedBytes, quotaBytes } = this.#pressure;
    if (level !== "full") return;
    throw new QuipuError(
      "LOG_FULL",
      `etcd: its database has ${fileBytes} bytes, ${usedBytes} in use, of a quota of ${quotaBytes}; ` +
        "trim, compact and defragment it, or raise its quota",
    );
  }

  /** Looks now, and then again and again. A look that fails says nothing. */
  async look(): Promise<void> {
    this.#endTimer?.();
    try {
      const status = await this.#client.call<StatusReply>("read", "/v3/maintenance/status", {});
      this.#see(status);
      await this.#compact(Number(status.header?.revision ?? 0));
    } catch (error) {
      if (!(error instanceof QuipuError)) throw error;
    }
    if (!this.#isClosed) this.#endTimer = this.#client.later(this.#settings.lookEveryMs, () => void this.look());
  }

  close(): void {
    this.#isClosed = true;
    this.#endTimer?.();
  }

  #see(status: StatusReply): void {
    const { quotaBytes, onPressure } = this.#settings;
    const fileBytes = Number(status.dbSize ?? 0);
    const usedBytes = Number(status.dbSizeInUse ?? fileBytes);
    const isFull = usedBytes >= fullRatio * quotaBytes || fileBytes >= fileFullRatio * quotaBytes;
    const level = isFull ? "full" : usedBytes >= warnRatio * quotaBytes ? "warn" : "ok";
    const before = this.#pressure.level;
    this.#pressure = { level, fileBytes, usedBytes, quotaBytes };
    if (level !== before) onPressure?.(this.#pressure);
  }

  /** Compacts to what was the newest revision `compactAfterMs` ago. Several nodes doing so do no harm. */
  async #compact(revision: number): Promise<void> {
    const { clock, compactAfterMs } = this.#settings;
    if (compactAfterMs === 0) return;
    const nowMs = clock.monotonicMs();
    this.#revisions.push({ atMs: nowMs, revision });
    let old = 0;
    while ((this.#revisions[0]?.atMs ?? nowMs) <= nowMs - compactAfterMs)
      old = this.#revisions.shift()?.revision ?? old;
    if (old <= this.#compacted) return;
    this.#compacted = old;
    await this.#client.call("write", "/v3/kv/compaction", { revision: String(old) });
  }
}
