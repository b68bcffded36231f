/** ZooKeeper as the service under an external log: options, the prefix that is ours, and what lies below it. */
import { QuipuError } from "@quipu/core";
import type { BlobStore, ExternalLog, ExternalService, MetadataStore } from "@quipu/log";
import { ZooKeeperBlobs } from "./blobs.ts";
import { Client } from "./client.ts";
import { formatValue, isSame, type Layout, layoutOf, noValue, pathsOf } from "./layout.ts";
import { ZooKeeperLog } from "./log.ts";
import { ZooKeeperRegisters } from "./registers.ts";
import type { Endpoint } from "./wire/connection.ts";
import { code, type Operation } from "./wire/protocol.ts";

export interface ZooKeeperOptions {
  /** `host`, `host:port` or `[address]:port`: servers of one ensemble, any of which will do. */
  readonly endpoints: readonly string[];
  /** Everything lies below it; default `/quipu`. */
  readonly prefix?: string;
  /** User and password (ZooKeeper's scheme `digest`). The nodes that we create are for this user only. */
  readonly credentials?: { readonly user: string; readonly password: string };
  /** How long a server keeps a session that it does not hear of; default 6,000. A dead server is noticed in two thirds. */
  readonly sessionTimeoutMs?: number;
  /** How long a request waits for a connection, and then again for its answer; default 5,000. */
  readonly patienceMs?: number;
  /** Most bytes of one value; lower than the default only where the servers' `jute.maxbuffer` is. */
  readonly valueBytesMax?: number;
  /** Appends that one log takes; it says that it wears out at half of them. Lowered by tests. */
  readonly appendsMax?: number;
}

const portDefault = 2181;
/**
 * A server ends the connection over a request of more than 1,048,575 bytes (its `jute.maxbuffer`). What stands around the
 * value of an append is some 300 bytes and three paths.
 */
const valueBytesMaxDefault = 960 * 1024;
/**
 * Versions are int32, and so is what counts a directory's changes, of which every batch makes two: one when it comes, one
 * when it is removed. Half of this is 500 million batches.
 */
const appendsMaxDefault = 1_000_000_000;
/** Where several clients come first at the same time, all but one look again. */
const prepareAttemptsMax = 5;

/**
 * Connects at once, and goes on trying until it is closed; nothing here rejects because of an ensemble that is away, but
 * each call by itself. Throws INVALID_CONFIGURATION for options that cannot be right.
 */
export function zooKeeperService(options: ZooKeeperOptions): ExternalService {
  return new ZooKeeperService(options);
}

class ZooKeeperService implements ExternalService {
  readonly engine = "zookeeper";
  readonly description: string;
  readonly valueBytesMax: number;
  readonly registers: MetadataStore;
  readonly blobs: BlobStore;
  readonly #layout: Layout;
  readonly #client: Client;
  readonly #appendsMax: number;
  #prepared: Promise<Client> | undefined;

