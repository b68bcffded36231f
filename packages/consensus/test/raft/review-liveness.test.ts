/** Where a request could wait for ever, or be refused for ever, although nothing is in its way. */
import { describe, expect, test } from "vitest";
import { type MemberId, memberId, type ReplyReason } from "@quipu/consensus";
import { append, heartbeatReply, Lone, type LoneOptions } from "./lone.ts";

function changeMembers(one: Lone, voters: readonly number[], learners: readonly number[] = []): void {
  const ids = (members: readonly number[]): MemberId[] => members.map(memberId);
  one.step({ type: "changeMembers", request: one.request(), voters: ids(voters), learners: ids(learners) });
}

function refusals(one: Lone): ReplyReason[] {
  return one.effectsOf("reply").map(({ reason }) => reason);
}

describe("read barriers", () => {
  test("one that waits for others is answered when the leader becomes the only member", () => {
    const one = new Lone();
    one.lead();
    changeMembers(one, [1]);
    const joint = one.view.last;
    const request = one.request();
    one.step({ type: "readBarrier", request });
    one.accept(2, joint); // Sent before the barrier was asked for: echoes none.
    expect(one.view).toMatchObject({ role: "leader", committed: joint + 1, configuration: { voters: [1] } });
    const later = one.request();
    one.step({ type: "readBarrier", request: later });
    const ready = one.effectsOf("barrierReady").map((effect) => effect.request);
    expect(ready).toEqual([request, later]);
  });

  test("one that nobody echoed is not answered while the old majority still decides", () => {
    const one = new Lone();
    one.lead();
    one.step({ type: "readBarrier", request: one.request() });
    changeMembers(one, [1]);
    expect(one.effectsOf("barrierReady")).toEqual([]);
  });
});

describe("the check of the quorum", () => {
  const electionTicks = 5;
  const options: LoneOptions = {
    voters: [1, 2, 3],
    learners: [4],
    settings: { electionTicks, heartbeatTicks: 1 },
  };

  /** Everybody answers every heartbeat, in the same tick. */
  function tickAnswered(one: Lone, members: readonly number[]): void {
    one.tick();
    for (const member of members) one.receive(member, heartbeatReply(one.view.term));
  }

  test("does not hide from a change in the same tick who answers all the time", () => {
    for (let phase = 0; phase < electionTicks; phase++) {
      const one = new Lone(options);
      one.lead();
      for (let tick = 0; tick < phase; tick++) tickAnswered(one, [2, 3, 4]);
      one.tick();
      one.effects();
      changeMembers(one, [1, 2, 3, 4]);
      expect(refusals(one)).toEqual([]);
    }
  });

  test("shows who has been silent for two intervals", () => {
    const one = new Lone(options);
    one.lead();
    for (let tick = 0; tick < 3 * electionTicks; tick++) tickAnswered(one, [2, 3]);
    changeMembers(one, [1, 2, 3, 4]);
    expect(refusals(one)).toEqual(["refused"]);
  });
});

describe("a follower whose log is full", () => {
  test("takes no more until it is trimmed, and then goes on", () => {
    const settings = { retainedBytesMax: 100 };
    const one = new Lone({ settings });
    const taken: number[] = [];
    for (let last = 0; last < 50; last++) {
      one.receive(2, append({ term: 1, previous: [last, last === 0 ? 0 : 1], terms: [1], commit: last }));
      taken.push(one.view.last);
    }
    const full = one.view.last;
    expect(full).toBeGreaterThan(2);
    expect(full).toBeLessThan(10);
    const again = append({ term: 1, previous: [full, 1], terms: [1], commit: full });
    one.receive(2, again);
    expect(one.view.last).toBe(full);
    // Still a follower in good standing, that says how far it is.
    expect(one.ask(2, append({ term: 1, previous: [full, 1], terms: [], commit: full }))).toMatchObject({
      type: "appendAccepted",
      match: full,
    });
    one.step({ type: "trim", upTo: one.view.delivered });
    expect(one.ask(2, again)).toMatchObject({ type: "appendAccepted", match: full + 1 });
  });
});
