/** etcd as the home of logs, registers and blobs, below one prefix of its keys. */
import { QuipuError } from "@quipu/core";
import type { BlobStore, ExternalLog, ExternalService, MetadataStore } from "@quipu/log";
import { EtcdClient } from "./client.ts";
import { checkHead, EtcdLog, headNote } from "./log.ts";
import { readNote, writeNote } from "./notes.ts";
import { type EtcdOptions, type EtcdSettings, withDefaults } from "./options.ts";
import { type Pressure, Quota } from "./quota.ts";
import { EtcdValues, innerBytesMax } from "./values.ts";
import { bytesOf, endOfPrefix, isAbsent, keyOf, notOurs, put, range, type RangeReply, type TxnReply } from "./wire.ts";

/** Between two streams of hints; polling is about as fast. */
const watchPauseMs = 200;

/** An {@link ExternalService} that also says how full its database is. */
export interface EtcdService extends ExternalService {
  readonly pressure: Pressure;
}

/** Nothing is asked of etcd before the first call. Throws INVALID_CONFIGURATION for options that cannot be. */
export function etcdService(options: EtcdOptions): EtcdService {
  return new Service(withDefaults(options));
}

class Service implements EtcdService {
  readonly engine = "etcd";
  readonly description: string;
  readonly valueBytesMax: number;
  readonly registers: MetadataStore;
  readonly blobs: BlobStore;
  readonly #settings: EtcdSettings;
  readonly #client: EtcdClient;
  readonly #quota: Quota;
  #ready: Promise<void> | undefined;

  constructor(settings: EtcdSettings) {
    const { prefix, endpoints, valueBytesMax } = settings;
    if (!/^[!-~]*\/$/.test(prefix)) {
      throw new QuipuError("INVALID_CONFIGURATION", `etcd: the prefix "${prefix}" does not end with a slash`);
    }
    this.#settings = settings;
    this.description = `etcd ${endpoints.join(",")} ${prefix}`;
    this.valueBytesMax = innerBytesMax(valueBytesMax);
    this.#client = new EtcdClient(settings);
    this.#quota = new Quota(this.#client, settings);
    const values = new EtcdValues(this.#client, prefix, this.valueBytesMax, () => this.#isOurs());
    this.registers = values.registers;
    this.blobs = values.blobs;
  }

  get pressure(): Pressure {
    return this.#quota.pressure;
  }

  async createLog(log: string): Promise<void> {
    await this.#isOurs();
    const base = this.#base(log);
    const key = `${base}t`;
    const reply = await this.#client.call<TxnReply>("write", "/v3/kv/txn", {
      compare: [isAbsent(base, endOfPrefix(base))],
      success: [put(key, headNote(log, 1, 1))],
      failure: [{ request_range: range(key) }],
    });
    if (reply.succeeded !== true) checkHead(key, log, reply.responses?.[0]?.response_range?.kvs?.[0]);
  }

  async openLog(log: string): Promise<ExternalLog> {
    await this.#isOurs();
    const opened = new EtcdLog(this.#client, this.#quota, this.#base(log), log, watchPauseMs);
    await opened.head();
    return opened;
  }

  async removeLog(log: string): Promise<void> {
    await this.#isOurs();
    const base = this.#base(log);
    const { kvs = [] } = await this.#client.call<RangeReply>("read", "/v3/kv/range", range(`${base}t`));
    if (kvs[0] !== undefined) checkHead(`${base}t`, log, kvs[0]);
    await this.#client.call("write", "/v3/kv/deleterange", range(base, endOfPrefix(base)));
  }

  close(): Promise<void> {
    this.#quota.close();
    this.#client.close();
    return Promise.resolve();
  }

  /** The prefix bears our mark, or is empty and gets it. Asked once, unless it fails. */
  #isOurs(): Promise<void> {
    this.#ready ??= this.#claim().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #claim(): Promise<void> {
    const { prefix, cell } = this.#settings;
    const key = `${prefix}format`;
    const everything = range(prefix, endOfPrefix(prefix), 1);
    const reply = await this.#client.call<TxnReply>("read", "/v3/kv/txn", {
      compare: [isAbsent(prefix, endOfPrefix(prefix))],
      success: [put(key, writeNote("cell", cell === undefined ? {} : { cell }))],
      failure: [{ request_range: range(key) }, { request_range: { ...everything, keys_only: true } }],
    });
    if (reply.succeeded !== true) {
      const [mark, first] = (reply.responses ?? []).map((response) => response.response_range?.kvs?.[0]);
      if (mark === undefined) {
        throw notOurs(first === undefined ? prefix : keyOf(first), `it stands below ${prefix}, which is not Quipu's`);
      }
      const note = readNote(key, "cell", bytesOf(mark));
      if (cell !== undefined && note["cell"] !== cell) {
        throw new QuipuError("INVALID_CONFIGURATION", `etcd key ${key}: cell ${String(note["cell"])} lives here`);
      }
    }
    await this.#quota.look();
  }

  #base(log: string): string {
    if (!/^[0-9A-Za-z-]+$/.test(log)) throw new QuipuError("INVALID_ARGUMENT", `no name of a log: ${log}`);
    return `${this.#settings.prefix}log/${log}/`;
  }
}
