/**
 * The engines of a node that stand on services of the user's own: etcd and ZooKeeper. Their client code is loaded when it is
 * asked for. The chain says where a segment is (endpoints, prefix, name of the log); user, password and certificates are
 * each node's own settings, and so are endpoints for a service that is no longer where the chain says.
 */
import { type Clock, QuipuError, type Random } from "@quipu/core";
import { externalEngine, type ExternalService, type Loglet, type LogletEngine, type LogletName } from "@quipu/log";
import { z } from "zod";
import type { Log } from "../log.ts";
import { type EngineName, isServiceEngine, type ServiceEngineName } from "./engine-names.ts";
import type { ServiceSettings } from "./service-settings.ts";

/** What an operator says of a service. */
export interface EngineRequest {
  readonly endpoints?: readonly string[] | undefined;
  readonly prefix?: string | undefined;
}

export interface ServiceEnginesOptions {
  readonly settings: ServiceSettings;
  /** The engine that this node was started with: the settings' endpoints are of that one. Undefined: of whichever is asked for. */
  readonly engine: EngineName | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Of a node that names none. */
const prefixDefault = "/quipu";

/** What is below a prefix is the same whether it ends with a slash or not. */
function trimmed(prefix: string): string {
  return prefix.replace(/\/+$/, "");
}

/** Below which keys of its service a node is at home. */
export function homePrefix({ prefix = prefixDefault }: ServiceSettings): string {
  return trimmed(prefix);
}

const placeSchema: z.ZodType<Place> = z.object({
  endpoints: z.array(z.string()).min(1),
  prefix: z.string(),
  log: z.string().optional(),
});

/** What stands in the chain. */
interface Place {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly log?: string | undefined;
}

interface OpenService {
  readonly service: ExternalService;
  readonly engine: LogletEngine<Loglet>;
}

export class ServiceEngines {
  readonly #options: ServiceEnginesOptions;
  /** By engine, endpoints and prefix. */
  readonly #open: Map<string, Promise<OpenService>> = new Map();
  /** By engine: where the newest segment is that the chain names. */
  readonly #newest: Map<ServiceEngineName, Place> = new Map();

  constructor(options: ServiceEnginesOptions) {
    this.#options = options;
  }

