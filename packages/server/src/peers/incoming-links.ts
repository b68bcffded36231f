/** All connections that others made: strangers, who have proved nothing yet, and one link for each name. */
import type { Socket } from "node:net";
import { IncomingLink, type IncomingOwner } from "./incoming-link.ts";
import type { LinkContext } from "./link-context.ts";
import { linkKind } from "@quipu/protocol";

export class IncomingLinks {
  readonly #owner: IncomingOwner;
  readonly #onAdmitted: (name: string) => void;
  /** In the order of their coming. */
  readonly #strangers = new Set<IncomingLink>();
  readonly #byName = new Map<string, IncomingLink>();

  constructor(context: LinkContext, onAdmitted: (name: string) => void) {
    this.#onAdmitted = onAdmitted;
    this.#owner = {
      ...context,
      admitIncoming: (link) => this.#admit(link),
      incomingClosed: (link) => this.#closed(link),
    };
  }

  get(name: string): IncomingLink | undefined {
    return this.#byName.get(name);
  }

  links(): Iterable<IncomingLink> {
    return this.#byName.values();
  }

  take(socket: Socket): void {
    if (this.#strangers.size >= this.#owner.settings.strangersMax) {
      // The oldest: an honest handshake takes milliseconds, whoever has been here longest is least likely to be one.
      const [oldest] = this.#strangers;
      oldest?.refuse("too many connections that have not said who they are");
    }
    this.#strangers.add(new IncomingLink(socket, this.#owner));
  }

  beat(nowMs: number): void {
    const { handshakeMs } = this.#owner.settings;
    for (const link of this.#strangers) {
      if (nowMs - link.connection.startedMs > handshakeMs) link.refuse(`did not prove itself within ${handshakeMs} ms`);
    }
    for (const link of this.#byName.values()) link.connection.beat(nowMs);
  }

  /** Asks everybody to dial again. */
  renew(): void {
    for (const link of [...this.#strangers, ...this.#byName.values()]) {
      link.connection.post(linkKind.renewal);
      link.connection.end("renewed");
    }
  }

  close(): void {
    for (const link of [...this.#strangers, ...this.#byName.values()]) link.connection.end("closed");
  }

  #admit(link: IncomingLink): string | undefined {
    const hello = link.hello;
    if (hello === undefined) return "no hello";
    const present = this.#byName.get(hello.name);
    const { clock, settings } = this.#owner;
    if (present !== undefined && present.hello?.process !== hello.process) {
      const silentMs = clock.monotonicMs() - present.connection.heardMs;
      if (silentMs < settings.aliveMs) {
        return `another process runs as ${hello.name}: ${present.hello?.process ?? 0}, from ${present.address}`;
      }
    }
    this.#byName.set(hello.name, link);
    this.#strangers.delete(link);
    present?.connection.end("the same node has connected anew");
    this.#onAdmitted(hello.name);
    return undefined;
  }

  #closed(link: IncomingLink): void {
    this.#strangers.delete(link);
    const name = link.hello?.name;
    if (name !== undefined && this.#byName.get(name) === link) this.#byName.delete(name);
  }
}
