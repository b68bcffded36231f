/**
 * Configuration from flags, environment and file; flags win over environment over file (DESIGN §5).
 * Unknown names and values out of range are refused, each with where it stands and what would be right.
 */
import { readFileSync } from "node:fs";
import { QuipuError } from "@quipu/core";
import { parse as parseYaml } from "yaml";
import type { z } from "zod";
import {
  type CellSettings,
  type CellTlsSettings,
  parseNodeName,
  parsePeers,
  readSecret,
  readText,
} from "../cell/cell-settings.ts";
import {
  type Configuration,
  describeSetting,
  nameOfVariable,
  otherVariables,
  reservedNames,
  type SettingName,
  settingNames,
  settings,
  variableOf,
} from "./settings.ts";
import { isServiceEngine } from "../engines/engine-names.ts";
import { readServiceSettings } from "../engines/service-settings.ts";
import { isLoopback } from "./loopback.ts";
import { suggestion } from "./suggest.ts";

export interface ConfigurationSources {
  /** Setting name to value, as the command line gave them; `config` names the file. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

interface Given {
  readonly value: unknown;
  /** Where it stands, as the user wrote it: `--resp-port`, `QUIPU_RESP_PORT`, `resp-port in quipu.yaml`. */
  readonly where: string;
}

/** Shorter tokens could be guessed by trying. */
const tokenCharactersMin = 16;

function refuse(message: string, cause?: unknown): QuipuError {
  return new QuipuError("INVALID_CONFIGURATION", message, { cause });
}

/** Throws QuipuError INVALID_CONFIGURATION or PUBLIC_BIND_REFUSED. */
export function loadConfiguration(sources: ConfigurationSources): Configuration {
  const { config: configFlag, ...flags } = sources.flags;
  const file = (configFlag ?? sources.environment["QUIPU_CONFIG"]) as string | undefined;
  const given = new Map<SettingName, Given>([
    ...(file === undefined ? [] : fromFile(file)),
    ...fromEnvironment(sources.environment),
    ...fromFlags(flags),
  ]);
  const read = <T>(name: SettingName, schema: z.ZodType<T>): T => readSetting(name, schema, given.get(name));
  const configuration: Configuration = {
    dataDirectory: read("data", settings.data.schema),
    bind: read("bind", settings.bind.schema),
    respPort: read("resp-port", settings["resp-port"].schema),
    httpPort: read("http-port", settings["http-port"].schema),
    allowFlush: read("allow-flush", settings["allow-flush"].schema),
    checkpointSeconds: read("checkpoint-seconds", settings["checkpoint-seconds"].schema),
    logLevel: read("log-level", settings["log-level"].schema),
    tokens: readTokens(given),
    cell: readCell(given),
    engine: given.has("engine") ? read("engine", settings.engine.schema) : undefined,
    service: readServiceSettings((name) => {
      const found = given.get(name);
      return found === undefined ? undefined : readSetting(name, settings.name.schema, found);
    }),
  };
  checkEngine(configuration);
  checkPorts(configuration);
  checkBind(configuration);
  return configuration;
}

