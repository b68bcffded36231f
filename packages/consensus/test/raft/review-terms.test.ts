/** Terms at the end of what a number holds exactly: no message may drive a member there, nor beyond. */
import { describe, expect, test } from "vitest";
import { type MemberId, memberId, type RaftMessage, type Term, term } from "@quipu/consensus";
import { append, heartbeat, heartbeatReply, Lone, requestVote, type Sent, voteReply } from "./lone.ts";

const end = Number.MAX_SAFE_INTEGER;

function terms(sent: readonly Sent[]): number[] {
  return sent.map(({ message }) => message.term);
}

describe("terms near 2^53", () => {
  const messages: readonly RaftMessage[] = [
    heartbeat(end),
    heartbeatReply(end),
    append({ term: end, terms: [end] }),
    requestVote({ term: end, last: [9, 9] }),
    requestVote({ term: end, last: [9, 9], transfer: true }),
    requestVote({ term: end, last: [9, 9], preVote: true }),
    voteReply(end, false),
    { type: "timeoutNow", term: term(end) },
  ];

  test.each(messages.map((message) => [message.type, message] as const))(
    "a %s from there is dropped, and the member still campaigns",
    (_, message) => {
      const one = new Lone({ log: [1] });
      one.receive(2, message);
      expect(one.view).toMatchObject({ term: 1, droppedMessages: 1 });
      one.canvass();
      expect(one.view).toMatchObject({ role: "candidate", term: 2 });
    },
  );

  test("a later term that an honest cell could reach is followed, however far", () => {
    const one = new Lone({ log: [1] });
    one.receive(2, heartbeat(1_000_000_000));
    expect(one.view).toMatchObject({ term: 1_000_000_000, leader: 2 });
  });

  test("a member in the last term never campaigns", () => {
    const one = new Lone({ log: [1], term: end });
    const leader: MemberId = memberId(2);
    const sent = [
      ...one.tick(100),
      ...one.receive(leader, heartbeat(end)),
      ...one.receive(leader, { type: "timeoutNow", term: end as Term }),
      ...one.tick(100),
    ];
    expect(Math.max(...terms(sent))).toBeLessThanOrEqual(end);
    expect(one.view).toMatchObject({ role: "follower", term: end });
  });
});
