/**
 * A session that speaks in the errors of the port: who was asked, what happened, and whether anything may have been done.
 * What is idempotent is asked again until it is answered or patience ends; what is not is asked once.
 */
import { type ErrorCode, QuipuError } from "@quipu/core";
import { type Endpoint, type Reply, Unanswered } from "./wire/connection.ts";
import {
  type Access,
  anyVersion,
  code,
  codeName,
  create,
  exists,
  getChildren,
  getData,
  type Node,
  type Operation,
  readAll,
  remove,
  setData,
  transaction,
  type TransactionResult,
} from "./wire/protocol.ts";
import { Session } from "./wire/session.ts";

export interface ClientOptions {
  readonly endpoints: readonly Endpoint[];
  /** `user:password`. */
  readonly credentials: string | undefined;
  readonly sessionTimeoutMs: number;
  readonly patienceMs: number;
}

/** Between two attempts of what is idempotent; most of the wait is for a connection. */
const pauseMs = 20;

export class Client {
  /** For people: the endpoints. */
  readonly where: string;
  readonly #options: ClientOptions;
  readonly #session: Session;
  readonly #access: Access;
  /** By path; those who want to hear of the next change. */
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #onConnected = new Set<() => void>();

  constructor(options: ClientOptions) {
    this.#options = options;
    this.where = `zookeeper at ${options.endpoints.map(({ host, port }) => `${host}:${port}`).join(",")}`;
    this.#access = options.credentials === undefined ? "everybody" : "creator";
    this.#session = new Session({
      ...options,
      onEvent: (path) => {
        for (const watcher of this.#watchers.get(path) ?? []) watcher();
      },
      onConnected: () => {
        for (const listener of this.#onConnected) listener();
      },
    });
  }

  /** All values of one moment, linearizable: covers everything that was acknowledged before the call. Undefined: no such node. */
  readLatest(barrier: string, paths: readonly string[]): Promise<readonly (Node | undefined)[]> {
    return this.#insist("read", async () => {
      const [passed, found] = await Promise.all([this.#barrier(barrier), this.#session.ask(readAll(paths))]);
      this.#passed(barrier, passed);
      return this.#nodes(paths, found);
    });
  }

  /** All values of one moment, which covers whatever this client has seen before. Undefined: no such node. */
  readSeen(paths: readonly string[]): Promise<readonly (Node | undefined)[]> {
    return this.#insist("read", async () => this.#nodes(paths, await this.#session.ask(readAll(paths))));
  }

  /** Names below each of `paths`, not sorted; linearizable. Undefined: no such node. */
  listLatest(barrier: string, paths: readonly string[]): Promise<readonly (readonly string[] | undefined)[]> {
    return this.#insist("read", async () => {
      const [passed, ...found] = await Promise.all([
        this.#barrier(barrier),
        ...paths.map((path) => this.#session.ask(getChildren(path))),
      ]);
      this.#passed(barrier, passed);
      return found.map((reply, place) => this.#present(paths[place] ?? "", reply));
    });
  }

  /** Several values, each of some moment, in one round trip. Undefined: no such node. */
  readEach(paths: readonly string[]): Promise<readonly (Node | undefined)[]> {
    return this.#insist("read", async () => {
      const found = await Promise.all(paths.map((path) => this.#session.ask(getData(path, false))));
      return found.map((reply, place) => this.#present(paths[place] ?? "", reply));
    });
  }

  /** Once; rejects with LOG_APPEND_UNKNOWN if no answer came. */
  transact(operations: readonly Operation[]): Promise<TransactionResult> {
    return this.#once(() => this.#transact(operations));
  }

  /** Again and again; for what may be done twice. */
  transactSurely(operations: readonly Operation[]): Promise<TransactionResult> {
    return this.#insist("write", () => this.#transact(operations));
  }

  /** Each by itself, again and again; gives the code of each. For what may be done twice. */
  removeEach(paths: readonly string[]): Promise<readonly number[]> {
    return this.#insist("write", async () => {
      const replies = await Promise.all(paths.map((path) => this.#session.ask(remove(path))));
      return replies.map((reply, place) => this.#codeOf(paths[place] ?? "", reply));
    });
  }

  /** Gives 0, or `noNode` (the parent is missing) or `nodeExists`. For what may be done twice. */
  createSurely(path: string, value: Uint8Array): Promise<number> {
    return this.#insist("write", async () =>
      this.#codeOf(path, await this.#session.ask(create(path, value, this.#access))),
    );
  }

  /** Whatever the version. Gives 0 or `noNode`. For what may be done twice. */
  setSurely(path: string, value: Uint8Array): Promise<number> {
    return this.#insist("write", async () =>
      this.#codeOf(path, await this.#session.ask(setData(path, value, anyVersion))),
    );
  }

