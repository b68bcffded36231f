/** One log: an append is a transaction of three operations, and everything else keeps to what it checks. */
import { invariant, lsn, type Lsn, QuipuError } from "@quipu/core";
import type { ExternalLog, LogHead } from "@quipu/log";
import type { Client } from "./client.ts";
import {
  decodeHead,
  decodeTrim,
  encodeHead,
  encodeTrim,
  isSame,
  type LogPaths,
  logValue,
  noValue,
  openValue,
  sealedValue,
  type Trim,
  unsealedVersion,
} from "./layout.ts";
import { anyVersion, code, type Node, type Operation } from "./wire/protocol.ts";

export interface LogLimits {
  /** Most bytes of a batch. */
  readonly valueBytesMax: number;
  /** Appends that one log takes, ever; it wears out at half of them. */
  readonly appendsMax: number;
}

/** Removals in one transaction: as many as fit easily into one request. */
const removalsMax = 100;
/** Requests that one read has on their way: enough to hide the round trip, few enough to hold their answers. */
const readsMax = 32;
/** Of several that remove one log at once, each loses a race or two. */
const removeAttemptsMax = 3;

/** `barrier` is a node that is always there. */
export class ZooKeeperLog implements ExternalLog {
  readonly #client: Client;
  readonly #barrier: string;
  readonly #paths: LogPaths;
  readonly #limits: LogLimits;
  /** The furthest trim that this handle has shown. Trims leave the head's version alone, so an append may miss one. */
  #shownTrim = { firstBatch: 1, trimmedUpTo: 0 };

  constructor(client: Client, barrier: string, paths: LogPaths, limits: LogLimits) {
    this.#client = client;
    this.#barrier = barrier;
    this.#paths = paths;
    this.#limits = limits;
  }

