/** What members of a cell have of a virtual log beside the contract, whichever engine its segments are on. */
import { type Configuration, emptyConfiguration } from "@quipu/consensus";
import { type Lsn, lsn, QuipuError } from "@quipu/core";
import type { LogReplication } from "../loglet.ts";
import { decodeLogWords, encodeLogWords } from "./log-words.ts";
import type { OpenSegment } from "./open-segment.ts";

/** What the members of a cell agree upon beside the log. */
export interface ChainMembers {
  /** Who keeps the log. */
  configuration(): Configuration;
  /** This node has the state up to `upTo` in a synced store. Returns up to where the log may be trimmed. */
  agreed(upTo: Lsn): Lsn;
  /** Up to here some other member that is alive has the state in a synced store. */
  storedElsewhere(): Lsn;
}

export interface ChainReplicationOptions {
  readonly members: ChainMembers | undefined;
  readonly segments: () => readonly OpenSegment[];
  /** The lowest position that a reader waits for. */
  readonly nextRead: () => number;
  /** Looks for a newer chain. */
  readonly refresh: () => Promise<void>;
}

export class ChainReplication implements LogReplication {
  readonly #options: ChainReplicationOptions;
  readonly #handlers: ((source: number, atLeast: Lsn) => void)[] = [];

  constructor(options: ChainReplicationOptions) {
    this.#options = options;
  }

  /** A segment was opened. */
  watch(segment: OpenSegment): void {
    segment.replication?.onSnapshotNeeded((source, atLeast) => {
      // What a segment lacks that everybody here has read is in the state that later ones need anyway.
      if (segment.end !== undefined && this.#options.nextRead() >= segment.end) return;
      for (const handler of this.#handlers) handler(source, segment.toLog(atLeast));
    });
  }

  /** Of a position between two segments the later one says how to go on: the earlier may go. */
  startAt(position: Lsn): Uint8Array | undefined {
    const segments = this.#options.segments();
    const segment = segments.findLast(({ base, isHere }) => isHere && base - 1 <= position);
    const words = segment?.startAt(position);
    return segment === undefined || words === undefined ? undefined : encodeLogWords({ ...segment.name, words });
  }

  async installed(start: Uint8Array): Promise<void> {
    const decoded = decodeLogWords(start);
    if (decoded === undefined) throw new QuipuError("LOG_CORRUPT", "where the log goes on does not decode");
    let segment = this.#options.segments().find((each) => each.is(decoded));
    if (segment === undefined) {
      // The state may come from a node that is ahead of this one.
      await this.#options.refresh().catch(unlessTemporary);
      segment = this.#options.segments().find((each) => each.is(decoded));
    }
    // It is gone, and the state stands at its end at the earliest: then the next one needs to be told nothing. Whoever reads
    // on above an older state comes to a gap.
    await segment?.replication?.installed(decoded.words);
  }

  configuration(): Configuration {
    // Whoever belongs to the cell, also those who have no part in the present segment yet.
    const { members, segments } = this.#options;
    return members?.configuration() ?? segments().at(-1)?.replication?.configuration() ?? emptyConfiguration;
  }

  agreedUpTo(): Lsn {
    const last = this.#options.segments().at(-1);
    const { replication } = last ?? {};
    return last === undefined || replication === undefined ? lsn(0) : last.toLog(replication.agreedUpTo());
  }

  onSnapshotNeeded(handler: (source: number, atLeast: Lsn) => void): void {
    this.#handlers.push(handler);
  }
}

/** Without a quorum the newest chain is not to be had: it comes by itself, and its log then asks for what it lacks. */
function unlessTemporary(error: unknown): void {
  const isTemporary =
    error instanceof QuipuError && ["OVERLOADED", "NOQUORUM", "LOG_APPEND_UNKNOWN"].includes(error.code);
  if (!isTemporary) throw error;
}