function readSetting<T>(name: SettingName, schema: z.ZodType<T>, given: Given | undefined): T {
  const setting = describeSetting(name);
  const { value, where } = given ?? { value: setting.default, where: `--${name}` };
  if (value === undefined) {
    throw refuse(`--${name} is required: ${setting.description} (or ${variableOf(name)}, or ${name} in the file)`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problem = result.error.issues.map((issue) => issue.message).join("; ");
  throw refuse(`${where}: ${JSON.stringify(value)} is not accepted: ${problem}`, result.error);
}

function fromFlags(flags: Readonly<Record<string, unknown>>): [SettingName, Given][] {
  return Object.entries(flags)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [knownName(name, `--${name}`, "--"), { value, where: `--${name}` }]);
}

function fromEnvironment(environment: ConfigurationSources["environment"]): [SettingName, Given][] {
  return Object.entries(environment)
    .filter(
      ([variable, value]) => variable.startsWith("QUIPU_") && !otherVariables.has(variable) && value !== undefined,
    )
    .map(([variable, value]) => {
      const name = nameOfVariable(variable);
      const known = settingNames.map(variableOf);
      if (reservedNames.has(name)) throw reserved(variable);
      if (!settingNames.some((setting) => setting === name)) {
        throw refuse(`unknown variable ${variable}${suggestion(variable, known)}`);
      }
      return [name as SettingName, { value, where: variable }];
    });
}

function fromFile(file: string): [SettingName, Given][] {
  let document: unknown;
  try {
    document = parseYaml(readFileSync(file, "utf8"));
  } catch (error) {
    throw refuse(`cannot read the configuration file ${file}: ${(error as Error).message}`, error);
  }
  if (document === null) return [];
  if (typeof document !== "object" || Array.isArray(document)) {
    throw refuse(`${file}: expected settings, one "name: value" per line`);
  }
  return Object.entries(document).map(([name, value]) => {
    const where = `${name} in ${file}`;
    return [knownName(name, where, ""), { value, where }];
  });
}

function knownName(name: string, where: string, prefix: string): SettingName {
  if (reservedNames.has(name)) throw reserved(where);
  if (settingNames.some((setting) => setting === name)) return name as SettingName;
  throw refuse(
    `unknown setting ${where}${suggestion(
      `${prefix}${name}`,
      settingNames.map((setting) => `${prefix}${setting}`),
    )}`,
  );
}

function reserved(where: string): QuipuError {
  return refuse(`${where} is reserved for a later release`);
}

function readTokens(given: ReadonlyMap<SettingName, Given>): readonly string[] {
  const direct = given.get("tokens");
  const file = given.get("tokens-file");
  const tokens: string[] = [];
  if (direct !== undefined) {
    const value = readSetting("tokens", settings.tokens.schema, direct);
    tokens.push(...(typeof value === "string" ? value.split(",") : value).map((token) => token.trim()));
  }
  if (file !== undefined)
    tokens.push(...tokensOfFile(readSetting("tokens-file", settings["tokens-file"].schema, file)));
  // An empty list from a given source would silently open the doors.
  const source = file ?? direct;
  if (source !== undefined && tokens.length === 0) throw refuse(`${source.where}: no token is in it`);
  const short = tokens.findIndex((token) => token.length < tokenCharactersMin);
  if (short >= 0) {
    throw refuse(`token ${short + 1} is shorter than ${tokenCharactersMin} characters; make one: openssl rand -hex 32`);
  }
  return tokens;
}

function tokensOfFile(file: string): readonly string[] {
  try {
    const lines = readFileSync(file, "utf8").split("\n");
    return lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
  } catch (error) {
    throw refuse(`cannot read the tokens file ${file}: ${(error as Error).message}`, error);
  }
}

/** Every setting of a cell, or none: half a cell would silently be a single process. */
function readCell(given: ReadonlyMap<SettingName, Given>): CellSettings | undefined {
  const read = (name: SettingName): string | undefined => {
    const found = given.get(name);
    return found === undefined ? undefined : readSetting(name, settings.name.schema, found);
  };
  const peersText = read("cell-peers");
  const nameText = read("name");
  if (peersText === undefined) {
    const stray = cellSettingNames.find((name) => given.has(name));
    if (stray === undefined) return undefined;
    throw refuse(`${given.get(stray)?.where ?? stray} is of a cell; give --cell-peers n1=host:port,... as well`);
  }
  const peers = parsePeers(peersText, given.get("cell-peers")?.where ?? "--cell-peers");
  if (nameText === undefined)
    throw refuse(`--name is required with --cell-peers: which of ${[...peers.keys()].join(", ")}?`);
  const name = parseNodeName(nameText, given.get("name")?.where ?? "--name");
  const own = peers.get(name);
  if (own === undefined) throw refuse(`--name ${name} is not among --cell-peers: ${[...peers.keys()].join(", ")}`);
  const secret = readSecret(read("cell-secret-file"), read("cell-secret"), "--cell-secret-file or QUIPU_CELL_SECRET");
  const port = given.get("peer-port");
  const listen = {
    host: read("peer-bind") ?? (isLoopback(own.host) ? own.host : "0.0.0.0"),
    port: port === undefined ? own.port : readSetting("peer-port", settings["peer-port"].schema, port),
  };
  return { name, peers, listen, secret, tls: readTls(read) };
}

const cellSettingNames: readonly SettingName[] = [
  "name",
  "cell-secret-file",
  "cell-secret",
  "peer-port",
  "peer-bind",
  "peer-tls-certificate",
  "peer-tls-key",
  "peer-tls-ca",
];

function readTls(read: (name: SettingName) => string | undefined): CellTlsSettings | undefined {
  const certificate = read("peer-tls-certificate");
  const key = read("peer-tls-key");
  const ca = read("peer-tls-ca");
  if (certificate === undefined && key === undefined && ca === undefined) return undefined;
  if (certificate === undefined || key === undefined || ca === undefined) {
    throw refuse("TLS between nodes needs all of --peer-tls-certificate, --peer-tls-key and --peer-tls-ca");
  }
  return {
    certificate: readText(certificate, "certificate"),
    key: readText(key, "key"),
    ca: readText(ca, "certificate"),
  };
}

/** What cannot be meant, said before anything is opened. */
function checkEngine({ engine, cell, service }: Configuration): void {
  if (engine === undefined) return;
  if (isServiceEngine(engine) && service.endpoints === undefined) {
    throw refuse(`--engine ${engine} needs --endpoints: where the service is, for instance http://127.0.0.1:2379`);
  }
  if ((engine === "raft" || engine === "multi-paxos") && cell === undefined) {
    throw refuse(`--engine ${engine} is of a cell; give --cell-peers n1=host:port,... as well`);
  }
  if (engine === "local" && cell !== undefined && cell.peers.size > 1) {
    throw refuse("--engine local keeps the log on one node; a cell of several takes raft or multi-paxos");
  }
}

function checkPorts(configuration: Configuration): void {
  const { respPort, httpPort, cell } = configuration;
  const ports = [
    ["--resp-port", respPort],
    ["--http-port", httpPort],
    ...(cell === undefined ? [] : [["the peer port", cell.listen.port] as const]),
  ] as const;
  for (const [at, [name, port]] of ports.entries()) {
    const other = ports.slice(0, at).find(([, taken]) => taken === port && port !== 0);
    if (other !== undefined) throw refuse(`${other[0]} and ${name} are both ${port}; give each its own`);
  }
}

function checkBind(configuration: Configuration): void {
  if (isLoopback(configuration.bind) || configuration.tokens.length > 0) return;
  throw new QuipuError(
    "PUBLIC_BIND_REFUSED",
    `--bind ${configuration.bind} lets other machines in, and no token is set, so anyone could change every counter. ` +
      "Set QUIPU_TOKENS (for instance to the output of: openssl rand -hex 32) or QUIPU_TOKENS_FILE, " +
      "or bind to 127.0.0.1.",
  );
}
