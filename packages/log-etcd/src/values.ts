/** Registers and blobs: values under names, below `<prefix>register/` and `<prefix>blob/`. */
import { QuipuError } from "@quipu/core";
import type { BlobStore, MetadataStore } from "@quipu/log";
import type { EtcdClient } from "./client.ts";
import { envelopeBytes, unwrap, wrap } from "./envelope.ts";
import {
  base64,
  bytesOf,
  endOfPrefix,
  isUnchanged,
  type KeyValue,
  keyOf,
  put,
  range,
  type RangeReply,
  type TxnReply,
} from "./wire.ts";

/** Names listed at once. */
const listMax = 1000;
/** Somebody else writes the same blob again and again: a bug of whoever names blobs. */
const putAttemptsMax = 10;

export class EtcdValues {
  readonly registers: MetadataStore;
  readonly blobs: BlobStore;
  readonly #client: EtcdClient;
  readonly #prefix: string;
  readonly #valueBytesMax: number;
  /** Resolves when the prefix is known to be ours. */
  readonly #ready: () => Promise<void>;

  constructor(client: EtcdClient, prefix: string, valueBytesMax: number, ready: () => Promise<void>) {
    this.#client = client;
    this.#prefix = prefix;
    this.#valueBytesMax = valueBytesMax;
    this.#ready = ready;
    this.registers = {
      get: (name) => this.#getRegister(name),
      compareAndSet: (name, expectedVersion, value) => this.#compareAndSet(name, expectedVersion, value),
    };
    this.blobs = {
      put: (name, bytes) => this.#putBlob(name, bytes),
      get: (name) => this.#getBlob(name),
      remove: (name) => this.#removeBlob(name),
      list: (namePrefix) => this.#listBlobs(namePrefix),
    };
  }

  async #getRegister(name: string): ReturnType<MetadataStore["get"]> {
    const key = `${this.#prefix}register/${checkedName(name)}`;
    const pair = await this.#get(key);
    return pair === undefined ? undefined : { version: Number(pair.version), value: unwrap(key, bytesOf(pair)) };
  }

  /** The version is etcd's own of the key: it counts the writes since the key was made, and we never remove one. */
  async #compareAndSet(name: string, expectedVersion: number, value: Uint8Array): Promise<boolean> {
    await this.#ready();
    const key = `${this.#prefix}register/${checkedName(name)}`;
    const reply = await this.#client.call<TxnReply>("write", "/v3/kv/txn", {
      compare: [{ key: base64(key), result: "EQUAL", target: "VERSION", version: String(expectedVersion) }],
      success: [put(key, this.#wrapped(key, value))],
    });
    return reply.succeeded === true;
  }

  async #putBlob(name: string, bytes: Uint8Array): Promise<void> {
    await this.#ready();
    const key = `${this.#prefix}blob/${checkedName(name)}`;
    const value = this.#wrapped(key, bytes);
    for (let attempt = 1; attempt <= putAttemptsMax; attempt++) {
      // What is not ours is not written over.
      const before = await this.#get(key);
      if (before !== undefined) unwrap(key, bytesOf(before));
      const reply = await this.#client.call<TxnReply>("write", "/v3/kv/txn", {
        compare: [isUnchanged(key, before?.mod_revision ?? "0")],
        success: [put(key, value)],
      });
      if (reply.succeeded === true) return;
    }
    throw new QuipuError("NOQUORUM", `etcd key ${key}: somebody else writes it again and again`);
  }

  async #getBlob(name: string): Promise<Uint8Array | undefined> {
    const key = `${this.#prefix}blob/${checkedName(name)}`;
    const pair = await this.#get(key);
    return pair === undefined ? undefined : unwrap(key, bytesOf(pair));
  }

  async #removeBlob(name: string): Promise<void> {
    await this.#client.call("write", "/v3/kv/deleterange", range(`${this.#prefix}blob/${checkedName(name)}`));
  }

  async #listBlobs(namePrefix: string): Promise<readonly string[]> {
    const base = `${this.#prefix}blob/`;
    const names: string[] = [];
    const first = `${base}${checkedName(namePrefix, 0)}`;
    for (let from: string | undefined = first; from !== undefined;) {
      const request = { ...range(from, endOfPrefix(first), listMax), keys_only: true };
      const reply: RangeReply = await this.#client.call<RangeReply>("read", "/v3/kv/range", request);
      const keys = (reply.kvs ?? []).map(keyOf);
      for (const key of keys) names.push(key.slice(base.length));
      // The least key above the last one.
      from = reply.more === true ? `${keys.at(-1)}\0` : undefined;
    }
    return names;
  }

  async #get(key: string): Promise<KeyValue | undefined> {
    await this.#ready();
    const reply = await this.#client.call<RangeReply>("read", "/v3/kv/range", range(key));
    return reply.kvs?.[0];
  }

  #wrapped(key: string, bytes: Uint8Array): Uint8Array {
    if (bytes.length <= this.#valueBytesMax) return wrap(key, bytes);
    throw new QuipuError("VALUE_TOO_LARGE", `etcd key ${key}: ${bytes.length} bytes, at most ${this.#valueBytesMax}`);
  }
}

/** Bytes that a value may have so that it and its envelope fit. */
export function innerBytesMax(valueBytesMax: number): number {
  return valueBytesMax - envelopeBytes;
}

function checkedName(name: string, lengthMin = 1): string {
  if (name.length >= lengthMin && name.length <= 512 && /^[0-9A-Za-z/-]*$/.test(name)) return name;
  throw new QuipuError("INVALID_ARGUMENT", `no name of a register or blob: ${name.slice(0, 100)}`);
}
