/** What the replicas of a shard come to agree upon beside the log: that their states are equal, and a feature level. */
import { type MemberId, nodeOf } from "@quipu/consensus";
import type { CounterMachine } from "@quipu/counters";
import type { SnapshotLink } from "../snapshot/settings.ts";
import type { WriterIdentity } from "../submitter.ts";
import { type ComparisonOptions, type DivergenceReport, StateComparison } from "./comparison.ts";
import { FeatureLevels } from "./feature-levels.ts";
import type { Difference } from "./hash-book.ts";

export type { DivergenceReport } from "./comparison.ts";

export interface AgreementStatus {
  readonly featureLevel: number;
  /** The newest position at which a majority had our state; 0: none yet. */
  readonly comparedUpTo: number;
  /** Somebody differs, and no majority says who is right. */
  readonly undecided: Difference | undefined;
  /** Times that this replica was found to differ from a majority. */
  readonly divergences: number;
  /** Reports of all kinds. */
  readonly reports: number;
}

export interface AgreementOptions extends Pick<ComparisonOptions, "shard" | "clock" | "configuration" | "onReport"> {
  readonly link: Pick<SnapshotLink, "member" | "peers" | "send" | "handle">;
  /** `mayFetch` false: the state was fetched, and differs again. */
  readonly onDiverged: (source: MemberId, mayFetch: boolean) => void;
  readonly raise: (level: number) => void;
}

/** Positions at which a fetched state was equal before an earlier divergence is forgotten: about a minute under load. */
const agreementsToForgive = 60;
/** Nodes take turns in raising the level: the first one's record is nearly always there before the next would write. */
const turns = 5;

export class Agreement {
  readonly #options: AgreementOptions;
  readonly #comparison: StateComparison;
  readonly #levels = new FeatureLevels();
  #machine: CounterMachine | undefined;
  #divergences = 0;
  #reports = 0;
  /** The state in use replaced one that differed. */
  #isSecondTry = false;
  /** Rounds for which a higher level could have been in force. */
  #raisableRounds = 0;

  constructor(options: AgreementOptions) {
    this.#options = options;
    const { shard, link, clock, configuration, onReport } = options;
    this.#comparison = new StateComparison({
      shard,
      link,
      clock,
      configuration,
      onDiverged: ({ holders }) => this.#diverged(holders[0] as MemberId),
      onReport: (report: DivergenceReport) => {
        this.#reports += 1;
        onReport(report);
      },
      onFeatureLevel: (member, level) => this.#levels.supports(member, level),
      onRound: () => this.#round(),
    });
    link.handle("stateHash", (from, message) => this.#comparison.onMessage(from, message));
  }

  begin(machine: CounterMachine, identity: WriterIdentity): void {
    this.#machine = machine;
    this.#levels.supports(this.#options.link.member, machine.featureLevelMax);
    this.#comparison.begin(machine, identity.incarnation);
  }

  end(): void {
    this.#comparison.end();
  }

  applied(position: Parameters<StateComparison["applied"]>[0]): void {
    this.#comparison.applied(position);
  }

  peerSupports(member: MemberId, level: number): void {
    this.#levels.supports(member, level);
  }

  get status(): Omit<AgreementStatus, "featureLevel"> {
    const { agreedUpTo, undecided } = this.#comparison;
    return { comparedUpTo: agreedUpTo, undecided, divergences: this.#divergences, reports: this.#reports };
  }

  #diverged(source: MemberId): void {
    this.#divergences += 1;
    const mayFetch = !this.#isSecondTry || this.#comparison.agreements >= agreementsToForgive;
    this.#isSecondTry = true;
    this.#comparison.end();
    this.#options.onDiverged(source, mayFetch);
  }

  #round(): void {
    const configuration = this.#options.configuration();
    const machine = this.#machine;
    if (configuration === undefined || machine === undefined) return;
    const level = Math.min(this.#levels.common(configuration), machine.featureLevelMax);
    if (level <= machine.featureLevel) this.#raisableRounds = 0;
    else if (++this.#raisableRounds > nodeOf(this.#options.link.member) % turns) this.#options.raise(level);
  }
}
