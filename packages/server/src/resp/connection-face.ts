/** What commands see of the connection they came on, and of the door behind it. */
import type { Clock, Lsn, QuipuError, Random } from "@quipu/core";
import type { ReplicaDoor } from "@quipu/cluster";
import type { Command, OutcomeValue } from "@quipu/counters";
import type { RespVersion, RespWriter } from "@quipu/protocol";
import type { Plan } from "./command.ts";
import type { RespDoorLimits } from "./limits.ts";
import type { DoorStatistics } from "./statistics.ts";
import type { ReplyFormat } from "./reply-format.ts";
import type { TransactionState } from "./transaction-state.ts";

/** How reads of a connection are served (DESIGN §4.6). */
export type ReadMode =
  | { readonly type: "linearizable" }
  /** At least as new as `position` and as everything this connection has seen. */
  | { readonly type: "session"; readonly position: Lsn }
  | { readonly type: "stale" };

export type ReplyMode = "on" | "off" | "skip";

/** What CLIENT LIST shows and CLIENT SET… changes. Reset by RESET. */
export interface ClientState {
  readonly id: number;
  readonly address: string;
  readonly localAddress: string;
  readonly connectedAtMs: number;
  lastActiveAtMs: number;
  name: string;
  libraryName: string;
  libraryVersion: string;
  lastCommand: string;
  database: number;
  isNoEvict: boolean;
  isAuthenticated: boolean;
  readMode: ReadMode;
}

/** Turns one outcome into a reply where a format number does not suffice. */
export interface ReplyContext {
  write(reply: RespWriter, outcome: OutcomeValue): void;
  fail(reply: RespWriter, error: QuipuError): void;
}

export interface RespConnection {
  readonly client: ClientState;
  readonly transaction: TransactionState;
  readonly door: DoorServices;
  protocol: RespVersion;
  /** Commands in the replica's batches, answered in their order. */
  readonly pendingOrdered: number;
  /** Linearizable reads that wait. Never together with pendingOrdered > 0. */
  readonly pendingReads: number;
  readonly hasOutput: boolean;
  readonly replyMode: ReplyMode;
  setReplyMode(mode: ReplyMode): void;
  setAuthenticated(isAuthenticated: boolean): void;
  /** A reply of our own making at its place behind what is pending. Only while no read is pending. */
  replyLocally(write: (reply: RespWriter) => void): void;
  /** False: not now, try the same command again once something was answered. */
  submit(plan: Plan): boolean;
  /** Only while no read is pending. */
  submitCommand(command: Command, format: ReplyFormat, context?: ReplyContext): void;
  /** One read of several that make up one reply; `isLast` may write. */
  submitRead(plan: Plan, context: ReplyContext): void;
  /** MULTI, EXEC, DISCARD: the fast path is only for plain commands. */
  transactionChanged(): void;
  /** Reads nothing more, sends what is owed, ends. */
  closeWhenAnswered(): void;
  /** At once. */
  destroy(): void;
}

/** What the door lends to its connections. */
export interface DoorServices {
  readonly replica: ReplicaDoor;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: RespDoorLimits;
  readonly statistics: DoorStatistics;
  readonly isAuthenticationRequired: boolean;
  acceptsToken(token: string): boolean;
  readonly isFlushAllowed: boolean;
  readonly idempotencyRetentionMs: number;
  /** Of the listening socket. */
  readonly port: number;
  readonly bind: string;
  /** This run of the server: 40 hexadecimal digits, as Redis has it. */
  readonly runId: string;
  readonly version: string;
  readonly startedAtMs: number;
  /** The RESP doors of the cell that serve at present, this one's first. */
  doors(): readonly DoorAddress[];
  connections(): Iterable<RespConnection>;
  readonly connectionCount: number;
}

export interface DoorAddress {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}
