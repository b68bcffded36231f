/**
 * Looks after the chain of a cell's log, on every node, now and then: completes a switch whose sealer died, drops what
 * nobody needs any more. On the node that leads the metadata group also: a log whose members cannot change goes on in
 * another segment, with the members that the cell has by now; so does one that wears out; and the metadata group is led by
 * whoever leads the log, so that operators' requests find both in one place.
 */
import { isJoint, isVoter, type MemberId } from "@quipu/consensus";
import { type Clock, QuipuError, type Random } from "@quipu/core";
import type { ConsensusGroup, VirtualLog } from "@quipu/log";
import { Recurring } from "../recurring.ts";
import { onlyMemberOf, staticMembersOf } from "./group-numbers.ts";

export interface ChainKeeperOptions {
  readonly log: VirtualLog;
  readonly clock: Pick<Clock, "setTimer">;
  readonly random: Random;
  readonly metadataGroup: () => ConsensusGroup | undefined;
  /** That of the present segment, where a group of this cell keeps it. */
  readonly logGroup: () => ConsensusGroup | undefined;
  /** A broken invariant. */
  readonly onFatal: (error: unknown) => void;
}

/** Between two looks. */
const lookMs = 1_000;
/** The tail is asked for, of a service in a request of its own, with one look in so many. */
const looksPerTail = 5;
/** The same members that many looks in a row: a node that is replaced comes and goes in two steps. */
const looksBeforeChange = 2;

export class ChainKeeper {
  readonly #options: ChainKeeperOptions;
  /** What is wanted instead of the present members, as text, and since how many looks. */
  #wanted = "";
  #wantedLooks = 0;
  #looksTaken = 0;
  readonly #looks: Recurring;

  constructor(options: ChainKeeperOptions) {
    this.#options = options;
    const { clock, random } = options;
    this.#looks = new Recurring({ clock, random, everyMs: lookMs, run: () => this.#look() });
  }

  /** A look under way is not waited for: it ends when the log is closed. */
  close(): void {
    void this.#looks.close();
  }

  async #look(): Promise<void> {
    try {
      const { log } = this.#options;
      this.#looksTaken += 1;
      // A chain without a switch under way costs a look at the tail, which of a service is a request.
      if (log.chain().next !== undefined || this.#looksTaken % looksPerTail === 0) await log.finishSealedChain();
      await log.dropTrimmed();
      this.#alignLeaders();
      await this.#renewSegment();
    } catch (error) {
      // No quorum, no leader, a service that is away: the next look may find it otherwise.
      if (!(error instanceof QuipuError)) this.#options.onFatal(error);
    }
  }

  #alignLeaders(): void {
    const metadata = this.#options.metadataGroup();
    const last = this.#options.log.chain().segments.at(-1);
    // Of a log on one node, that node.
    const only = last === undefined ? undefined : onlyMemberOf(last);
    const leader = only ?? this.#options.logGroup()?.inspect().leader;
    const view = metadata?.inspect();
    if (leader === undefined || view?.role !== "leader" || view.leader === leader) return;
    if (isVoter(view.configuration, leader)) metadata?.transferLeadership(leader);
  }

  async #renewSegment(): Promise<void> {
    const { log, metadataGroup } = this.#options;
    const view = metadataGroup()?.inspect();
    const last = log.chain().segments.at(-1);
    if (view?.role !== "leader" || last === undefined) return;
    const wanted = this.#membersInstead(view.configuration.voters);
    this.#wantedLooks = wanted === this.#wanted ? this.#wantedLooks + 1 : 1;
    this.#wanted = wanted;
    const isSettled = !isJoint(view.configuration) && view.configurationIndex <= view.committed;
    const membersChange = wanted !== "" && isSettled && this.#wantedLooks >= looksBeforeChange;
    // Not of a segment that somebody has just switched to.
    if (membersChange || log.wearsOut()) await log.reconfigure(last.engine, undefined, last);
  }

  /** The voters of the cell, where the present segment is kept by others and cannot be handed to them; else "". */
  #membersInstead(voters: readonly MemberId[]): string {
    const last = this.#options.log.chain().segments.at(-1);
    const members = last === undefined ? undefined : staticMembersOf(last);
    const wanted = voters.join();
    return members === undefined || members.join() === wanted ? "" : wanted;
  }
}
