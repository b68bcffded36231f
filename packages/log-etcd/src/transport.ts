/** One endpoint: JSON requests over kept connections, and streams. Knows whether a request that failed may have arrived. */
import type { Clock } from "@quipu/core";
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Socket } from "node:net";
import { answeredFailure, connectionFailure, type Failure } from "./failure.ts";
import type { EtcdSettings } from "./options.ts";

export type Answer = { readonly ok: true; readonly body: string } | { readonly ok: false; readonly failure: Failure };

/** Connections to one member, beside the streams. */
const socketsMax = 64;
/** A dead peer is found out by the system after this, where nothing is sent. */
const keepAliveMs = 10_000;
/** Of an answer: some hundred of the largest values in base64. */
const answerBytesMax = 256 * 1024 * 1024;

export class Transport {
  readonly endpoint: string;
  readonly #clock: Clock;
  readonly #settings: EtcdSettings;
  readonly #url: URL;
  readonly #agent: HttpAgent | HttpsAgent;

  constructor(endpoint: string, settings: EtcdSettings) {
    this.endpoint = endpoint;
    this.#settings = settings;
    this.#clock = settings.clock;
    this.#url = new URL(endpoint);
    const options = { keepAlive: true, keepAliveMsecs: keepAliveMs, maxSockets: socketsMax };
    this.#agent = this.#isTls ? new HttpsAgent({ ...options, ...settings.tls }) : new HttpAgent(options);
  }

  get #isTls(): boolean {
    return this.#url.protocol === "https:";
  }

  /** Never rejects. */
  post(path: string, body: string, token: string | undefined, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve) => {
      let isSent = false;
      const request = this.#request(path, body, token, this.#agent, () => {
        isSent = true;
        endConnect();
      });
      const give = (what: string): void => void request.destroy(new Error(what));
      const endConnect = this.#clock.setTimer(Math.min(this.#settings.connectTimeoutMs, timeoutMs), () => {
        if (!isSent) give("no connection in time");
      });
      const endWait = this.#clock.setTimer(timeoutMs, () => give("no answer in time"));
      const settle = (answer: Answer): void => {
        endConnect();
        endWait();
        resolve(answer);
      };
      const fail = (error: Error): void =>
        settle({ ok: false, failure: connectionFailure(this.endpoint, error, isSent) });
      request.on("error", fail);
      request.on("response", (response) => {
        collect(response, fail, (text) => {
          const status = response.statusCode ?? 0;
          if (status === 200) settle({ ok: true, body: text });
          else settle({ ok: false, failure: answeredFailure(this.endpoint, status, text) });
        });
      });
      request.end(body);
    });
  }

  /** A stream of JSON lines, on a connection of its own. `onEnd` comes once, whatever ends it. */
  stream(
    path: string,
    body: string,
    token: string | undefined,
    onLine: (line: string) => void,
    onEnd: () => void,
  ): { readonly close: () => void } {
    const request = this.#request(path, body, token, this.#isTls ? this.#streamAgent() : false, (socket) => {
      socket.setKeepAlive(true, keepAliveMs);
    });
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      request.destroy();
      onEnd();
    };
    request.on("error", end);
    request.on("close", end);
    request.on("response", (response) => {
      let rest = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (!isOver && line !== "") onLine(line);
      });
      response.on("error", end);
      response.on("end", end);
    });
    request.end(body);
    return {
      close: () => {
        isOver = true;
        request.destroy();
      },
    };
  }

  close(): void {
    this.#agent.destroy();
  }

  #streamAgent(): HttpsAgent {
    return new HttpsAgent({ keepAlive: false, ...this.#settings.tls });
  }

  #request(
    path: string,
    body: string,
    token: string | undefined,
    agent: HttpAgent | HttpsAgent | false,
    onConnected: (socket: Socket) => void,
  ): ClientRequest {
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      ...(token === undefined ? {} : { authorization: token }),
    };
    const make = this.#isTls ? httpsRequest : httpRequest;
    const request = make(new URL(path, this.#url), { method: "POST", headers, agent });
    request.on("socket", (socket: Socket) => {
      if (socket.connecting) socket.once(this.#isTls ? "secureConnect" : "connect", () => onConnected(socket));
      else onConnected(socket);
    });
    return request;
  }
}

function collect(response: IncomingMessage, onError: (error: Error) => void, onText: (text: string) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > answerBytesMax) response.destroy(new Error(`an answer of more than ${answerBytesMax} bytes`));
    else chunks.push(chunk);
  });
  response.on("error", onError);
  response.on("end", () => onText(Buffer.concat(chunks).toString("utf8")));
}
