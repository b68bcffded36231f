/** Changes of members that this member's leader was asked for, until the final configuration is committed. */
import { type Configuration, isJoint, type LogIndex, type MemberId, type Term } from "@quipu/consensus";
import { QuipuError } from "@quipu/core";
import type { GroupHost } from "./group-host.ts";

interface Change {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
  readonly deadlineTicks: number;
  readonly resolve: () => void;
  readonly reject: (error: QuipuError) => void;
  /** Where the first step towards it stands. */
  place: { readonly term: Term; readonly index: LogIndex } | undefined;
}

export class Changes {
  readonly #host: GroupHost;
  /** The leader has not taken these. */
  readonly #asked: Set<Change> = new Set();
  #open: Change[] = [];
  #isClosed = false;

  constructor(host: GroupHost) {
    this.#host = host;
  }

  change(voters: readonly MemberId[], learners: readonly MemberId[]): Promise<void> {
    if (this.#isClosed) return Promise.reject(new QuipuError("SHUTTING_DOWN", "the log is closed"));
    return new Promise((resolve, reject) => {
      const deadlineTicks = this.#host.nowTicks + this.#host.settings.changeDeadlineTicks;
      const change: Change = { voters, learners, deadlineTicks, resolve, reject, place: undefined };
      this.#asked.add(change);
      this.#host.run(() => this.#begin(change));
    });
  }

  /** The log was delivered further, or the leader changed. */
  check(): void {
    if (this.#open.length === 0) return;
    const { configuration, configurationIndex, delivered, term } = this.#host.inspect();
    const isFinal = !isJoint(configuration) && configurationIndex <= delivered;
    this.#open = this.#open.filter((change) => {
      if (change.place === undefined) return true;
      const reached = isFinal && configurationIndex >= change.place.index && isTarget(configuration, change);
      if (reached) {
        change.resolve();
        return false;
      }
      // The next leader finishes what it finds in its log; whether it does is not known here.
      const isLost = isFinal && term > change.place.term && configurationIndex > change.place.index;
      if (isLost) change.reject(unknownChange("another configuration took its place"));
      return !isLost;
    });
  }

  tick(): void {
    this.#open = this.#open.filter((change) => {
      const isLate = change.deadlineTicks <= this.#host.nowTicks;
      if (isLate) change.reject(unknownChange("it was not committed in time"));
      return !isLate;
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#asked) reject(new QuipuError("SHUTTING_DOWN", "the log is closed"));
    this.#asked.clear();
    for (const { reject } of this.#open.splice(0)) {
      reject(new QuipuError("SHUTTING_DOWN", "the log is closed", { outcome: "unknown" }));
    }
  }

  #begin(change: Change): void {
    const { voters, learners } = change;
    this.#host.ask(
      (request) => ({ type: "changeMembers", request, voters, learners }),
      (answer) => {
        this.#asked.delete(change);
        if (answer.type === "proposed") {
          change.place = { term: answer.term, index: answer.first };
          this.#open.push(change);
          return;
        }
        const why = answer.type === "reply" ? answer.reason : "refused";
        change.reject(new QuipuError("OVERLOADED", `the members were not changed: ${why}`));
      },
    );
  }
}

function isTarget({ voters, learners }: Configuration, change: Change): boolean {
  return sameMembers(voters, change.voters) && sameMembers(learners, change.learners);
}

function sameMembers(left: readonly MemberId[], right: readonly MemberId[]): boolean {
  return left.length === right.length && left.every((member) => right.includes(member));
}

function unknownChange(why: string): QuipuError {
  return new QuipuError("LOG_APPEND_UNKNOWN", `the members may be changed yet: ${why}`);
}
