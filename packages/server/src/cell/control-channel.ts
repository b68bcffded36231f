/**
 * What nodes of a cell tell each other beside the log: how they are, requests of operators to whoever leads, and who is
 * to belong to the cell. Small JSON messages, by node name, on the links of the peer transport; best effort.
 */
import { type Clock, type ErrorCode, errorCatalogue, QuipuError } from "@quipu/core";
import { z } from "zod";
import type { PeerTransport } from "../peers/peer-transport.ts";
import { type NodeReport, nodeReportSchema } from "./node-report.ts";

const requestId = z.number().int().min(0);

const controlMessageSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("founding"), message: z.unknown() }),
  z.object({ kind: z.literal("report"), report: nodeReportSchema }),
  z.object({ kind: z.literal("request"), id: requestId, request: z.unknown() }),
  z.object({ kind: z.literal("answer"), id: requestId, result: z.unknown() }),
  z.object({ kind: z.literal("refusal"), id: requestId, code: z.string(), text: z.string(), outcome: z.string() }),
]);
type ControlMessage = z.infer<typeof controlMessageSchema>;

/** Longer than a change of members may take (20 s, `changeDeadlineTicks` of the raft engine); beyond that nobody knows. */
const answerMsMax = 25_000;
/** Operators are few. */
const requestsOpenMax = 64;

interface OpenRequest {
  readonly to: string;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: QuipuError) => void;
  readonly cancel: () => void;
}

export class ControlChannel {
  readonly #clock: Clock;
  readonly #open: Map<number, OpenRequest> = new Map();
  #transport: PeerTransport | undefined;
  #requests = 0;
  /** Of other nodes, under way here. */
  #answering = 0;
  onFounding: (from: string, message: unknown) => void = () => undefined;
  onReport: (from: string, report: NodeReport) => void = () => undefined;
  /** Answers a request of another node; what it rejects with is told there. */
  onRequest: (from: string, request: unknown) => Promise<unknown> = () =>
    Promise.reject(new QuipuError("OVERLOADED", "the node is starting"));

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The transport is made with {@link ControlChannel.receive}, so it comes later. */
  attach(transport: PeerTransport): void {
    this.#transport = transport;
  }

  sendFounding(to: string, message: unknown): void {
    this.#send(to, { kind: "founding", message });
  }

  sendReport(to: string, report: NodeReport): void {
    this.#send(to, { kind: "report", report });
  }

  /** Rejects with the other node's refusal; INDOUBT where no answer came. */
  request(to: string, request: unknown): Promise<unknown> {
    if (this.#open.size >= requestsOpenMax) {
      return Promise.reject(new QuipuError("OVERLOADED", `${this.#open.size} requests to other nodes are open`));
    }
    const id = this.#requests++;
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.setTimer(answerMsMax, () => {
        this.#open.delete(id);
        reject(new QuipuError("INDOUBT", `${to} did not answer within ${answerMsMax} ms; look at quipu status`));
      });
      this.#open.set(id, { to, resolve, reject, cancel });
      this.#send(to, { kind: "request", id, request });
    });
  }

  /** Anything that a node may send; what is no message is dropped. */
  receive(from: string, value: unknown): void {
    const parsed = controlMessageSchema.safeParse(value);
    if (parsed.success) this.#take(from, parsed.data);
  }

  close(): void {
    for (const { reject, cancel } of this.#open.values()) {
      cancel();
      reject(new QuipuError("SHUTTING_DOWN", "the node is stopping", { outcome: "unknown" }));
    }
    this.#open.clear();
  }

  #take(from: string, message: ControlMessage): void {
    switch (message.kind) {
      case "founding":
        this.onFounding(from, message.message);
        return;
      case "report":
        this.onReport(from, message.report);
        return;
      case "request":
        void this.#answer(from, message.id, message.request);
        return;
      case "answer":
        this.#settle(from, message.id)?.resolve(message.result);
        return;
      case "refusal":
        this.#settle(from, message.id)?.reject(refusalOf(message));
        return;
    }
  }

  async #answer(from: string, id: number, request: unknown): Promise<void> {
    try {
      if (this.#answering >= requestsOpenMax) throw new QuipuError("OVERLOADED", "too many requests at the same time");
      this.#answering += 1;
      const result = await this.onRequest(from, request).finally(() => (this.#answering -= 1));
      this.#send(from, { kind: "answer", id, result });
    } catch (error) {
      const { code, message, outcome } = asQuipuError(error);
      this.#send(from, { kind: "refusal", id, code, text: message, outcome });
    }
  }

  #settle(from: string, id: number): OpenRequest | undefined {
    const request = this.#open.get(id);
    if (request === undefined || request.to !== from) return undefined;
    this.#open.delete(id);
    request.cancel();
    return request;
  }

  #send(to: string, message: ControlMessage): void {
    this.#transport?.sendControl(to, message);
  }
}

function refusalOf({ code, text, outcome }: Extract<ControlMessage, { kind: "refusal" }>): QuipuError {
  const known = code in errorCatalogue ? (code as ErrorCode) : "INDOUBT";
  return new QuipuError(known, text, { outcome: outcome === "definite" ? "definite" : "unknown" });
}

function asQuipuError(error: unknown): QuipuError {
  if (error instanceof QuipuError) return error;
  return new QuipuError("INDOUBT", error instanceof Error ? error.message : String(error), { cause: error });
}
