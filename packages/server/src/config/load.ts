/**
 * Configuration from flags, environment and file; flags win over environment over file (DESIGN §5).
 * Unknown names and values out of range are refused, each with where it stands and what would be right.
 */
import { readFileSync } from "node:fs";
import { QuipuError } from "@quipu/core";
import { parse as parseYaml } from "yaml";
import type { z } from "zod";
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
  };
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
  return refuse(`${where} is reserved for cells of several nodes, which this release does not have yet`);
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

function checkPorts(configuration: Configuration): void {
  if (configuration.respPort !== 0 && configuration.respPort === configuration.httpPort) {
    throw refuse(`--resp-port and --http-port are both ${configuration.respPort}; give each its own`);
  }
}

/** True for addresses that only this machine reaches. A host name could resolve to anything, so only this one counts. */
export function isLoopback(address: string): boolean {
  return address === "localhost" || address === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address);
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
