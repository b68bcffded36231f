/** Which feature levels the members of a cell understand, as far as this node has heard (decision 0012). */
import { type Configuration, type MemberId, membersOf } from "@quipu/consensus";
import { firstFeatureLevel } from "@quipu/counters";

/** Twice what a configuration may hold: members come and go. */
const membersRemembered = 64;

export class FeatureLevels {
  readonly #supported: Map<MemberId, number> = new Map();

  /** `member` understands records up to `level`. What it said last counts: it may run an older version again. */
  supports(member: MemberId, level: number): void {
    this.#supported.delete(member);
    this.#supported.set(member, level);
    const [oldest] = this.#supported.keys();
    if (this.#supported.size > membersRemembered && oldest !== undefined) this.#supported.delete(oldest);
  }

  /** The highest level that every member, learners included, has said that it understands. */
  common(configuration: Configuration): number {
    const members = membersOf(configuration);
    if (members.length === 0) return firstFeatureLevel;
    return Math.min(...members.map((member) => this.#supported.get(member) ?? firstFeatureLevel));
  }
}
