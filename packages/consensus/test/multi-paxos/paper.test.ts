/**
 * "Paxos Made Simple" (Lamport 2001), condition by condition. Each test is run once more with the rule taken out, and
 * must fail then: the mutation stands beside it.
 */
import { describe, expect, test } from "vitest";
import type { MultiPaxosMutation } from "../../src/multi-paxos/mutation.ts";
import { accept, ballot, Lone, prepare, sentOf, slot } from "./lone.ts";

/** The rule holds, and the same check fails without it. */
function rule(
  name: string,
  without: MultiPaxosMutation,
  check: (mutation: MultiPaxosMutation | undefined) => void,
): void {
  test(name, () => {
    check(undefined);
    expect(() => check(without), `${without} goes unseen`).toThrow();
  });
}

describe("Paxos Made Simple", () => {
  test("P1 an acceptor must accept the first proposal that it receives", () => {
    const one = new Lone();
    const answer = one.ask(2, accept([1, 1], 1, ["a"]));
    expect(answer).toMatchObject({ type: "accepted", first: 1, last: 1, match: 1 });
    expect(one.disk.entries).toEqual([slot(1, [1, 1], "a")]);
  });

  rule(
    "P1a an acceptor can accept a proposal numbered n iff it has not responded to a prepare request having a number greater than n",
    "accepts-below-promise",
    (mutation) => {
      const one = new Lone({ mutation });
      expect(one.ask(3, prepare([2, 2]))).toMatchObject({ type: "promised" });
      expect(one.ask(2, accept([1, 1], 1, ["a"]))).toMatchObject({ type: "rejected", promised: ballot([2, 2]) });
      expect(one.ask(3, accept([2, 2], 1, ["b"]))).toMatchObject({ type: "accepted" });
      expect(one.slots).toEqual(["b"]);
    },
  );

  test("P1a and it may ignore a prepare request with a number that is not above what it has promised", () => {
    const one = new Lone({ promised: [3, 2] });
    expect(one.ask(2, prepare([3, 1]))).toMatchObject({ type: "rejected", promised: ballot([3, 2]) });
    // The same once more is the same promise: its answer may have been lost.
    expect(one.ask(3, prepare([3, 2]))).toMatchObject({ type: "promised" });
  });

  rule(
    "P2 different proposals have different numbers: two proposers never share a ballot",
    "ballot-without-node",
    (mutation) => {
      const ballots = [1, 2, 3].map((member) => {
        const one = new Lone({ member, mutation });
        one.campaign();
        return one.view.term;
      });
      expect(new Set(ballots).size).toBe(3);
    },
  );

  rule(
    "P2a if a proposal with value v is chosen, then every higher-numbered proposal accepted has value v",
    "phase-1-quorum-too-small",
    (mutation) => {
      // 2 and 3 have chosen "a" in slot 1; 1 knows nothing. It must not propose before it has heard one of them.
      const one = new Lone({ promised: [4, 2], mutation });
      one.campaign();
      expect(one.view.role).toBe("candidate");
      one.receive(2, one.promised({ entries: [slot(1, [1, 1], "a")] }));
      expect(one.slots).toEqual(["a"]);
    },
  );

  rule(
    "P2b if a proposal with value v is chosen, then every higher-numbered proposal issued by any proposer has value v",
    "own-value-although-one-was-reported",
    (mutation) => {
      const one = new Lone({ promised: [4, 2], entries: [slot(1, [1, 0], "own")], mutation });
      one.campaign();
      const sent = one.receive(2, one.promised({ entries: [slot(1, [2, 1], "chosen")] }));
      expect(one.slots).toEqual(["chosen"]);
      const proposed = sentOf(sent, "accept").flatMap(({ entries }) => entries);
      expect(proposed.map(({ term }) => term)).toEqual([one.view.term, one.view.term].slice(0, proposed.length));
    },
  );

  rule(
    "P2c v is the value of the highest-numbered proposal among all proposals accepted by the acceptors in S",
    "reported-lower-ballot-wins",
    (mutation) => {
      const one = new Lone({ voters: [1, 2, 3, 4, 5], promised: [4, 2], mutation });
      one.campaign();
      one.receive(2, one.promised({ entries: [slot(1, [1, 1], "low")], accepted: { ballot: [1, 1], freeFrom: 1 } }));
      const entries = [slot(1, [2, 2], "high")];
      one.receive(3, one.promised({ entries, accepted: { ballot: [2, 2], freeFrom: 2 } }));
      expect(one.slots).toEqual(["high"]);
    },
  );

  test("P2c or any value, if no acceptor in S has accepted one: the client's", () => {
    const one = new Lone();
    one.lead();
    one.propose("mine");
    expect(one.slots).toEqual(["mine"]);
  });

  rule("§3 a gap below a slot with a value is filled with a no-op", "no-noop-fill", (mutation) => {
    const one = new Lone({ promised: [4, 2], mutation });
    one.campaign();
    one.receive(2, one.promised({ entries: [slot(3, [1, 1], "c")] }));
    expect(one.slots).toEqual(["<noop>", "<noop>", "c"]);
  });

  rule(
    "§2.5 a promise is remembered in stable storage before the response is sent",
    "promise-not-durable",
    (mutation) => {
      const one = new Lone({ mutation });
      const from = one.view.configuration.voters[1] as never;
      expect(one.input({ type: "receive", from, message: prepare([1, 1]) })).toEqual([]);
      expect(sentOf(one.persist(), "promised")).toHaveLength(1);
      expect(one.disk.hardState.term).toBe(ballot([1, 1]));
    },
  );

  rule("§2.5 so is what it accepts", "accept-not-durable", (mutation) => {
    const one = new Lone({ mutation });
    const from = one.view.configuration.voters[1] as never;
    expect(one.input({ type: "receive", from, message: accept([1, 1], 1, ["a"]) })).toEqual([]);
    expect(sentOf(one.persist(), "accepted")).toHaveLength(1);
  });

  test("§2.5 a proposer never uses a number again, not even after a crash in the middle of it", () => {
    const one = new Lone();
    one.campaign();
    const first = one.view.term;
    one.restart();
    one.campaign();
    expect(one.view.term).toBeGreaterThan(first);
  });

  test("§2.5 before its own promise is durable, it asks nobody", () => {
    const one = new Lone();
    while (one.view.role === "follower") {
      const sent = one.input({ type: "tick" });
      expect(sentOf(sent, "prepare")).toEqual([]);
      for (const { to, message } of sent) {
        if (message.type !== "electionRequest") continue;
        const none = { ballot: 0 as never, leader: 0 as never, happy: false };
        one.input({ type: "receive", from: to, message: { type: "electionReply", round: message.round, ...none } });
      }
    }
    expect(sentOf(one.persist(), "prepare")).toHaveLength(2);
  });

  test("§2.2 a value is chosen when a majority of the acceptors have accepted it, the proposer among them once it is durable", () => {
    const one = new Lone();
    one.lead();
    one.input({ type: "propose", request: 1, records: [new Uint8Array(1)] });
    one.accept(2, 1, 1, 0);
    expect(one.view.committed).toBe(1);
    const two = new Lone();
    two.lead();
    const from = two.view.configuration.voters[1] as never;
    two.input({ type: "propose", request: 1, records: [new Uint8Array(1)] });
    const message = { type: "accepted", ballot: two.view.term, first: 1, last: 1, match: 1, barrier: 0 } as never;
    two.input({ type: "receive", from, message });
    expect(two.view.committed).toBe(0);
    two.persist();
    expect(two.view.committed).toBe(1);
  });

  test("§3 slots are chosen in any order, and known in order", () => {
    const one = new Lone();
    one.lead();
    one.propose("a", "b", "c");
    one.accept(2, 2, 3, 0);
    expect(one.view.committed).toBe(0);
    one.accept(3, 1, 1, 1);
    expect(one.view.committed).toBe(3);
    expect(one.effectsOf("commit").map(({ upTo }) => upTo)).toEqual([3]);
  });

  test("§3 a follower accepts beyond a hole, and tells what is durable without one", () => {
    const one = new Lone();
    expect(one.ask(2, accept([1, 1], 3, ["c"]))).toMatchObject({ type: "accepted", first: 3, last: 3, match: 0 });
    expect(one.slots).toEqual(["-", "-", "c"]);
    expect(one.ask(2, accept([1, 1], 1, ["a", "b"], { chosen: 3 }))).toMatchObject({ first: 1, last: 2, match: 3 });
    expect(one.view).toMatchObject({ committed: 3, delivered: 3 });
  });

  rule(
    "§3 who leads takes part in phase 1 for every slot above what it knows: half an answer is none",
    "phase-1-takes-half-an-answer",
    (mutation) => {
      const one = new Lone({ promised: [4, 2], mutation });
      one.campaign();
      const ask = one.receive(2, one.promised({ entries: [slot(1, [1, 1], "a")], last: 2, through: 1 }));
      expect(one.view.role).toBe("candidate");
      expect(sentOf(ask, "prepare", 2)).toMatchObject([{ from: 2 }]);
    },
  );
});