  /** For the engine table. */
  get engines(): Readonly<Record<ServiceEngineName, LogletEngine>> {
    return { etcd: this.#engine("etcd"), zookeeper: this.#engine("zookeeper") };
  }

  /** The service that this node's own settings name. */
  async service(name: ServiceEngineName): Promise<ExternalService> {
    return (await this.#at(name, this.#placeOf(name, {}))).service;
  }

  /** The service that keeps a segment. */
  async serviceOf({ engine, parameters }: LogletName): Promise<ExternalService | undefined> {
    if (!isServiceEngine(engine)) return undefined;
    return (await this.#at(engine, decodePlace(engine, parameters))).service;
  }

  async close(): Promise<void> {
    for (const opening of this.#open.values()) {
      const opened = await opening.catch(() => undefined);
      await opened?.service.close();
    }
  }

  #engine(name: ServiceEngineName): LogletEngine {
    return {
      prepare: async (request) => {
        // Nobody asked: the log goes on in another segment where it is.
        const newest = request === undefined ? this.#newest.get(name) : undefined;
        const place =
          newest ?? this.#placeOf(name, request === undefined ? {} : (JSON.parse(request) as EngineRequest));
        const { engine } = await this.#at(name, place);
        const { log } = JSON.parse(await engine.prepare()) as { readonly log: string };
        return JSON.stringify({ ...place, log });
      },
      open: (parameters) => {
        this.#newest.set(name, decodePlace(name, parameters));
        return this.#where(name, parameters, (engine, log) => engine.open(log));
      },
      discard: (parameters) => this.#where(name, parameters, (engine, log) => engine.discard(log)),
    };
  }

  /** Where the chain says; if it is not there, where this node was told that the same service is by now. */
  async #where<Result>(
    name: ServiceEngineName,
    parameters: string,
    action: (engine: LogletEngine<Loglet>, log: string) => Promise<Result>,
  ): Promise<Result> {
    const place = decodePlace(name, parameters);
    const log = JSON.stringify({ log: place.log });
    try {
      return await action((await this.#at(name, place)).engine, log);
    } catch (error) {
      const own = this.#own(name, place);
      if (own === undefined || !(error instanceof QuipuError)) throw error;
      // Nor there: then the first word is the one that counts.
      return await action((await this.#at(name, own)).engine, log).catch(() => Promise.reject(error));
    }
  }

  /** The same prefix at this node's own endpoints, where those are others than the chain's. */
  #own(name: ServiceEngineName, place: Place): Place | undefined {
    const { engine, settings } = this.#options;
    if (engine !== name || settings.endpoints === undefined) return undefined;
    const own = this.#placeOf(name, {});
    return own.prefix === place.prefix && own.endpoints.join() !== place.endpoints.join() ? own : undefined;
  }

  #placeOf(name: ServiceEngineName, { endpoints, prefix }: EngineRequest): Place {
    const { settings, engine } = this.#options;
    const isOwn = engine === undefined || engine === name || !isServiceEngine(engine);
    const where = endpoints ?? (isOwn ? settings.endpoints : undefined);
    if (where === undefined) {
      throw new QuipuError("INVALID_ARGUMENT", `where is ${name}? Say it: --endpoints host:port,host:port,...`);
    }
    return { endpoints: where, prefix: trimmed(prefix ?? settings.prefix ?? prefixDefault) };
  }

  #at(name: ServiceEngineName, { endpoints, prefix }: Place): Promise<OpenService> {
    const key = JSON.stringify([name, endpoints, prefix]);
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const opening = this.#connect(name, endpoints, prefix);
    this.#open.set(key, opening);
    opening.catch(() => this.#open.delete(key));
    return opening;
  }

  async #connect(name: ServiceEngineName, endpoints: readonly string[], prefix: string): Promise<OpenService> {
    const { settings, clock, random, log } = this.#options;
    const service =
      name === "etcd"
        ? await etcd(settings, endpoints, prefix, clock, log)
        : await zooKeeper(settings, endpoints, prefix);
    log.info({ service: service.description }, `the log uses ${name}`);
    const onDamage = (error: QuipuError): void =>
      log.error({ error: error.message }, "the log of a service is damaged");
    return { service, engine: externalEngine({ service, clock, random, onDamage }) };
  }
}

async function etcd(
  { user, tls }: ServiceSettings,
  endpoints: readonly string[],
  prefix: string,
  clock: Clock,
  log: Log,
): Promise<ExternalService> {
  const { etcdService } = await import("@quipu/log-etcd");
  return etcdService({
    endpoints: endpoints.map((each) =>
      each.includes("://") ? each : `${tls === undefined ? "http" : "https"}://${each}`,
    ),
    prefix: prefix.endsWith("/") ? prefix : `${prefix}/`,
    clock,
    ...(user === undefined ? {} : { user }),
    ...(tls === undefined ? {} : { tls }),
    onPressure: (pressure) => {
      if (pressure.level === "ok") log.info({ ...pressure }, "etcd has room again");
      else
        log.warn({ ...pressure }, pressure.level === "full" ? "etcd is full: writes are refused" : "etcd is half full");
    },
  });
}

async function zooKeeper(
  { user, tls }: ServiceSettings,
  endpoints: readonly string[],
  prefix: string,
): Promise<ExternalService> {
  if (tls !== undefined) throw new QuipuError("INVALID_CONFIGURATION", "TLS to ZooKeeper is not supported");
  const { zooKeeperService } = await import("@quipu/log-zookeeper");
  return zooKeeperService({
    endpoints: endpoints.map((each) => each.replace(/^[a-z]+:\/\//, "")),
    prefix: prefix.replace(/\/$/, ""),
    ...(user === undefined ? {} : { credentials: { user: user.name, password: user.password } }),
  });
}

function decodePlace(name: string, parameters: string): Place {
  try {
    return placeSchema.parse(JSON.parse(parameters));
  } catch (cause) {
    throw new QuipuError("LOG_CORRUPT", `the chain does not say where ${name} is: ${parameters}`, { cause });
  }
}
