/** For tests on a real ensemble: prefixes, services that are closed at the end, a clock, and an independent client. */
import { randomInt } from "node:crypto";
import { type Clock, SeededRandom } from "@quipu/core";
import { externalEngine, type ExternalService, type Loglet, type LogletEngine } from "@quipu/log";
import zookeeper, { type Client } from "node-zookeeper-client";
import { type ZooKeeperOptions, zooKeeperService } from "../src/mod.ts";

let prefixes = 0;
const opened: ExternalService[] = [];

/** With nothing below it. */
export function newPrefix(): string {
  return `/test-${prefixes++}`;
}

export function openService(options: ZooKeeperOptions): ExternalService {
  const service = zooKeeperService(options);
  opened.push(service);
  return service;
}

/** To be called after each test. */
export async function closeServices(): Promise<void> {
  await Promise.all(opened.splice(0).map((service) => service.close()));
}

export const realClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.ceil(delayMs));
    return () => clearTimeout(timer);
  },
  endOfTurn: (callback) => void setImmediate(callback),
};

/** Each with names and ids of its own, as on nodes of their own. */
export function engineOf(service: ExternalService): LogletEngine<Loglet> {
  return externalEngine({ service, clock: realClock, random: new SeededRandom(randomInt(2 ** 40)) });
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array): string => new TextDecoder().decode(value);

/** Somebody else, with another client: what damages nodes, and reads what we wrote. */
export class Stranger {
  readonly #client: Client;

  private constructor(client: Client) {
    this.#client = client;
  }

  static async open(endpoint: string, credentials?: string): Promise<Stranger> {
    const client = zookeeper.createClient(endpoint);
    if (credentials !== undefined) client.addAuthInfo("digest", Buffer.from(credentials));
    await new Promise<void>((resolve) => {
      client.once("connected", resolve);
      client.connect();
    });
    return new Stranger(client);
  }

  create(path: string, value: string): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#client.create(path, Buffer.from(value), (error) => (error === null ? resolve() : reject(error))),
    );
  }

  set(path: string, value: string): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#client.setData(path, Buffer.from(value), -1, (error) => {
        // This client says "no error" in two ways.
        if (error === null || error === undefined) resolve();
        else reject(error);
      }),
    );
  }

  remove(path: string): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#client.remove(path, -1, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(error);
      }),
    );
  }

  get(path: string): Promise<string> {
    return new Promise((resolve, reject) =>
      this.#client.getData(path, (error, data) => {
        if (error === null || error === undefined) resolve(String(data));
        else reject(error);
      }),
    );
  }

  children(path: string): Promise<readonly string[]> {
    return new Promise((resolve, reject) =>
      this.#client.getChildren(path, (error, children) => {
        if (error === null || error === undefined) resolve(children);
        else reject(error);
      }),
    );
  }

  close(): void {
    this.#client.close();
  }
}
