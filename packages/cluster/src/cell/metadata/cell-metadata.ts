/**
 * The metadata store of a cell: registers on a small consensus group of their own, kept by every member, never on a virtual
 * log (which finds its chain here). The registers are written to this node's metadata file after each change, and only then
 * shown to anybody: so a node never forgets what it has acted upon, and the group's log stays short. Members that lack
 * what was trimmed get the whole state, which is small, in one message.
 */
import type { MemberId } from "@quipu/consensus";
import { type Clock, lsn, QuipuError, type Random } from "@quipu/core";
import type { LogDelivery, Loglet, MetadataStore, Register, Subscription } from "@quipu/log";
import type { SnapshotChunk, SnapshotRequest } from "@quipu/protocol";
import { crc32 } from "node:zlib";
import type { MetadataMutation } from "../../mutation.ts";
import type { SnapshotLink } from "../../snapshot/settings.ts";
import {
  applyCommand,
  decodeCommand,
  decodeState,
  encodeCommand,
  encodeState,
  type MetadataState,
} from "./registers.ts";

export interface CellMetadataOptions {
  /** The metadata group's. */
  readonly log: Loglet;
  /** This node's own file. */
  readonly file: MetadataStore;
  /** Register of the file. Another member of this node has another. */
  readonly key: string;
  readonly link: Pick<SnapshotLink, "send" | "handle">;
  readonly clock: Pick<Clock, "setTimer">;
  readonly random: Random;
  /** A record that does not decode, a failed disk: the owner ends the process. */
  readonly onFatal: (error: unknown) => void;
  /** Tests only. */
  readonly mutation?: MetadataMutation;
}

/** The number under which the registers travel, in messages that otherwise carry the state of a shard. */
export const metadataShard = 0xffff_ffff;

/** A change that was in doubt is asked for again so often. */
const attemptsMax = 5;
/** Wait before a full disk is tried again. */
const retryMs = 500;

interface Waiting {
  readonly position: number;
  readonly resolve: () => void;
  readonly reject: (error: QuipuError) => void;
}

export class CellMetadata implements MetadataStore {
  readonly #options: CellMetadataOptions;
  /** As of the last record applied. */
  #registers: Map<string, Register>;
  #applied: number;
  /** As it stands in the file: what this node shows. */
  #stored: MetadataState;
  #fileVersion: number;
  #isStoring = false;
  /** Of commands of this node under way: whether one of their copies changed something; undefined: none was applied yet. */
  readonly #outcomes: Map<number, boolean | undefined> = new Map();
  #waiting: Waiting[] = [];
  readonly #watchers: Set<() => void> = new Set();
  /** The transfer that this node waits for. */
  #transfer: number | undefined;
  #subscription: Subscription | undefined;
  #isClosed = false;

  private constructor(options: CellMetadataOptions, state: MetadataState, fileVersion: number) {
    this.#options = options;
    this.#stored = state;
    this.#registers = new Map(state.registers);
    this.#applied = state.position;
    this.#fileVersion = fileVersion;
  }

  /** Needs no quorum. Rejects with LOG_CORRUPT where the file's register does not decode. */
  static async open(options: CellMetadataOptions): Promise<CellMetadata> {
    const { file, key, log } = options;
    const found = await file.get(key);
    const state =
      found === undefined
        ? { position: 0, words: new Uint8Array(), registers: new Map<string, Register>() }
        : decodeState(`the register ${key}`, found.value);
    const metadata = new CellMetadata(options, state, found?.version ?? 0);
    // What a crash between file and log left undone.
    if (state.words.length > 0) await log.replication?.installed(state.words);
    metadata.#start();
    return metadata;
  }

  async get(key: string): Promise<Register | undefined> {
    await this.#reached();
    return this.#stored.registers.get(key);
  }

  known(key: string): Register | undefined {
    return this.#stored.registers.get(key);
  }

  watch(onChange: () => void): Subscription {
    this.#watchers.add(onChange);
    return { close: () => void this.#watchers.delete(onChange) };
  }

  /** Rejects with LOG_APPEND_UNKNOWN (unknown) where it stays in doubt; what it was then shows later. */
  async compareAndSet(key: string, expectedVersion: number, value: Uint8Array): Promise<boolean> {
    const { log, random } = this.#options;
    const id = random.uint32() * 0x1_0000 + random.below(0x1_0000);
    const record = encodeCommand({ id, key, expectedVersion, value: value.slice() });
    this.#outcomes.set(id, undefined);
    try {
      for (let attempt = 1; ; attempt++) {
        // Versions only grow: no copy of this command can succeed any more.
        const version = this.#registers.get(key)?.version ?? 0;
        if (version !== expectedVersion && attempt === 1) return false;
        try {
          const { last } = await log.append([record]);
          await this.#until(last);
        } catch (error) {
          if (!(error instanceof QuipuError) || error.outcome === "definite" || attempt >= attemptsMax) throw error;
          await this.#reached();
        }
        const outcome = this.#outcomes.get(id);
        if (outcome === true) return true;
        // Had an earlier copy been applied, it would have failed for the same reason as this one.
        if (outcome === false) return false;
      }
    } finally {
      this.#outcomes.delete(id);
    }
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#subscription?.close();
    const error = new QuipuError("SHUTTING_DOWN", "the metadata store is closed", { outcome: "unknown" });
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    return Promise.resolve();
  }

  #start(): void {
    const { log, link } = this.#options;
    link.handle("snapshotRequest", (from, message) => this.#onRequest(from, message));
    link.handle("snapshotChunk", (_from, message) => this.#onState(message));
    log.replication?.onSnapshotNeeded((source, atLeast) => this.#fetch(source as MemberId, atLeast));
    this.#subscription = log.read(lsn(this.#applied + 1), (delivery) => {
      try {
        this.#onDelivery(delivery);
      } catch (error) {
        this.#options.onFatal(error);
      }
    });
  }

  /** Resolves when everything acknowledged before the call is applied here and in the file. */
  async #reached(): Promise<void> {
    const { tail } = await this.#options.log.tail();
    await this.#until(tail - 1);
  }

