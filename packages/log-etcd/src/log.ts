/**
 * One log on etcd, below `<prefix>log/<name>/`:
 *
 * - `e/<20 digits>`: the batches, by number
 * - `t`: the head: how many batches there are and where they end. Appends are conditional on its revision.
 * - `s`: there once the log is sealed. Appends are conditional on its absence.
 * - `r`: what is removed. Beside the head, so that a trim does not get into the way of appends.
 *
 * `r`, `s` and `t` are one range, so one request shows them as of one moment.
 */
import { type Lsn, lsn, QuipuError } from "@quipu/core";
import type { ExternalLog, LogHead } from "@quipu/log";
import type { EtcdClient } from "./client.ts";
import { numberOf, readNote, writeNote } from "./notes.ts";
import type { Quota } from "./quota.ts";
import { watchRange } from "./watch.ts";
import {
  bytesOf,
  isAbsent,
  isUnchanged,
  type KeyValue,
  keyOf,
  notOurs,
  put,
  range,
  type RangeReply,
  type TxnReply,
} from "./wire.ts";

/** Read at once where the batches are small. */
const readBatchesMax = 512;
/** Taken for the size of batches before any was read: too much rather than too little. */
const firstSizeGuess = 512 * 1024;
/** A trim that others overtake this often has been done by them. */
const trimAttemptsMax = 10;

export class EtcdLog implements ExternalLog {
  readonly #client: EtcdClient;
  readonly #quota: Quota;
  readonly #name: string;
  readonly #base: string;
  readonly #watchPauseMs: number;
  /** Of the batches read, smoothed. */
  #batchBytes = firstSizeGuess;

  constructor(client: EtcdClient, quota: Quota, base: string, name: string, watchPauseMs: number) {
    this.#client = client;
    this.#quota = quota;
    this.#base = base;
    this.#name = name;
    this.#watchPauseMs = watchPauseMs;
  }

  async head(): Promise<LogHead> {
    return this.#headOf(await this.#client.call<RangeReply>("read", "/v3/kv/range", this.#marks));
  }

