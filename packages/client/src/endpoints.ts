/** Where to connect: reads the address, and chooses among endpoints. The place for a Balancer (DESIGN §4.9). */
import { QuipuError } from "@quipu/core";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface Address {
  readonly endpoints: readonly Endpoint[];
  readonly user: string;
  /** Undefined: the server asks for none. */
  readonly token: string | undefined;
}

const defaultPort = 7379;

/** Redis' name for who only gives a password. */
const defaultUser = "default";

/** Reads `quipu://[[user]:token@]host[:port]`; `redis://` means the same. */
export function parseAddress(url: string): Address {
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
    endpoints: [{ host, port }],
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

/** Gives the endpoint for the next attempt: round robin, so that a dead one is left at once. */
export class Endpoints {
  readonly #all: readonly Endpoint[];
  #next = 0;

  constructor(all: readonly Endpoint[]) {
    this.#all = all;
  }

  next(): Endpoint {
    const chosen = this.#all[this.#next % this.#all.length] as Endpoint;
    this.#next++;
    return chosen;
  }
}
