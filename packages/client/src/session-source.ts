/** Gets sessions from the server: the first, and a successor before each one expires. */
import { type Clock, QuipuError } from "@quipu/core";
import { encodeCommand, ReplyError, replyText, type ReplyValue } from "@quipu/protocol";
import type { Expectation } from "./connection.ts";
import { replyErrorCode, replyQuipuError } from "./reply-errors.ts";
import { Session } from "./session.ts";

export interface SessionRequest {
  readonly bytes: Uint8Array;
  readonly expectation: Expectation;
}

export class SessionSource {
  readonly #ttlMs: number;
  readonly #clock: Clock;
  #current: Session | undefined = undefined;
  /** Grows with each request, so that an abandoned one is not taken for the present one. */
  #requests = 0;
  #requestedAtMs: number | undefined = undefined;
  readonly #first: Promise<void>;
  #firstCame: () => void = () => undefined;
  #firstFailed: (error: QuipuError) => void = () => undefined;

  constructor(ttlMs: number, clock: Clock) {
    this.#ttlMs = ttlMs;
    this.#clock = clock;
    this.#first = new Promise((resolve, reject) => {
      this.#firstCame = resolve;
      this.#firstFailed = reject;
    });
    // Whoever connects waits for it; a later failure is nobody's unhandled rejection.
    this.#first.catch(() => undefined);
  }

  whenFirst(): Promise<void> {
    return this.#first;
  }

  /** Whether a request should be sent now. */
  wanted(): boolean {
    if (this.#requestedAtMs !== undefined) return false;
    return this.#current === undefined || this.#clock.monotonicMs() >= this.#current.renewAtMs;
  }

  /** The session for batches that have none. */
  usable(): Session | undefined {
    if (this.#current !== undefined && this.#clock.monotonicMs() >= this.#current.expiresAtMs)
      this.#current = undefined;
    return this.#current;
  }

  /** The server refuses it; a batch that arrives later does not end its successor. */
  expired(session: Session): void {
    if (this.#current === session) this.#current = undefined;
  }

  /** `done` hears of the answer: a session, or why there is none. */
  request(done: (error: QuipuError | undefined) => void): SessionRequest {
    const requestedAtMs = this.#clock.monotonicMs();
    this.#requestedAtMs = requestedAtMs;
    this.#requests++;
    const request = this.#requests;
    return {
      bytes: encodeCommand(["Q.SESSION", String(this.#ttlMs)]),
      expectation: {
        receive: (reply) => {
          if (request !== this.#requests) return true;
          this.#requestedAtMs = undefined;
          done(this.#receive(reply, requestedAtMs));
          return true;
        },
        lost: () => {
          if (request === this.#requests) this.abandonRequest();
        },
      },
    };
  }

  /** Since when a request waits for its answer. */
  get requestedAtMs(): number | undefined {
    return this.#requestedAtMs;
  }

  /** The answer will not come, or will not be waited for; another request may be sent. */
  abandonRequest(): void {
    this.#requests++;
    this.#requestedAtMs = undefined;
  }

  #receive(reply: ReplyValue, requestedAtMs: number): QuipuError | undefined {
    if (reply instanceof ReplyError) {
      const error = replyQuipuError(reply);
      const code = replyErrorCode(reply);
      if (code !== "OVERLOADED" && code !== "INDOUBT") this.#firstFailed(error);
      return error;
    }
    const [idValue, expiresAtMs] = Array.isArray(reply) ? (reply as readonly ReplyValue[]) : [];
    const id = idValue === undefined ? undefined : replyText(idValue);
    if (id === undefined || typeof expiresAtMs !== "number") {
      const error = new QuipuError("INVALID_CONFIGURATION", "the server's answer to Q.SESSION is no session");
      this.#firstFailed(error);
      return error;
    }
    this.#current = new Session(id, requestedAtMs, this.#lifetimeMs(expiresAtMs));
    this.#firstCame();
    return undefined;
  }

  /**
   * The server may grant less than was asked for. Its expiry is on its own clock, so what is left by ours is
   * believed only where it is shorter and plausible; a wrong guess costs a SESSIONEXPIRED, not a count.
   */
  #lifetimeMs(expiresAtMs: number): number {
    const leftMs = expiresAtMs - this.#clock.wallMs();
    return leftMs > 0 && leftMs < this.#ttlMs ? leftMs : this.#ttlMs;
  }
}