  async append(at: LogHead, batch: Uint8Array, tail: Lsn): Promise<LogHead | undefined> {
    this.#quota.check();
    const key = this.#batchKey(at.nextBatch);
    const head = headNote(this.#name, at.nextBatch + 1, tail);
    const reply = await this.#client.call<TxnReply>("write", "/v3/kv/txn", {
      compare: [isUnchanged(this.#key("t"), at.token), isAbsent(this.#key("s")), isAbsent(key)],
      success: [put(key, batch), put(this.#key("t"), head), { request_range: this.#marks }],
      failure: [{ request_range: this.#marks }, { request_range: { ...range(key), keys_only: true } }],
    });
    const [first, second, third] = (reply.responses ?? []).map((response) => response.response_range);
    if (reply.succeeded === true) return this.#headOf(third ?? {});
    const now = this.#headOf(first ?? {});
    if (now.token === at.token && !now.sealed && second?.kvs !== undefined) {
      throw notOurs(key, "it is there, but the head of the log says that it is not written yet");
    }
    return undefined;
  }

  async read(from: number, bytesMax: number): Promise<readonly Uint8Array[]> {
    const limit = Math.min(readBatchesMax, Math.max(1, Math.floor(bytesMax / this.#batchBytes)));
    const request = range(this.#batchKey(from), this.#batchKey(Number.MAX_SAFE_INTEGER), limit);
    const reply = await this.#client.call<RangeReply>("read", "/v3/kv/range", request).catch((error: unknown) => {
      // Perhaps it takes too long: the next attempt asks for less.
      this.#batchBytes *= 4;
      throw error;
    });
    const found: Uint8Array[] = [];
    for (const pair of reply.kvs ?? []) {
      // A hole: what stands above it is not what was asked for.
      if (keyOf(pair) !== this.#batchKey(from + found.length)) break;
      const bytes = bytesOf(pair);
      this.#batchBytes += (bytes.length - this.#batchBytes) / 4;
      found.push(bytes);
    }
    return found;
  }

  async seal(): Promise<void> {
    const key = this.#key("s");
    const reply = await this.#client.call<TxnReply>("write", "/v3/kv/txn", {
      compare: [isAbsent(key)],
      success: [put(key, writeNote("seal", { log: this.#name }))],
      failure: [{ request_range: range(key) }],
    });
    if (reply.succeeded === true) return;
    this.#checkNote(reply.responses?.[0]?.response_range?.kvs?.[0], "seal");
  }

  async trim(firstBatch: number, trimmedUpTo: Lsn): Promise<void> {
    const key = this.#key("r");
    for (let attempt = 1; attempt <= trimAttemptsMax; attempt++) {
      const { kvs = [] } = await this.#client.call<RangeReply>("read", "/v3/kv/range", this.#marks);
      const stored = kvs.find((pair) => keyOf(pair) === key);
      if (this.#headOf({ kvs }).firstBatch >= firstBatch) break;
      const note = writeNote("removed", { log: this.#name, firstBatch, trimmedUpTo });
      const reply = await this.#client.call<TxnReply>("write", "/v3/kv/txn", {
        compare: [isUnchanged(key, stored?.mod_revision ?? "0")],
        success: [put(key, note)],
      });
      if (reply.succeeded === true) break;
    }
    // Again, also where the mark was there already: whoever set it may have died before this.
    const range_end = Buffer.from(this.#batchKey(firstBatch)).toString("base64");
    await this.#client.call("write", "/v3/kv/deleterange", { ...range(this.#batchKey(0)), range_end });
  }

  watch(onHint: (nextBatch?: number) => void): { readonly close: () => void } {
    const head = this.#key("t");
    return watchRange(this.#client, this.#marks, this.#watchPauseMs, (pair) => {
      if (pair === undefined || keyOf(pair) !== head) return onHint();
      try {
        onHint(numberOf(head, readNote(head, "head", bytesOf(pair)), "nextBatch", 1));
      } catch {
        // Whoever looks at the head will say so.
        onHint();
      }
    });
  }

  #headOf({ kvs = [] }: RangeReply): LogHead {
    const of = (name: string): KeyValue | undefined => kvs.find((pair) => keyOf(pair) === this.#key(name));
    const stored = of("t");
    const head = this.#checkNote(stored, "head");
    const removed = of("r") === undefined ? undefined : this.#checkNote(of("r"), "removed");
    if (of("s") !== undefined) this.#checkNote(of("s"), "seal");
    const key = this.#key("t");
    const removedKey = this.#key("r");
    return {
      nextBatch: numberOf(key, head, "nextBatch", 1),
      tail: lsn(numberOf(key, head, "tail", 1)),
      firstBatch: removed === undefined ? 1 : numberOf(removedKey, removed, "firstBatch", 1),
      trimmedUpTo: removed === undefined ? 0 : numberOf(removedKey, removed, "trimmedUpTo", 0),
      sealed: of("s") !== undefined,
      token: stored?.mod_revision ?? "0",
      // Revisions are int64.
      wearsOut: false,
    };
  }

  #checkNote(pair: KeyValue | undefined, kind: "head" | "seal" | "removed"): Readonly<Record<string, unknown>> {
    const key = this.#key({ head: "t", seal: "s", removed: "r" }[kind]);
    if (pair === undefined) throw notOurs(key, "it is gone");
    const note = readNote(key, kind, bytesOf(pair));
    if (note["log"] !== this.#name) throw notOurs(key, `it is of the log ${String(note["log"])}`);
    return note;
  }

  /** `r`, `s` and `t`, in one look. */
  get #marks(): ReturnType<typeof range> {
    return range(this.#key("r"), this.#key("u"));
  }

  #key(name: string): string {
    return `${this.#base}${name}`;
  }

  #batchKey(number: number): string {
    return `${this.#base}e/${String(number).padStart(20, "0")}`;
  }
}

/** What `t` holds. */
export function headNote(name: string, nextBatch: number, tail: number): string {
  return writeNote("head", { log: name, nextBatch, tail });
}

/** Throws LOG_CORRUPT where what stands at `t` is not the head of `name`. */
export function checkHead(key: string, name: string, pair: KeyValue | undefined): void {
  if (pair === undefined) throw notOurs(key, "it is gone, but other keys of the log are there");
  const note = readNote(key, "head", bytesOf(pair));
  if (note["log"] !== name) throw new QuipuError("LOG_CORRUPT", `etcd key ${key}: it is of log ${String(note["log"])}`);
}
