/**
 * The settings of a server: one table for flags, environment and file, so that the three cannot drift apart.
 * A setting `resp-port` is the flag `--resp-port`, the variable `QUIPU_RESP_PORT` and the YAML key `resp-port`.
 */
import { z } from "zod";
import type { CellSettings } from "../cell/cell-settings.ts";
import { type EngineName, engineNames } from "../engines/engine-names.ts";
import type { ServiceSettings } from "../engines/service-settings.ts";
import { type LogLevel, logLevels } from "../log.ts";

const port = z.coerce.number().int().min(0).max(65_535);
/** Flags and variables are text; YAML has booleans of its own. */
const flag = z.union([z.boolean(), z.enum(["true", "false"]).transform((text) => text === "true")]);
const text = z.string().min(1);

interface Setting<T> {
  readonly schema: z.ZodType<T>;
  readonly default?: T;
  /** Shown in `--help` and docs/configuration.md. */
  readonly description: string;
  /** The placeholder in `--help`; none for a switch. */
  readonly argument?: string;
  /** Secrets are read from the environment or a file only: a flag is visible to every user of the machine. */
  readonly environmentOnly?: true;
}

interface Settings {
  readonly data: Setting<string>;
  readonly bind: Setting<string>;
  readonly "resp-port": Setting<number>;
  readonly "http-port": Setting<number>;
  readonly "allow-flush": Setting<boolean>;
  readonly "checkpoint-seconds": Setting<number>;
  readonly "log-level": Setting<LogLevel>;
  readonly tokens: Setting<string | readonly string[]>;
  readonly "tokens-file": Setting<string>;
  readonly name: Setting<string>;
  readonly "cell-peers": Setting<string>;
  readonly "cell-secret-file": Setting<string>;
  readonly "cell-secret": Setting<string>;
  readonly "peer-port": Setting<number>;
  readonly "peer-bind": Setting<string>;
  readonly "peer-tls-certificate": Setting<string>;
  readonly "peer-tls-key": Setting<string>;
  readonly "peer-tls-ca": Setting<string>;
  readonly engine: Setting<EngineName>;
  readonly endpoints: Setting<string>;
  readonly "engine-prefix": Setting<string>;
  readonly "engine-user": Setting<string>;
  readonly "engine-password": Setting<string>;
  readonly "engine-tls-certificate": Setting<string>;
  readonly "engine-tls-key": Setting<string>;
  readonly "engine-tls-ca": Setting<string>;
}

/** Every setting there is. */
export const settings: Settings = {
  data: { schema: text, argument: "DIR", description: "data directory; made where it does not exist" },
  bind: {
    schema: text,
    default: "127.0.0.1",
    argument: "ADDRESS",
    description: "address to listen on; beyond this machine only with tokens",
  },
  "resp-port": { schema: port, default: 7379, argument: "PORT", description: "Redis protocol; 0 takes a free one" },
  "http-port": { schema: port, default: 7380, argument: "PORT", description: "HTTP; 0 takes a free one" },
  "allow-flush": { schema: flag, default: false, description: "allow FLUSHALL and FLUSHDB" },
  "checkpoint-seconds": {
    schema: z.coerce.number().min(1).max(86_400),
    default: 5,
    argument: "SECONDS",
    description: "pause between two checkpoints while anything changes; a restart replays the log since the last one",
  },
  "log-level": {
    schema: z.enum(logLevels),
    default: "info",
    argument: "LEVEL",
    description: `how much to log on standard error: ${logLevels.join(", ")}`,
  },
  tokens: {
    schema: z.union([text, z.array(text)]),
    environmentOnly: true,
    description: "tokens that the front doors accept, separated by commas",
  },
  "tokens-file": { schema: text, argument: "FILE", description: "file with one token per line; # begins a comment" },
  name: { schema: text, argument: "NAME", description: "cell: this node's name, one of --cell-peers" },
  "cell-peers": {
    schema: text,
    argument: "LIST",
    description: "cell: all nodes with their peer addresses, n1=host:port,n2=host:port,...",
  },
  "cell-secret-file": {
    schema: text,
    argument: "FILE",
    description: "cell: file with the secret that its nodes share",
  },
  "cell-secret": { schema: text, environmentOnly: true, description: "cell: the secret itself" },
  "peer-port": {
    schema: port,
    argument: "PORT",
    description: "cell: port for the other nodes, if it is not the one of --cell-peers",
  },
  "peer-bind": {
    schema: text,
    argument: "ADDRESS",
    description:
      "cell: address to listen on for the other nodes; every one, unless --cell-peers names this machine only",
  },
  "peer-tls-certificate": {
    schema: text,
    argument: "FILE",
    description: "cell: PEM certificate; TLS both ways, with the next two",
  },
  "peer-tls-key": { schema: text, argument: "FILE", description: "cell: PEM key of the certificate" },
  "peer-tls-ca": {
    schema: text,
    argument: "FILE",
    description: "cell: PEM certificate of who signed those of all nodes",
  },
  engine: {
    schema: z.enum(engineNames),
    argument: "ENGINE",
    description: `what keeps the log when it is new: ${engineNames.join(", ")}; local by default, of a cell raft. A log that is there goes on where it is: quipu engine switch`,
  },
  endpoints: {
    schema: text,
    argument: "LIST",
    description: "etcd, zookeeper: where the service is, separated by commas",
  },
  "engine-prefix": {
    schema: text,
    argument: "PREFIX",
    description: "etcd, zookeeper: keys of this cell are below it; /quipu by default",
  },
  "engine-user": { schema: text, argument: "NAME", description: "etcd, zookeeper: user" },
  "engine-password": { schema: text, environmentOnly: true, description: "etcd, zookeeper: the user's password" },
  "engine-tls-certificate": { schema: text, argument: "FILE", description: "etcd: PEM certificate of this client" },
  "engine-tls-key": { schema: text, argument: "FILE", description: "etcd: PEM key of the certificate" },
  "engine-tls-ca": { schema: text, argument: "FILE", description: "etcd: PEM certificate of who signed the servers'" },
};

export type SettingName = keyof Settings;
export const settingNames: readonly SettingName[] = Object.keys(settings) as SettingName[];

/** Names of later releases (DESIGN §5): refused with a clear word instead of "unknown". */
export const reservedNames: ReadonlySet<string> = new Set(["cluster-port", "workers"]);

/** Variables of Quipu that are not settings of the server. */
export const otherVariables: ReadonlySet<string> = new Set([
  "QUIPU_CONFIG",
  "QUIPU_ENDPOINT",
  "QUIPU_TOKEN",
  "QUIPU_SHARED",
]);

/** A whole, checked configuration. */
export interface Configuration {
  readonly dataDirectory: string;
  readonly bind: string;
  readonly respPort: number;
  readonly httpPort: number;
  readonly allowFlush: boolean;
  readonly checkpointSeconds: number;
  readonly logLevel: LogLevel;
  readonly tokens: readonly string[];
  /** Undefined: a single process. */
  readonly cell: CellSettings | undefined;
  /** What keeps the log where there is none yet; undefined: `local`, of a cell `raft`. */
  readonly engine: EngineName | undefined;
  /** How this node reaches etcd or ZooKeeper. */
  readonly service: ServiceSettings;
}

export function describeSetting(name: SettingName): Setting<unknown> {
  return settings[name];
}

export function variableOf(name: string): string {
  return `QUIPU_${name.toUpperCase().replaceAll("-", "_")}`;
}

export function nameOfVariable(variable: string): string {
  return variable.slice("QUIPU_".length).toLowerCase().replaceAll("_", "-");
}
