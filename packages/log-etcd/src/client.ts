/** The cluster: requests go to one endpoint until it fails, then to the next. Fetches tokens and renews them. */
import { QuipuError } from "@quipu/core";
import { answeredFailure, type Failure, type RequestKind, toError } from "./failure.ts";
import type { EtcdSettings } from "./options.ts";
import { Transport } from "./transport.ts";

/** Members that were tried for one read, over and over, come to this many requests at most. */
const attemptsMax = 6;

export class EtcdClient {
  readonly #settings: EtcdSettings;
  readonly #transports: readonly Transport[];
  /** The endpoint that is used, by place. */
  #current = 0;
  #token: Promise<string> | undefined;
  /** Ends a stream as if its member had. */
  readonly #streams: Set<() => void> = new Set();
  #isClosed = false;

  /** Throws INVALID_CONFIGURATION for endpoints that are no addresses. */
  constructor(settings: EtcdSettings) {
    this.#settings = settings;
    if (settings.endpoints.length === 0) throw new QuipuError("INVALID_CONFIGURATION", "etcd: no endpoints");
    for (const endpoint of settings.endpoints) {
      if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
        throw new QuipuError("INVALID_CONFIGURATION", `etcd: "${endpoint}" is no http:// or https:// address`);
      }
    }
    this.#transports = settings.endpoints.map((endpoint) => new Transport(endpoint, settings));
  }

  /**
   * Sends one request and parses its answer. `read` is repeated elsewhere where a member fails, `write` only where it surely
   * never arrived. Rejects as the port of external engines says.
   */
  async call<Reply>(kind: RequestKind, path: string, body: unknown): Promise<Reply> {
    const { clock, requestTimeoutMs } = this.#settings;
    const text = JSON.stringify(body);
    const untilMs = clock.monotonicMs() + requestTimeoutMs;
    let isTokenNew = false;
    for (let attempt = 1; ; attempt++) {
      const transport = this.#transport();
      const leftMs = untilMs - clock.monotonicMs();
      // A member that stands still must not take all the time that a read has.
      const shareMs = kind === "read" ? Math.max(leftMs / 2, requestTimeoutMs / 5) : leftMs;
      const token = await this.#tokenOf();
      if (this.#isClosed) throw new QuipuError("NOQUORUM", "etcd: the connection is closed");
      const answer = await transport.post(path, text, token, shareMs);
      if (answer.ok) {
        const reply = parse<Reply>(answer.body);
        if (reply !== undefined) return reply;
      }
      const failure = answer.ok ? answeredFailure(transport.endpoint, 200, "not JSON") : answer.failure;
      if (failure.isTokenOld === true && !isTokenNew) {
        isTokenNew = true;
        this.#token = undefined;
        continue;
      }
      this.#failed(transport, failure);
      const mayRepeat = failure.isUntouched || (kind === "read" && failure.code === undefined);
      const hasTime = clock.monotonicMs() < untilMs && attempt < Math.min(attemptsMax, 2 * this.#transports.length);
      if (!mayRepeat || !hasTime) throw toError(kind, failure);
    }
  }

  /**
   * A stream from the endpoint in use. `onEnd` comes once, whatever ends it but {@link close}; also when another endpoint is
   * used from now on, since a member that is cut off may keep its streams and say nothing.
   */
  stream(
    path: string,
    body: unknown,
    onLine: (line: string) => void,
    onEnd: () => void,
  ): { readonly close: () => void } {
    let stream: { readonly close: () => void } | undefined;
    const close = (): boolean => {
      stream?.close();
      return this.#streams.delete(end);
    };
    const end = (): void => {
      if (close()) onEnd();
    };
    this.#streams.add(end);
    this.#tokenOf().then((token) => {
      if (this.#isClosed || !this.#streams.has(end)) return;
      stream = this.#transport().stream(path, JSON.stringify(body), token, onLine, end);
    }, end);
    return { close: () => void close() };
  }

  /** Calls `action` after `ms`, unless the returned function is called before. */
  later(ms: number, action: () => void): () => void {
    return this.#settings.clock.setTimer(ms, action);
  }

  close(): void {
    this.#isClosed = true;
    for (const end of this.#streams) end();
    for (const transport of this.#transports) transport.close();
  }

  #transport(): Transport {
    return this.#transports[this.#current % this.#transports.length] as Transport;
  }

  /** The next request goes elsewhere, unless another has found out first. */
  #failed(transport: Transport, failure: Failure): void {
    const isRefusal = failure.code !== undefined && failure.code !== "NOQUORUM";
    if (isRefusal || transport !== this.#transport()) return;
    this.#current += 1;
    for (const end of this.#streams) end();
  }

  /** One for all who need it at once. */
  async #tokenOf(): Promise<string | undefined> {
    const { user } = this.#settings;
    if (user === undefined) return undefined;
    const token = (this.#token ??= this.#authenticate(user.name, user.password));
    try {
      return await token;
    } catch (error) {
      if (this.#token === token) this.#token = undefined;
      throw error;
    }
  }

  /** Nothing was done where it fails, whatever the request that needs it. */
  async #authenticate(name: string, password: string): Promise<string> {
    const { requestTimeoutMs } = this.#settings;
    const body = JSON.stringify({ name, password });
    for (let attempt = 1; ; attempt++) {
      const transport = this.#transport();
      const answer = await transport.post("/v3/auth/authenticate", body, undefined, requestTimeoutMs / 2);
      const token = answer.ok ? parse<{ readonly token?: unknown }>(answer.body)?.token : undefined;
      if (typeof token === "string") return token;
      const failure = answer.ok ? answeredFailure(transport.endpoint, 200, "no token") : answer.failure;
      this.#failed(transport, failure);
      if (failure.code !== undefined || attempt >= this.#transports.length) throw toError("read", failure);
    }
  }
}

function parse<Reply>(text: string): Reply | undefined {
  try {
    return JSON.parse(text) as Reply;
  } catch {
    return undefined;
  }
}