  /** Idempotent: a log that is there stays as it is. */
  async make(): Promise<void> {
    const { log, open, head, trim, batches } = this.#paths;
    const made = await this.#client.transactSurely([
      { type: "create", path: log, value: logValue },
      { type: "create", path: open, value: openValue },
      { type: "create", path: head, value: encodeHead(1, lsn(1)) },
      { type: "create", path: trim, value: encodeTrim({ firstBatch: 1, trimmedUpTo: 0, removedBelow: 1 }) },
      { type: "create", path: batches, value: noValue },
    ]);
    if (made.done) return;
    if (made.code === code.noNode) throw this.#corrupt(log, "a node above it is missing");
    await this.check();
  }

  /** Rejects with LOG_CORRUPT if it is not all there, and ours. */
  async check(): Promise<void> {
    const { log, batches } = this.#paths;
    const [found, , , , foundBatches] = await this.#client.readLatest(this.#barrier, [
      log,
      ...this.#headPaths(),
      batches,
    ]);
    if (!isSame(this.#present(found, log).value, logValue)) throw this.#corrupt(log, "is not a log of ours");
    this.#present(foundBatches, batches);
    await this.head();
  }

  async head(): Promise<LogHead> {
    return this.#decode(await this.#client.readLatest(this.#barrier, this.#headPaths()));
  }

  /** From the server that this session is with: a read there, where {@link head} costs the ensemble a write. */
  async recent(): Promise<LogHead> {
    return this.#decode(await this.#client.readSeen(this.#headPaths()));
  }

  async append(at: LogHead, batch: Uint8Array, tail: Lsn): Promise<LogHead | undefined> {
    const { open, head } = this.#paths;
    const path = this.#paths.batch(at.nextBatch);
    const version = Number(at.token);
    invariant(batch.length <= this.#limits.valueBytesMax, `a batch of ${batch.length} bytes`);
    invariant(version === at.nextBatch - 1, `token ${at.token} for batch ${at.nextBatch}`);
    if (at.sealed) return undefined;
    if (version >= this.#limits.appendsMax) {
      throw this.#client.error("LOG_FULL", `${head} has had its ${version} changes: go on in another log`);
    }
    const result = await this.#client.transact([
      { type: "check", path: open, version: unsealedVersion },
      { type: "setData", path: head, value: encodeHead(at.nextBatch + 1, tail), version },
      { type: "create", path, value: batch },
    ]);
    if (result.done) {
      const trim = at.firstBatch > this.#shownTrim.firstBatch ? {} : this.#shownTrim;
      return this.#shown({ ...at, ...trim, nextBatch: at.nextBatch + 1, tail }, version + 1);
    }
    if (result.code === code.badVersion) return undefined;
    if (result.code === code.nodeExists) throw this.#corrupt(path, "is there, but the head does not say so");
    throw this.#corrupt([open, head, this.#paths.batches][result.failed] ?? path, "is missing");
  }

  async read(from: number, bytesMax: number): Promise<readonly Uint8Array[]> {
    const batches: Uint8Array[] = [];
    let bytes = 0;
    // The first alone: its size says how many fit. Then as many as are likely to.
    for (let ahead = 1; bytes < bytesMax || batches.length === 0;) {
      const numbers = Array.from({ length: ahead }, (_, i) => from + batches.length + i);
      const found = await this.#client.readEach(numbers.map((number) => this.#paths.batch(number)));
      for (const node of found) {
        if (node === undefined) return batches.length > 0 ? batches : this.#explainMissing(from);
        batches.push(node.value);
        bytes += node.value.length;
      }
      const average = Math.max(1, bytes / batches.length);
      ahead = Math.min(readsMax, Math.max(1, Math.floor((bytesMax - bytes) / average)));
    }
    return batches;
  }

  async seal(): Promise<void> {
    const { open } = this.#paths;
    const result = await this.#client.transactSurely([
      { type: "setData", path: open, value: sealedValue, version: unsealedVersion },
    ]);
    if (result.done) return;
    if (result.code !== code.badVersion) throw this.#corrupt(open, "is missing");
    const [found] = await this.#client.readSeen([open]);
    this.#decodeSealed(found);
  }

  async trim(firstBatch: number, trimmedUpTo: Lsn): Promise<void> {
    const wanted = await this.#allow(firstBatch, trimmedUpTo);
    // Another trim, here or elsewhere, may be at the same batches.
    for (let at = wanted.removedBelow; at < wanted.firstBatch;) {
      const end = Math.min(wanted.firstBatch, at + removalsMax);
      await this.#removeBatches(at, end);
      at = end;
    }
    await this.#changeTrim((trim) =>
      trim.removedBelow >= wanted.firstBatch ? undefined : { ...trim, removedBelow: wanted.firstBatch },
    );
  }

  watch(onHint: (nextBatch?: number) => void): { readonly close: () => void } {
    const { head, open } = this.#paths;
    const watches = [
      this.#client.watch(head, (node) => {
        const decoded = node === undefined ? undefined : decodeHead(node.value, node.version);
        onHint(decoded?.nextBatch);
      }),
      this.#client.watch(open, () => onHint()),
    ];
    return { close: () => watches.forEach((watch) => watch.close()) };
  }

  /** Idempotent; several may remove it at once. */
  async remove(): Promise<void> {
    const { log } = this.#paths;
    for (let attempt = 1; ; attempt++) {
      const [found] = await this.#client.readLatest(this.#barrier, [log]);
      if (found === undefined) return;
      if (!isSame(found.value, logValue)) throw this.#corrupt(log, "is not a log of ours");
      try {
        return await this.#removeAll();
      } catch (error) {
        // What is missing may have been removed by somebody who removes it, too, or by an attempt whose answer was lost.
        const mayBeGone = error instanceof QuipuError && error.code === "LOG_CORRUPT";
        if (!mayBeGone || attempt === removeAttemptsMax) throw error;
      }
    }
  }

  /** Sealed first, so that nobody writes below what is being removed. */
  async #removeAll(): Promise<void> {
    const { log, open, head, trim, batches } = this.#paths;
    await this.seal();
    const { nextBatch, tail } = await this.head();
    if (nextBatch > 1) await this.trim(nextBatch, lsn(tail - 1));
    const paths = [batches, trim, head, open, log];
    const result = await this.#client.transactSurely(
      paths.map((path): Operation => ({ type: "delete", path, version: anyVersion })),
    );
    if (result.done) return;
    const what = result.code === code.notEmpty ? "has nodes below it that are not ours" : "is missing";
    throw this.#corrupt(paths[result.failed] ?? log, what);
  }

  #headPaths(): readonly string[] {
    return [this.#paths.open, this.#paths.head, this.#paths.trim];
  }

  #decode([open, head, trim]: readonly (Node | undefined)[]): LogHead {
    const sealed = this.#decodeSealed(open);
    const { value, version } = this.#present(head, this.#paths.head);
    const decoded = decodeHead(value, version);
    if (decoded === undefined) throw this.#corrupt(this.#paths.head, "is not what was written there");
    const { firstBatch, trimmedUpTo } = this.#decodeTrim(trim);
    if (firstBatch > decoded.nextBatch) throw this.#corrupt(this.#paths.trim, "is ahead of the head");
    if (firstBatch > this.#shownTrim.firstBatch) this.#shownTrim = { firstBatch, trimmedUpTo };
    return this.#shown({ ...decoded, firstBatch, trimmedUpTo, sealed }, version);
  }

  #shown(head: Omit<LogHead, "token" | "wearsOut">, version: number): LogHead {
    const { nextBatch, tail, firstBatch, trimmedUpTo, sealed } = head;
    const wearsOut = version >= this.#limits.appendsMax / 2;
    return { nextBatch, tail, firstBatch, trimmedUpTo, sealed, token: String(version), wearsOut };
  }

  #decodeSealed(open: Node | undefined): boolean {
    const { value, version } = this.#present(open, this.#paths.open);
    if (version === unsealedVersion && isSame(value, openValue)) return false;
    if (version === unsealedVersion + 1 && isSame(value, sealedValue)) return true;
    throw this.#corrupt(this.#paths.open, "is not what was written there");
  }

  #decodeTrim(trim: Node | undefined): Trim {
    const decoded = decodeTrim(this.#present(trim, this.#paths.trim).value);
    if (decoded === undefined) throw this.#corrupt(this.#paths.trim, "is not what was written there");
    return decoded;
  }

  /** Batch `from` is not there: because of whom? All that tells is read as of one moment. */
  async #explainMissing(from: number): Promise<readonly Uint8Array[]> {
    const path = this.#paths.batch(from);
    const [batch, ...rest] = await this.#client.readSeen([path, ...this.#headPaths()]);
    if (batch !== undefined) return [batch.value];
    const { firstBatch, nextBatch } = this.#decode(rest);
    if (from < firstBatch || from >= nextBatch) return [];
    throw this.#corrupt(path, "is missing: somebody removed it");
  }

  /** Says what may go, before anything goes; gives what is there then. */
  async #allow(firstBatch: number, trimmedUpTo: Lsn): Promise<Trim> {
    return this.#changeTrim((trim, nextBatch) => {
      invariant(firstBatch <= nextBatch, `trim below batch ${firstBatch}, but the next is ${nextBatch}`);
      return firstBatch <= trim.firstBatch ? undefined : { ...trim, firstBatch, trimmedUpTo };
    });
  }

  /** Undefined: it stays. */
  async #changeTrim(change: (trim: Trim, nextBatch: number) => Trim | undefined): Promise<Trim> {
    for (;;) {
      const nodes = await this.#client.readSeen(this.#headPaths());
      const { nextBatch } = this.#decode(nodes);
      const present = this.#decodeTrim(nodes[2]);
      const next = change(present, nextBatch);
      if (next === undefined) return present;
      const { version } = this.#present(nodes[2], this.#paths.trim);
      const result = await this.#client.transactSurely([
        { type: "setData", path: this.#paths.trim, value: encodeTrim(next), version },
      ]);
      if (result.done) return next;
      if (result.code !== code.badVersion) throw this.#corrupt(this.#paths.trim, "is missing");
    }
  }

  async #removeBatches(from: number, end: number): Promise<void> {
    const paths = Array.from({ length: end - from }, (_, i) => this.#paths.batch(from + i));
    const result = await this.#client.transactSurely(
      paths.map((path): Operation => ({ type: "delete", path, version: anyVersion })),
    );
    if (result.done) return;
    // Some of them are gone already.
    const codes = await this.#client.removeEach(paths);
    const failed = codes.findIndex((value) => value !== code.ok && value !== code.noNode);
    if (failed >= 0) throw this.#corrupt(paths[failed] ?? "", "has nodes below it that are not ours");
  }

  #present(node: Node | undefined, path: string): Node {
    if (node === undefined) throw this.#corrupt(path, "is missing: somebody removed it, or it never was there");
    return node;
  }

  #corrupt(path: string, what: string): QuipuError {
    return this.#client.error("LOG_CORRUPT", `${path} ${what}`);
  }
}
