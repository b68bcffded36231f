/** Where other nodes are dialled when the roster and this process' own list differ. */
import { beforeEach, describe, expect, test } from "vitest";
import { PeerAddresses } from "../src/cell/peer-addresses.ts";
import type { Roster } from "../src/cell/roster.ts";

const at = (port: number): { readonly host: string; readonly port: number } => ({ host: "10.0.0.1", port });
const roster = (...nodes: readonly (readonly [name: string, port: number])[]): Roster => ({
  nodes: nodes.map(([name, port], index) => ({ name, node: index + 1, address: at(port) })),
  nextNode: nodes.length + 1,
});

describe("addresses", () => {
  let nowMs = 0;
  let addresses: PeerAddresses;
  const listed = new Map([
    ["n1", at(1)],
    ["n2", at(2)],
    ["n3", at(3)],
  ]);
  beforeEach(() => {
    nowMs = 0;
    addresses = new PeerAddresses("n1", listed, { monotonicMs: () => nowMs });
  });
  const choose = (known: Roster | undefined, ...reachable: readonly string[]): unknown =>
    [...addresses.choose(known, (name) => reachable.includes(name))].map(([name, { port }]) => `${name}=${port}`);

  test("are those that the process was started with, until there is a roster", () => {
    expect(choose(undefined)).toEqual(["n2=2", "n3=3"]);
    expect(choose(roster(["n1", 1], ["n2", 2], ["n4", 4]))).toEqual(["n2=2", "n4=4"]);
  });

  test("of a node that is not found where the roster says are tried by turns, each for a while", () => {
    const known = roster(["n1", 1], ["n2", 22]);
    expect(choose(known)).toEqual(["n2=22"]);
    nowMs = 1_999;
    expect(choose(known)).toEqual(["n2=22"]);
    nowMs = 2_000;
    expect(choose(known)).toEqual(["n2=2"]);
    nowMs = 4_000;
    expect(choose(known)).toEqual(["n2=22"]);
  });

  test("where a node is found it stays found, also when the roster comes to say the same", () => {
    const known = roster(["n1", 1], ["n2", 22]);
    choose(known);
    nowMs = 2_000;
    expect(choose(known)).toEqual(["n2=2"]);
    nowMs = 60_000;
    expect(choose(known, "n2")).toEqual(["n2=2"]);
    expect(choose(roster(["n1", 1], ["n2", 2]), "n2")).toEqual(["n2=2"]);
  });

  test("a node that moves to where nobody has listed it is followed", () => {
    expect(choose(roster(["n1", 1], ["n2", 2]), "n2")).toEqual(["n2=2"]);
    expect(choose(roster(["n1", 1], ["n2", 99]), "n2")).toEqual(["n2=2"]);
    nowMs = 2_000;
    expect(choose(roster(["n1", 1], ["n2", 99]))).toEqual(["n2=99"]);
  });
});
