/**
 * What members promise each other, read off the wire: a vote is given once in a term, by any life of a member, and
 * nothing leaves before what it says is durable (Raft §5.2, §5.4; research/consensus.md P3, P5).
 */
import type { MemberId, RaftMessage } from "@quipu/consensus";
import { decodePeerFrame } from "@quipu/protocol";
import { check } from "../failure.ts";
import type { GroupBook } from "./group-book.ts";
import type { MemberBook } from "./member-book.ts";

/** Larger frames carry entries, which promise nothing. */
const promiseBytesMax = 160;

export class Promises {
  /** Group, member and term, to whom that member gave its vote. */
  readonly #votes = new Map<string, MemberId>();
  readonly #bookOf: (group: number) => GroupBook;

  constructor(bookOf: (group: number) => GroupBook) {
    this.#bookOf = bookOf;
  }

  sent(from: number, to: number, frame: Uint8Array): void {
    if (frame.length > promiseBytesMax) return;
    const message = decodePeerFrame(frame)?.message;
    if (message?.type !== "raft") return;
    const book = this.#bookOf(message.group);
    const member = book.member(from as MemberId);
    if (member !== undefined)
      this.#check(book, member, message.group, from as MemberId, to as MemberId, message.message);
  }

  #check(book: GroupBook, member: MemberBook, group: number, from: MemberId, to: MemberId, message: RaftMessage): void {
    switch (message.type) {
      case "appendEntries":
      case "heartbeat":
      case "snapshotNeeded":
        book.led(from, message.term);
        return;
      case "voteReply":
        if (message.granted && !message.preVote)
          this.#voted(member, `${group}/${from}/${message.term}`, to, message.term);
        return;
      case "requestVote":
        if (!message.preVote) this.#voted(member, `${group}/${from}/${message.term}`, from, message.term);
        return;
      case "appendAccepted": {
        const { view } = member;
        if (view === undefined || view.term !== message.term || message.match > view.last) return;
        check(
          member.isBelowStart(message.match) || member.durableTerm(message.match) !== undefined,
          "promise-not-durable",
          () => `${member.name} tells ${to} that it has ${message.match}, which is not on its disk`,
        );
        return;
      }
      default:
    }
  }

  #voted(member: MemberBook, key: string, candidate: MemberId, term: number): void {
    const known = this.#votes.get(key);
    check(
      known === undefined || known === candidate,
      "election-safety",
      () => `${member.name} votes for ${known} and for ${candidate} in term ${term}`,
    );
    this.#votes.set(key, candidate);
    member.promised(term);
    check(
      member.view?.term !== term || member.isHardStateDurable,
      "promise-not-durable",
      () => `${member.name} votes for ${candidate} in term ${term}, which is not on its disk`,
    );
  }
}
