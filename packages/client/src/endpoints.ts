/** Where to connect: reads addresses of one or several endpoints. */
import { QuipuError } from "@quipu/core";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface Address {
  /** At least one, each once. */
  readonly endpoints: readonly Endpoint[];
  readonly user: string;
  /** Undefined: the server asks for none. */
  readonly token: string | undefined;
}

const defaultPort = 7379;

/** Redis' name for who only gives a password. */
const defaultUser = "default";

/** A client keeps a connection to each, and no cell has so many front doors. */
export const endpointsMax = 64;

/** `host:port`, as options name an endpoint. */
export function endpointName({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Reads `quipu://[[user]:token@]host[:port][,host[:port]…]`, or several such; `redis://` means the same. */
export function parseAddress(address: string | readonly string[]): Address {
  const parts = (typeof address === "string" ? [address] : address).flatMap(splitHosts).map(parseOne);
  const [first] = parts;
  if (first === undefined) throw new QuipuError("INVALID_CONFIGURATION", "no address is given");
  const endpoints = new Map<string, Endpoint>();
  for (const { endpoint, user, token } of parts) {
    if (user !== first.user || token !== first.token) {
      throw new QuipuError("INVALID_CONFIGURATION", "the addresses differ in user or token: one cell takes one");
    }
    endpoints.set(endpointName(endpoint), endpoint);
  }
  if (endpoints.size > endpointsMax) {
    throw new QuipuError("INVALID_CONFIGURATION", `${endpoints.size} endpoints; at most ${endpointsMax} are allowed`);
  }
  return { endpoints: [...endpoints.values()], user: first.user, token: first.token };
}

/** One URL for each host: the URL standard knows no lists. What is no such list stays as it is. */
function splitHosts(url: string): readonly string[] {
  const [whole, scheme = "", authority = "", rest = ""] = /^([a-z]+:\/\/)([^/?#]*)(.*)$/su.exec(url) ?? [];
  if (whole === undefined) return [url];
  const hostsFrom = authority.lastIndexOf("@") + 1;
  const login = authority.slice(0, hostsFrom);
  return authority
    .slice(hostsFrom)
    .split(",")
    .map((host) => scheme + login + host + rest);
}

interface OneAddress {
  readonly endpoint: Endpoint;
  readonly user: string;
  readonly token: string | undefined;
}

function parseOne(url: string): OneAddress {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (cause) {
    throw new QuipuError("INVALID_CONFIGURATION", "the address is no URL: quipu://[:token@]host:port", { cause });
  }
  if (parsed.protocol !== "quipu:" && parsed.protocol !== "redis:") {
    throw new QuipuError("INVALID_CONFIGURATION", `unknown protocol ${parsed.protocol}//, use quipu:// or redis://`);
  }
  // An IPv6 address stands in brackets only within a URL.
  const host = parsed.hostname.replace(/^\[(.*)\]$/, "$1");
  if (host === "") throw new QuipuError("INVALID_CONFIGURATION", "the address names no host");
  const port = parsed.port === "" ? defaultPort : Number(parsed.port);
  // Read as database 0, `redis://host/3` would count somewhere else than its author meant.
  if (!/^\/?0?$/.test(parsed.pathname) || parsed.search !== "" || parsed.hash !== "") {
    throw new QuipuError("INVALID_CONFIGURATION", "the address ends behind the port: the SDK uses database 0 only");
  }
  return {
    endpoint: { host, port },
    user: parsed.username === "" ? defaultUser : decodePart(parsed.username, "user"),
    token: parsed.password === "" ? undefined : decodePart(parsed.password, "token"),
  };
}

/** The text does not repeat the part: it may be a secret. */
function decodePart(part: string, what: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw new QuipuError("INVALID_CONFIGURATION", `the ${what} in the address is not percent-encoded UTF-8`, { cause });
  }
}
