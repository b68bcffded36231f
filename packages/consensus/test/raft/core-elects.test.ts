/** The smallest proof of life: three cores elect a leader, replicate records, commit them everywhere. */
import { SeededRandom } from "@quipu/core";
import { describe, expect, test } from "vitest";
import { CoreNetwork } from "./core-network.ts";

describe.each([1, 3, 5])("a healthy group of %i", (size) => {
  test("elects one leader, and every member delivers what it took", () => {
    const network = new CoreNetwork({ size, random: new SeededRandom(size) });
    const leader = network.electLeader();
    const first = network.propose(leader, 3);
    network.settle();
    for (const member of network.members()) {
      const view = network.view(member);
      expect(view.delivered).toBe(first + 2);
      expect(view.leader).toBe(leader);
    }
    network.check();
  });

  test("a record is committed everywhere without another heartbeat", () => {
    const network = new CoreNetwork({ size, random: new SeededRandom(size) });
    const leader = network.electLeader();
    network.settle();
    const index = network.propose(leader, 1);
    network.settle();
    expect(network.members().map((member) => network.view(member).delivered)).toEqual(
      network.members().map(() => index),
    );
  });
});
