/** Registers: a node each; its version and one is the register's, so that 0 can mean that there is none. */
import { invariant, type QuipuError } from "@quipu/core";
import type { MetadataStore } from "@quipu/log";
import type { Client } from "./client.ts";
import { type Layout, registerPath } from "./layout.ts";
import { code } from "./wire/protocol.ts";

/** The int32 of a node's version. A register changes when a log is reconfigured: it never gets there. */
const versionMax = 2 ** 31 - 2;

export class ZooKeeperRegisters implements MetadataStore {
  readonly #client: () => Promise<Client>;
  readonly #layout: Layout;
  readonly #valueBytesMax: number;

  /** `client` resolves when the prefix is known to be ours. */
  constructor(client: () => Promise<Client>, layout: Layout, valueBytesMax: number) {
    this.#client = client;
    this.#layout = layout;
    this.#valueBytesMax = valueBytesMax;
  }

  async get(key: string): Promise<{ readonly version: number; readonly value: Uint8Array } | undefined> {
    const client = await this.#client();
    const [node] = await client.readLatest(this.#layout.format, [registerPath(this.#layout, key)]);
    return node === undefined ? undefined : { version: node.version + 1, value: node.value };
  }

  async compareAndSet(key: string, expectedVersion: number, value: Uint8Array): Promise<boolean> {
    invariant(value.length <= this.#valueBytesMax, `a register of ${value.length} bytes`);
    invariant(
      expectedVersion >= 0 && expectedVersion <= versionMax,
      `version ${expectedVersion} of register ${key}, at most ${versionMax}`,
    );
    const client = await this.#client();
    const path = registerPath(this.#layout, key);
    const result = await client.transact([
      expectedVersion === 0
        ? { type: "create", path, value }
        : { type: "setData", path, value, version: expectedVersion - 1 },
    ]);
    if (result.done) return true;
    if (result.code === code.noNode && expectedVersion === 0) throw this.#missing(client);
    return false;
  }

  #missing(client: Client): QuipuError {
    return client.error("LOG_CORRUPT", `${this.#layout.registers} is missing: somebody removed it`);
  }
}
