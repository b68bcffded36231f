/**
 * What members promise each other, read off the wire: a vote is given once in a term, by any life of a member, and
 * nothing leaves before what it says is durable (Raft §5.2, §5.4; Paxos Made Simple, P1; research/consensus.md P3, P5).
 */
import type { MemberId, PaxosMessage, RaftMessage } from "@quipu/consensus";
import { decodePeerFrame } from "@quipu/protocol";
import { check } from "../failure.ts";
import type { BookedMember, ConsensusBook } from "./book.ts";

/** Larger frames carry entries, which promise nothing. */
const promiseBytesMax = 160;

/** One word of a member of a group. */
interface Said<Message> {
  readonly book: ConsensusBook;
  readonly member: BookedMember;
  readonly group: number;
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: Message;
}

export class Promises {
  /** Group, member and term, to whom that member gave its vote. */
  readonly #votes = new Map<string, MemberId>();
  readonly #bookOf: (group: number) => ConsensusBook | undefined;

  constructor(bookOf: (group: number) => ConsensusBook | undefined) {
    this.#bookOf = bookOf;
  }

  sent(from: number, to: number, frame: Uint8Array): void {
    if (frame.length > promiseBytesMax) return;
    const message = decodePeerFrame(frame)?.message;
    if (message?.type !== "raft" && message?.type !== "paxos") return;
    const { group } = message;
    const book = this.#bookOf(group);
    const member = book?.member(from as MemberId);
    if (book === undefined || member === undefined) return;
    const said = { book, member, group, from: from as MemberId, to: to as MemberId };
    if (message.type === "raft") this.#raft({ ...said, message: message.message });
    else this.#paxos({ ...said, message: message.message });
  }

  #raft({ book, member, group, from, to, message }: Said<RaftMessage>): void {
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

  #paxos({ book, member, from, to, message }: Said<PaxosMessage>): void {
    switch (message.type) {
      case "accept":
      case "chosen":
      case "paxosHeartbeat":
      case "paxosSnapshotNeeded":
        book.led(from, message.ballot);
        return;
      case "promised":
        member.promised(message.ballot);
        checkPromise(member, to, message.ballot);
        return;
      case "accepted": {
        const { ballot, first, last } = message;
        member.promised(ballot);
        if (member.view?.term !== ballot) return;
        checkPromise(member, to, ballot);
        for (let slot = first as number; slot <= last; slot++) {
          member.accepted?.(slot, ballot);
          check(
            member.isBelowStart(slot) || member.durableTerm(slot) !== undefined,
            "promise-not-durable",
            () => `${member.name} tells ${to} that it has accepted ${slot}, which is not on its disk`,
          );
        }
        return;
      }
      default:
    }
  }

  #voted(member: BookedMember, key: string, candidate: MemberId, term: number): void {
    const known = this.#votes.get(key);
    check(
      known === undefined || known === candidate,
      "election-safety",
      () => `${member.name} votes for ${known} and for ${candidate} in term ${term}`,
    );
    this.#votes.set(key, candidate);
    member.promised(term);
    checkPromise(member, candidate, term);
  }
}

function checkPromise(member: BookedMember, to: MemberId, term: number): void {
  check(
    member.view?.term !== term || member.isHardStateDurable,
    "promise-not-durable",
    () => `${member.name} promises ${to} term ${term}, which is not on its disk`,
  );
}
