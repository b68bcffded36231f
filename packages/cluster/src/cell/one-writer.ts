/**
 * Whoever leads the cell writes to a log that a service keeps, for all nodes: two that write at once get into each other's way,
 * and what all have goes into one batch. Nothing depends on it but speed: a node that knows no leader writes by itself, and
 * so does one whose leader says no. What was asked of a leader that does not answer is in doubt, and the replica appends it
 * again under the same record id.
 */
import type { MemberId } from "@quipu/consensus";
import { type Clock, type Lsn, lsn, QuipuError, type Random } from "@quipu/core";
import type { Appended, Loglet, LogletEngine, PeerHub, Subscription, Tail } from "@quipu/log";
import type { ServiceAppend, ServiceAppendReply } from "@quipu/protocol";
import { crc32 } from "node:zlib";

export interface OneWriterOptions {
  readonly hub: PeerHub;
  readonly clock: Pick<Clock, "setTimer">;
  readonly random: Random;
  /** Of the metadata group; undefined: nobody is known. */
  readonly leader: () => MemberId | undefined;
}

/** Several times what a service takes on a busy machine; a leader that died is known by then. */
const answerMsMax = 3_000;
/** Asked for and without an answer: a replica has a few records on their way. */
const asksMax = 1024;

interface Ask {
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: QuipuError) => void;
  readonly log: WrittenForAll;
  readonly records: readonly Uint8Array[];
  readonly cancelTimer: () => void;
}

export class OneWriter {
  readonly #options: OneWriterOptions;
  readonly #logs: Map<number, WrittenForAll> = new Map();
  readonly #asks: Map<number, Ask> = new Map();

  constructor(options: OneWriterOptions) {
    this.#options = options;
    options.hub.handle("serviceAppend", (from, message) => this.#onAppend(from, message));
    options.hub.handle("serviceAppendReply", (_from, message) => this.#onReply(message));
  }

  /** `engine`, whose loglets every node reads by itself and one writes. */
  over(engine: LogletEngine): LogletEngine {
    return {
      prepare: (request) => engine.prepare(request),
      open: async (parameters) => {
        const inner = await engine.open(parameters);
        if (inner === undefined) return undefined;
        const number = crc32(parameters);
        const log = new WrittenForAll(inner, this, number, () => this.#logs.delete(number));
        this.#logs.set(number, log);
        return log;
      },
      discard: (parameters) => engine.discard(parameters),
    };
  }

  /** Through the leader, where there is another. */
  append(log: WrittenForAll, records: readonly Uint8Array[]): Promise<Appended> {
    const { hub, leader, clock, random } = this.#options;
    const writer = leader();
    if (writer === undefined || writer === hub.member || this.#asks.size >= asksMax) return log.inner.append(records);
    const request = random.uint32() * 0x1_0000 + random.below(0x1_0000);
    return new Promise((resolve, reject) => {
      const cancelTimer = clock.setTimer(answerMsMax, () => {
        this.#asks.delete(request);
        reject(unknown("the node that writes to the log did not answer"));
      });
      this.#asks.set(request, { resolve, reject, log, records, cancelTimer });
      hub.send(writer, { type: "serviceAppend", log: log.number, request, records });
    });
  }

  /** Nobody hears any more of what was asked for there. */
  closed(log: WrittenForAll): void {
    for (const [request, ask] of this.#asks) {
      if (ask.log !== log) continue;
      this.#asks.delete(request);
      ask.cancelTimer();
      ask.reject(new QuipuError("SHUTTING_DOWN", "the log is closed", { outcome: "unknown" }));
    }
  }

  #onAppend(from: MemberId, { log, request, records }: ServiceAppend): void {
    const { hub, leader } = this.#options;
    const reply = (outcome: ServiceAppendReply["outcome"]): void => {
      hub.send(from, { type: "serviceAppendReply", request, outcome });
    };
    const opened = this.#logs.get(log);
    if (opened === undefined || leader() !== hub.member) {
      reply({ kind: "refused" });
      return;
    }
    opened.inner.append(records).then(
      ({ first, last }) => reply({ kind: "appended", first, last }),
      (error: unknown) => {
        const isSealed = error instanceof QuipuError && error.code === "LOG_SEALED";
        const isDefinite = error instanceof QuipuError && error.outcome === "definite";
        reply({ kind: isSealed ? "sealed" : isDefinite ? "refused" : "unknown" });
      },
    );
  }

  #onReply({ request, outcome }: ServiceAppendReply): void {
    const ask = this.#asks.get(request);
    if (ask === undefined) return;
    this.#asks.delete(request);
    ask.cancelTimer();
    if (outcome.kind === "appended") ask.resolve({ first: lsn(outcome.first), last: lsn(outcome.last) });
    else if (outcome.kind === "sealed") ask.reject(new QuipuError("LOG_SEALED", "the log is sealed"));
    else if (outcome.kind === "unknown") ask.reject(unknown("the node that writes to the log does not know"));
    // Surely not in the log: this node tries for itself, and hears the service's own words.
    else ask.log.inner.append(ask.records).then(ask.resolve, ask.reject);
  }
}

/** A loglet of a service: read, sealed and trimmed by this node itself. */
class WrittenForAll implements Loglet {
  readonly inner: Loglet;
  readonly number: number;
  readonly #writer: OneWriter;
  readonly #onClose: () => void;

  constructor(inner: Loglet, writer: OneWriter, number: number, onClose: () => void) {
    this.inner = inner;
    this.number = number;
    this.#writer = writer;
    this.#onClose = onClose;
  }

  get engine(): string {
    return this.inner.engine;
  }

  get wearsOut(): boolean {
    return this.inner.wearsOut === true;
  }

  append(records: readonly Uint8Array[]): Promise<Appended> {
    return this.#writer.append(this, records);
  }

  tail(): Promise<Tail> {
    return this.inner.tail();
  }

  read(from: Lsn, onDelivery: Parameters<Loglet["read"]>[1]): Subscription {
    return this.inner.read(from, onDelivery);
  }

  trim(upTo: Lsn): Promise<void> {
    return this.inner.trim(upTo);
  }

  seal(): Promise<void> {
    return this.inner.seal();
  }

  async close(): Promise<void> {
    this.#onClose();
    this.#writer.closed(this);
    await this.inner.close();
  }
}

function unknown(why: string): QuipuError {
  return new QuipuError("LOG_APPEND_UNKNOWN", `the append may still appear in the log: ${why}`);
}
