/** MULTI and WATCH of one connection: what is queued, what is watched, whether EXEC may still succeed. */
import type { Watch } from "@quipu/counters";
import type { CommandArguments } from "./command-arguments.ts";
import type { CommandEntry } from "./command.ts";

export interface QueuedCommand {
  readonly entry: CommandEntry;
  readonly args: CommandArguments;
}

export class TransactionState {
  /** Between MULTI and EXEC. */
  isOpen = false;
  /** A queued command was refused: EXEC answers EXECABORT. */
  isBroken = false;
  queued: QueuedCommand[] = [];
  queuedBytes = 0;
  watches: Watch[] = [];
  /** Versions asked for by WATCH and not known yet; EXEC waits for them. */
  watchesPending = 0;

  begin(): void {
    this.isOpen = true;
    this.isBroken = false;
    this.queued = [];
    this.queuedBytes = 0;
  }

  queue(entry: CommandEntry, args: CommandArguments): void {
    this.queued.push({ entry, args });
    this.queuedBytes += bytesOf(args);
  }

  /** EXEC, DISCARD, RESET: the watches end with the transaction. */
  end(): void {
    this.begin();
    this.isOpen = false;
    this.watches = [];
  }

  watch(watch: Watch): void {
    // The first version seen is the one that counts; Redis ignores a second WATCH of the same key too.
    if (!this.watches.some((known) => known.database === watch.database && sameBytes(known.key, watch.key))) {
      this.watches.push(watch);
    }
  }
}

export function bytesOf(args: CommandArguments): number {
  return args.reduce((sum, argument) => sum + argument.length, 0);
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
