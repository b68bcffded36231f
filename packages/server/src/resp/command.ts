/** What the command table knows of a command: enough to run it, to refuse it, and to describe it to clients. */
import type { Random } from "@quipu/core";
import type { Operation } from "@quipu/counters";
import type { RespWriter } from "@quipu/protocol";
import type { CommandArguments } from "./command-arguments.ts";
import type { RespConnection } from "./connection-face.ts";
import type { ReplyFormat } from "./reply-format.ts";

/** Flags as COMMAND INFO names them. `no_multi`: not inside MULTI. `no_auth`: allowed before AUTH. */
export type CommandFlag =
  | "readonly"
  | "write"
  | "denyoom"
  | "admin"
  | "noscript"
  | "loading"
  | "stale"
  | "fast"
  | "no_auth"
  | "no_multi"
  | "movablekeys"
  | "skip_slowlog"
  | "blocking";

export type CommandGroup = "connection" | "server" | "string" | "generic" | "transactions" | "quipu";

/** An operation of the state machine and how its outcome is shown. */
export interface Plan {
  readonly operation: Operation;
  readonly format: ReplyFormat;
}

/** What a plan may depend on besides its arguments. */
export interface PlanContext {
  readonly database: number;
  readonly random: Random;
  readonly isFlushAllowed: boolean;
}

export type CommandAction =
  /** One operation. Pure: it may be planned twice if the command has to wait, and later if it is in a MULTI. */
  | { readonly type: "state"; plan(args: CommandArguments, context: PlanContext): Plan }
  /** Answered by the connection itself. */
  | {
      readonly type: "local";
      /** True: everything before it must be answered first (HELLO changes how replies are written). */
      readonly isBarrier?: boolean;
      run(connection: RespConnection, args: CommandArguments, reply: RespWriter): void;
    }
  /** Decides itself what to submit. Runs at once, also inside MULTI. */
  | {
      readonly type: "flow";
      /** True: runs inside MULTI too, instead of being queued. */
      readonly isImmediate?: boolean;
      mustWait?(connection: RespConnection): boolean;
      run(connection: RespConnection, args: CommandArguments): void;
    }
  | {
      readonly type: "container";
      readonly subcommands: readonly CommandEntry[];
      /** What the bare word answers (COMMAND); most containers need a subcommand. */
      run?(reply: RespWriter): void;
    };

export interface CommandEntry {
  /** Lower case; a subcommand is `client|id`. */
  readonly name: string;
  /** Words with the name; negative: at least that many. */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  /** First key, last key (negative: from the end), step between keys. */
  readonly keys?: readonly [first: number, last: number, step: number];
  /** Where the keys are if no rule of three numbers tells; indexes into the words. */
  movableKeys?(args: CommandArguments): readonly number[];
  readonly group: CommandGroup;
  readonly since: string;
  readonly summary: string;
  readonly complexity: string;
  readonly action: CommandAction;
}

export function hasArity(entry: CommandEntry, wordCount: number): boolean {
  return entry.arity >= 0 ? wordCount === entry.arity : wordCount >= -entry.arity;
}

export function hasFlag(entry: CommandEntry, flag: CommandFlag): boolean {
  return entry.flags.includes(flag);
}
