/**
 * Who belongs to a group whose members change, as far as no operator has to say it: a member that is in no configuration asks to be let in;
 * the leader lets it in as a learner, in place of the member that its node was before it lost its disk, and makes learners
 * that have caught up voters. One change at a time; what is refused is tried again later. A leader whose disk is full
 * hands its leadership over.
 */
import { isJoint, isLearner, type MemberId, membersOf, nodeOf } from "@quipu/consensus";
import type { GroupHost } from "./group-host.ts";

export type ChangeMembers = (voters: readonly MemberId[], learners: readonly MemberId[]) => Promise<void>;

export class MembershipKeeper {
  readonly #host: GroupHost;
  readonly #change: ChangeMembers;
  readonly #membersChange: boolean;
  /** A change of this keeper is under way. */
  #changing = false;

  constructor(host: GroupHost, change: ChangeMembers, membersChange: boolean) {
    this.#host = host;
    this.#membersChange = membersChange;
    this.#change = change;
  }

  tick(): void {
    const { settings, nowTicks, leadership, configuration } = this.#host;
    const isLeader = leadership.role === "leader";
    if (isLeader && nowTicks % settings.joinTicks === 0) this.#handOver();
    if (!this.#membersChange) return;
    if (isLeader && settings.promoteLearners && configuration.learners.length > 0) this.#promote();
    if (nowTicks % settings.joinTicks !== 0) return;
    if (isLeader) this.#expel();
    // A member that was taken out knows a configuration, and stays out.
    if (membersOf(configuration).length === 0 || this.#mayNotBeIn()) this.#askToJoin();
  }

  /**
   * Its admission is in its log, not known to be committed: another leader may have put something else there since. Or it
   * has the state of a group that still counts on the member that its node was before.
   */
  #mayNotBeIn(): boolean {
    const { member, configuration, configurationIndex, committed } = this.#host.inspect();
    if (isLearner(configuration, member)) return configurationIndex > committed;
    const members = membersOf(configuration);
    return !members.includes(member) && members.some((other) => nodeOf(other) === nodeOf(member));
  }

  /** Inside of a job. */
  onJoin(from: MemberId): void {
    if (!this.#membersChange || !this.#mayChange()) return;
    const { configuration, progress } = this.#host.inspect();
    // A very late message of a member that was replaced since: nobody is there who could be let in.
    if (membersOf(configuration).includes(from) || !this.#host.hub.peers().includes(from)) return;
    const isOld = (member: MemberId): boolean => nodeOf(member) === nodeOf(from);
    // That one has not lost its disk: two processes have one number, or the message is of a generation that is gone.
    if (isOld(this.#host.member) || progress.some(({ member, active }) => active && isOld(member))) return;
    const { group } = this.#host;
    const { admitNewNodes, admits } = this.#host.settings;
    if ((!membersOf(configuration).some(isOld) && !admitNewNodes) || !admits(nodeOf(from), group)) return;
    const voters = configuration.voters.filter((member) => !isOld(member));
    // The last voter cannot be replaced by one that has nothing.
    if (voters.length === 0) return;
    this.#begin(voters, [...configuration.learners.filter((member) => !isOld(member)), from]);
  }

  #askToJoin(): void {
    const { hub, group } = this.#host;
    for (const peer of hub.peers()) hub.send(peer, { type: "join", group });
  }

  /** The first learner that has caught up becomes a voter. */
  #promote(): void {
    if (!this.#mayChange()) return;
    const { configuration, progress, committed } = this.#host.inspect();
    const { voters, learners } = configuration;
    const { votersMax, promoteLagMax } = this.#host.settings;
    if (voters.length >= votersMax) return;
    const ready = progress.find(
      ({ member, state, active, match }) =>
        learners.includes(member) && state === "replicate" && active && committed - match <= promoteLagMax,
    );
    if (ready === undefined) return;
    this.#begin(
      [...voters, ready.member],
      learners.filter((member) => member !== ready.member),
    );
  }

  /** Who belongs to the cell no more belongs to none of its groups. A leader that is out hands over first. */
  #expel(): void {
    if (!this.#mayChange()) return;
    const { expels } = this.#host.settings;
    const { group, member: self } = this.#host;
    const { configuration, progress } = this.#host.inspect();
    const out = membersOf(configuration).find((member) => expels(member, group));
    if (out === undefined) return;
    const voters = configuration.voters.filter((member) => member !== out);
    if (voters.length === 0) return;
    if (out !== self) {
      this.#begin(
        voters,
        configuration.learners.filter((member) => member !== out),
      );
      return;
    }
    const [best] = progress
      .filter(({ member, state }) => voters.includes(member) && state === "replicate")
      .toSorted((left, right) => right.match - left.match);
    if (best !== undefined) this.#host.step({ type: "transferLeadership", to: best.member });
  }

  /** A leader that has no room for the log takes nothing: whoever has most of it leads in its place, if it has room. */
  #handOver(): void {
    if (this.#host.refusal === undefined) return;
    const { configuration, progress } = this.#host.inspect();
    const able = progress.filter(({ member, state }) => configuration.voters.includes(member) && state === "replicate");
    const [best] = able.toSorted((left, right) => right.match - left.match);
    if (best !== undefined) this.#host.step({ type: "transferLeadership", to: best.member });
  }

  #mayChange(): boolean {
    const { role, configuration, configurationIndex, committed } = this.#host.inspect();
    return !this.#changing && role === "leader" && !isJoint(configuration) && configurationIndex <= committed;
  }

  #begin(voters: readonly MemberId[], learners: readonly MemberId[]): void {
    this.#changing = true;
    const ended = (): void => {
      this.#changing = false;
    };
    // Whether it came through shows in the configuration.
    this.#change(voters, learners).then(ended, ended);
  }
}
