/** Engines on real etcd members, each as one node of its own. */
import { type Clock, type QuipuError, SeededRandom } from "@quipu/core";
import { externalEngine, type Loglet, type LogletEngine } from "@quipu/log";
import { type EtcdOptions, type EtcdService, etcdService } from "../src/mod.ts";

export const clock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  endOfTurn: (callback) => void setImmediate(callback),
};

export const record = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

let seeds = Math.floor(performance.timeOrigin) % 1_000_000_000;

export interface Node {
  readonly service: EtcdService;
  readonly engine: LogletEngine<Loglet>;
}

/** `prefix` is what keeps tests on one cluster apart. */
export function makeNode(options: Partial<EtcdOptions> & Pick<EtcdOptions, "endpoints">): Node {
  const service = etcdService({ clock, ...options });
  return { service, engine: externalEngine({ service, clock, random: new SeededRandom(seeds++) }) };
}

/** The same service under an engine that tells of damage. */
export function makeOtherWith({ service }: Node, onDamage: (error: QuipuError) => void): Node {
  return { service, engine: externalEngine({ service, clock, random: new SeededRandom(seeds++), onDamage }) };
}

/** A request to etcd itself, as an operator would make it. */
export async function ask(
  endpoint: string,
  path: string,
  body: unknown,
  token?: string,
): Promise<Record<string, unknown>> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
  const response = await fetch(`${endpoint}${path}`, { method: "POST", body: JSON.stringify(body), headers });
  const reply = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`${path}: ${JSON.stringify(reply)}`);
  return reply;
}

export function encode(text: string): string {
  return Buffer.from(text).toString("base64");
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