  /**
   * Calls `onChange` with the node as it is: once the watch stands, after each change of which the server tells, and after
   * each new connection. Undefined: it is not there, or could not be read.
   */
  watch(path: string, onChange: (node: Node | undefined) => void): { readonly close: () => void } {
    let isClosed = false;
    const look = async (): Promise<void> => {
      const node = await this.#arm(path);
      if (!isClosed) onChange(node);
    };
    const watcher = (): void => void look();
    const watchers = this.#watchers.get(path) ?? new Set();
    this.#watchers.set(path, watchers.add(watcher));
    this.#onConnected.add(watcher);

    watcher();
    return {
      close: () => {
        isClosed = true;
        this.#onConnected.delete(watcher);
        watchers.delete(watcher);
        if (watchers.size === 0 && this.#watchers.get(path) === watchers) this.#watchers.delete(path);
      },
    };
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  /** With a message that says whom we asked. */
  error(errorCode: ErrorCode, what: string, cause?: unknown): QuipuError {
    return new QuipuError(errorCode, `${this.where}: ${what}`, { cause });
  }

  /** Never rejects: whoever watches looks for themselves, too. */
  async #arm(path: string): Promise<Node | undefined> {
    try {
      const reply = await this.#session.ask(getData(path, true));
      if (reply.done) return reply.value;
      // Of a node that is not there only `exists` tells when it comes.
      if (reply.code === code.noNode) await this.#session.ask(exists(path, true));
      return undefined;
    } catch (error) {
      if (error instanceof Unanswered) return undefined;
      throw error;
    }
  }

  /**
   * ZooKeeper's own `sync` does not ask a quorum: a leader that was deposed and has not heard of it answers it, too. A
   * transaction goes through a quorum, and the reads of this session behind it see whatever was committed before it.
   */
  #barrier(path: string): Promise<Reply<TransactionResult>> {
    return this.#session.ask(transaction([{ type: "check", path, version: anyVersion }], this.#access));
  }

  #passed(path: string, reply: Reply<TransactionResult>): void {
    if (!reply.done) throw this.#refusal(path, reply.code);
    if (reply.value.done) return;
    if (reply.value.code === code.noNode) throw this.error("LOG_CORRUPT", `${path} is missing: somebody removed it`);
    throw this.#refusal(path, reply.value.code);
  }

  async #transact(operations: readonly Operation[]): Promise<TransactionResult> {
    const reply = await this.#session.ask(transaction(operations, this.#access));
    const first = operations[0]?.path ?? "";
    if (!reply.done) throw this.#refusal(first, reply.code);
    const result = reply.value;
    if (!result.done) this.#mustBeOrdinary(operations[result.failed]?.path ?? first, result.code);
    return result;
  }

  #nodes(paths: readonly string[], reply: Reply<readonly (Node | number)[]>): readonly (Node | undefined)[] {
    if (!reply.done) throw this.#refusal(paths[0] ?? "", reply.code);
    return paths.map((path, place) => {
      const found = reply.value[place] ?? code.noNode;
      if (typeof found !== "number") return found;
      if (found === code.noNode) return undefined;
      throw this.#refusal(path, found);
    });
  }

  #present<T>(path: string, reply: Reply<T>): T | undefined {
    if (reply.done) return reply.value;
    if (reply.code === code.noNode) return undefined;
    throw this.#refusal(path, reply.code);
  }

  #codeOf(path: string, reply: Reply<unknown>): number {
    if (reply.done) return code.ok;
    this.#mustBeOrdinary(path, reply.code);
    return reply.code;
  }

  /** What the callers ask for and know how to answer; throws for everything else. */
  #mustBeOrdinary(path: string, refusal: number): void {
    switch (refusal) {
      case code.noNode:
      case code.nodeExists:
      case code.badVersion:
      case code.notEmpty:
        return;
      default:
        throw this.#refusal(path, refusal);
    }
  }

  /** A refusal is an answer: nothing was done. */
  #refusal(path: string, refusal: number): QuipuError {
    const what = `${path}: ${codeName(refusal)}`;
    switch (refusal) {
      case code.noAuth:
      case code.invalidAcl:
      case code.authFailed:
        return this.error("INVALID_CONFIGURATION", `${what}: ${this.#whoWeAre()} may not`);
      case code.unimplemented:
        return this.error("INVALID_CONFIGURATION", `${what}: it takes ZooKeeper 3.6 or later`);
      case code.quotaExceeded:
        return this.error("LOG_FULL", what);
      default:
        return this.error("NOQUORUM", what);
    }
  }

  #whoWeAre(): string {
    const { credentials } = this.#options;
    return credentials === undefined
      ? "somebody without user and password"
      : `user ${credentials.slice(0, credentials.indexOf(":"))} with this password`;
  }

  async #once<T>(attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      throw this.error(error.sent ? "LOG_APPEND_UNKNOWN" : "NOQUORUM", error.message, error);
    }
  }

  async #insist<T>(kind: "read" | "write", attempt: () => Promise<T>): Promise<T> {
    const deadlineMs = performance.now() + this.#options.patienceMs;
    let mayBeDone = false;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof Unanswered)) throw this.#afterDoubt(error, mayBeDone);
        mayBeDone ||= error.sent && kind === "write";
        if (performance.now() >= deadlineMs || this.#session.isClosed) {
          throw this.error(mayBeDone ? "LOG_APPEND_UNKNOWN" : "NOQUORUM", error.message, error);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** An earlier attempt may have been done: then no failure is definite. */
  #afterDoubt(error: unknown, mayBeDone: boolean): unknown {
    if (!mayBeDone || !(error instanceof QuipuError) || error.code !== "NOQUORUM") return error;
    return new QuipuError("LOG_APPEND_UNKNOWN", error.message, { cause: error });
  }
}