  #until(position: number): Promise<void> {
    if (this.#stored.position >= position) return Promise.resolve();
    if (this.#isClosed) return Promise.reject(new QuipuError("SHUTTING_DOWN", "the metadata store is closed"));
    return new Promise((resolve, reject) => this.#waiting.push({ position, resolve, reject }));
  }

  #onDelivery(delivery: LogDelivery): void {
    if (delivery.type === "gap") {
      if (delivery.trimmedUpTo <= this.#applied) return;
      const what = `the metadata log begins after ${delivery.trimmedUpTo}, the registers stand at ${this.#applied}`;
      throw new QuipuError("LOG_CORRUPT", `${what}: was ${this.#options.key} removed?`);
    }
    delivery.records.forEach((record, i) => {
      const position = delivery.first + i;
      if (position <= this.#applied) return;
      const command = decodeCommand(position, record);
      const isDone = applyCommand(this.#registers, command);
      this.#applied = position;
      if (this.#outcomes.has(command.id) && this.#outcomes.get(command.id) !== true) {
        this.#outcomes.set(command.id, isDone);
      }
    });
    void this.#storeApplied();
  }

  /** Brings the file up to what is applied; what is applied meanwhile goes into the next write. */
  async #storeApplied(): Promise<void> {
    if (this.#isStoring) return;
    this.#isStoring = true;
    const { log } = this.#options;
    while (this.#stored.position < this.#applied && !this.#isClosed) {
      const position = lsn(this.#applied);
      const words = log.replication?.startAt(position) ?? new Uint8Array();
      if (!(await this.#store({ position, words, registers: new Map(this.#registers) }))) break;
      await log.trim(position);
    }
    this.#isStoring = false;
  }

  /** False where the disk refuses for good, or this store is closed. */
  async #store(state: MetadataState): Promise<boolean> {
    const { file, key, onFatal, mutation } = this.#options;
    if (mutation === "metadata-shown-before-file") this.#show(state);
    for (;;) {
      try {
        if (!(await file.compareAndSet(key, this.#fileVersion, encodeState(state)))) {
          throw new QuipuError("DATA_DIRECTORY_IN_USE", `another process changed the register ${key}`);
        }
        break;
      } catch (error) {
        if (this.#isClosed) return false;
        if (!(error instanceof QuipuError && error.code === "DISK_FULL")) {
          onFatal(error);
          return false;
        }
        await new Promise<void>((resolve) => void this.#options.clock.setTimer(retryMs, resolve));
      }
    }
    this.#fileVersion += 1;
    this.#show(state);
    return true;
  }

  #show(state: MetadataState): void {
    this.#stored = state;
    const reached = this.#waiting.filter(({ position }) => position <= state.position);
    this.#waiting = this.#waiting.filter(({ position }) => position > state.position);
    for (const onChange of this.#watchers) onChange();
    for (const { resolve } of reached) resolve();
  }

  // The whole state, for members that lack a part of the log

  #fetch(source: MemberId, atLeast: number): void {
    const { link, random } = this.#options;
    // Asked again as often as the group says that it is needed: requests and answers may be lost.
    this.#transfer ??= random.uint32();
    const nothing = { position: 0, totalBytes: 0, checksum: 0, offset: 0 };
    link.send(source, { type: "snapshotRequest", shard: metadataShard, transfer: this.#transfer, atLeast, ...nothing });
  }

  #onRequest(from: MemberId, { transfer, atLeast }: SnapshotRequest): void {
    const { log, link } = this.#options;
    const { position, registers } = this.#stored;
    const words = log.replication?.startAt(lsn(position));
    if (position < atLeast || words === undefined) {
      link.send(from, { type: "snapshotRefused", shard: metadataShard, transfer, reason: "unavailable" });
      return;
    }
    const data = encodeState({ position, words, registers });
    const whole = { totalBytes: data.length, checksum: crc32(data), offset: 0, data };
    link.send(from, { type: "snapshotChunk", shard: metadataShard, transfer, position, logStart: words, ...whole });
  }

  #onState({ transfer, data, checksum }: SnapshotChunk): void {
    if (transfer !== this.#transfer || crc32(data) !== checksum || this.#isStoring) return;
    let state: MetadataState;
    try {
      state = decodeState("the registers of another member", data);
    } catch {
      return; // It is asked for again.
    }
    if (state.position <= this.#applied) return;
    this.#transfer = undefined;
    void this.#install(state);
  }

  /** First the file, then the log: else a crash in between would leave a log that begins above the registers. */
  async #install(state: MetadataState): Promise<void> {
    this.#isStoring = true;
    const isStored = await this.#store(state);
    this.#isStoring = false;
    if (!isStored) return;
    if (state.position > this.#applied) {
      this.#registers = new Map(state.registers);
      this.#applied = state.position;
    }
    await this.#options.log.replication?.installed(state.words).catch((error: unknown) => {
      if (!this.#isClosed) this.#options.onFatal(error);
    });
    void this.#storeApplied();
  }
}