  constructor(options: ZooKeeperOptions) {
    const prefix = checkPrefix(options.prefix ?? "/quipu");
    const endpoints = options.endpoints.map(parseEndpoint);
    if (endpoints.length === 0) throw misconfigured("no endpoint is given");
    this.valueBytesMax = options.valueBytesMax ?? valueBytesMaxDefault;
    this.#appendsMax = options.appendsMax ?? appendsMaxDefault;
    this.#layout = layoutOf(prefix);
    this.#client = new Client({
      endpoints,
      credentials: checkCredentials(options.credentials),
      sessionTimeoutMs: options.sessionTimeoutMs ?? 6_000,
      patienceMs: options.patienceMs ?? 5_000,
    });
    this.description = `${this.#client.where}, prefix ${prefix}`;
    const ready = (): Promise<Client> => this.#ready();
    this.registers = new ZooKeeperRegisters(ready, this.#layout, this.valueBytesMax);
    this.blobs = new ZooKeeperBlobs(ready, this.#layout, this.valueBytesMax);
  }

  async createLog(log: string): Promise<void> {
    await (await this.#log(log)).make();
  }

  async openLog(log: string): Promise<ExternalLog> {
    const opened = await this.#log(log);
    await opened.check();
    return opened;
  }

  async removeLog(log: string): Promise<void> {
    await (await this.#log(log)).remove();
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #log(name: string): Promise<ZooKeeperLog> {
    const client = await this.#ready();
    return new ZooKeeperLog(client, this.#layout.format, pathsOf(this.#layout, name), {
      valueBytesMax: this.valueBytesMax,
      appendsMax: this.#appendsMax,
    });
  }

  /** The prefix is ours. What failed is tried again by the next call. */
  #ready(): Promise<Client> {
    this.#prepared ??= this.#prepare().catch((error: unknown) => {
      this.#prepared = undefined;
      throw error;
    });
    return this.#prepared;
  }

  async #prepare(): Promise<Client> {
    const { prefix, format } = this.#layout;
    for (let attempt = 0; attempt < prepareAttemptsMax; attempt++) {
      const [found, foundPrefix] = await this.#client.readSeen([format, prefix]);
      if (found !== undefined) {
        if (isSame(found.value, formatValue)) return this.#client;
        throw this.#client.error("LOG_CORRUPT", `${format} says that ${prefix} is not ours, or of another version`);
      }
      if (foundPrefix !== undefined && foundPrefix.children > 0) {
        throw this.#client.error("LOG_CORRUPT", `${prefix} has nodes that are not ours; there is no ${format}`);
      }
      await this.#found(foundPrefix !== undefined);
    }
    throw this.#client.error("LOG_CORRUPT", `${prefix} comes and goes: somebody else is at it`);
  }

  /** All at once, so that a prefix with anything in it has its format, too. */
  async #found(prefixIsThere: boolean): Promise<void> {
    const { prefix, format, logs, registers, blobs } = this.#layout;
    if (!prefixIsThere) await this.#makeParents(prefix);
    const own: readonly Operation[] = prefixIsThere ? [] : [{ type: "create", path: prefix, value: noValue }];
    await this.#client.transactSurely([
      ...own,
      { type: "create", path: format, value: formatValue },
      ...[logs, registers, blobs].map((path): Operation => ({ type: "create", path, value: noValue })),
    ]);
  }

  async #makeParents(prefix: string): Promise<void> {
    const parts = prefix.split("/").slice(1, -1);
    for (let count = 1; count <= parts.length; count++) {
      const made = await this.#client.createSurely(`/${parts.slice(0, count).join("/")}`, noValue);
      if (made === code.noNode) return; // Somebody removed its parent: the next attempt looks again.
    }
  }
}

function parseEndpoint(endpoint: string): Endpoint {
  const match = /^(?:\[(?<address>[0-9a-fA-F:.]+)\]|(?<host>[^\s:/[\]]+))(?::(?<port>\d{1,5}))?$/.exec(endpoint);
  const host = match?.groups?.["address"] ?? match?.groups?.["host"];
  const port = Number(match?.groups?.["port"] ?? portDefault);
  if (host === undefined || port < 1 || port > 65_535) throw misconfigured(`endpoint ${endpoint} is not host:port`);
  return { host, port };
}

function checkPrefix(prefix: string): string {
  const isPath = /^(?:\/[A-Za-z0-9._-]+)+$/.test(prefix) && !/\/\.{1,2}(?:\/|$)/.test(prefix);
  if (!isPath) throw misconfigured(`prefix ${prefix} is not a path like /quipu of letters, digits and .-_`);
  if (/^\/zookeeper(?:\/|$)/.test(prefix)) throw misconfigured(`prefix ${prefix} is ZooKeeper's own`);
  return prefix;
}

function checkCredentials(credentials: ZooKeeperOptions["credentials"]): string | undefined {
  if (credentials === undefined) return undefined;
  const { user, password } = credentials;
  if (user === "" || user.includes(":")) throw misconfigured("the user is empty or has a colon in it");
  return `${user}:${password}`;
}

function misconfigured(what: string): QuipuError {
  return new QuipuError("INVALID_CONFIGURATION", `zookeeper: ${what}`);
}
