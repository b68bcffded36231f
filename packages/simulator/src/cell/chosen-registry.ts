/**
 * Every value that any member of one Multi-Paxos group accepted, by slot and ballot, and which of them are chosen. One
 * ballot has one value for a slot; and once a value is chosen, no higher ballot has another (Paxos Made Simple, P2).
 */
import type { Entry } from "@quipu/consensus";
import { check } from "../failure.ts";
import type { CommittedLog } from "./book.ts";
import { isSameContent } from "./entry-registry.ts";

interface Chosen {
  readonly entry: Entry;
  /** It was chosen in this ballot, or an earlier one. */
  readonly ballot: number;
}

export class ChosenRegistry implements CommittedLog {
  readonly #accepted = new Map<number, Entry[]>();
  /** From slot 1. */
  readonly #chosen: Chosen[] = [];
  #sealedAt: number | undefined;

  get committedUpTo(): number {
    return this.#chosen.length;
  }

  get sealedAt(): number | undefined {
    return this.#sealedAt;
  }

  committedEntry(index: number): Entry | undefined {
    return this.#chosen[index - 1]?.entry;
  }

  seen(who: string, entry: Entry): void {
    const { index, term } = entry;
    let ballots = this.#accepted.get(index);
    if (ballots === undefined) this.#accepted.set(index, (ballots = []));
    const known = ballots.find((other) => other.term === term);
    check(
      known === undefined || isSameContent(known, entry),
      "log-matching",
      () => `${who}: slot ${index} in ballot ${term} is not what it is elsewhere`,
    );
    if (known === undefined) ballots.push(entry);
    const chosen = this.#chosen[index - 1];
    check(
      chosen === undefined || term < chosen.ballot || isSameContent(chosen.entry, entry),
      "committed-changed",
      () =>
        `${who} accepts another value for slot ${index} in ballot ${term} than was chosen by ballot ${chosen?.ballot}`,
    );
  }

  /** A member says that what it has in this slot is chosen. */
  chosen(who: string, entry: Entry, inBallot: number, isLeader: boolean): void {
    const known = this.#chosen[entry.index - 1];
    if (known !== undefined) {
      check(
        isSameContent(known.entry, entry),
        "committed-changed",
        () => `${who} has another value in the chosen slot ${entry.index}`,
      );
      return;
    }
    check(
      isLeader && entry.index === this.#chosen.length + 1,
      "committed-without-quorum",
      () => `${who} takes ${entry.index} for chosen, which no leader does (${this.#chosen.length})`,
    );
    this.#chosen.push({ entry, ballot: inBallot });
    for (const other of this.#accepted.get(entry.index) ?? []) {
      check(
        other.term < inBallot || isSameContent(other, entry),
        "committed-changed",
        () => `${who} takes ${entry.index} for chosen in ballot ${inBallot}, ballot ${other.term} has another value`,
      );
    }
    if (entry.kind === "seal") this.#sealedAt ??= entry.index;
  }
}
