/**
 * The roster: which nodes belong to the cell, with their numbers and peer addresses. One entry of the replicated state, in
 * the system database, changed by compare-and-set on its version: linearizable, in snapshots and checkpoints like any other.
 *
 * Who votes is not said here but by the log's configuration (DESIGN §4.2). The roster says who may come at all, under which
 * number, and where it is. A number is never given out twice.
 */
import type { ReplicaDoor } from "@quipu/cluster";
import { QuipuError } from "@quipu/core";
import { type CounterMachine, type Operation, type OutcomeValue, type Position, systemDatabase } from "@quipu/counters";
import { nodeNumberMax } from "@quipu/consensus";
import { z } from "zod";
import { readNow, submit } from "../http/promise-caller.ts";
import type { PeerAddress } from "../peers/peer-transport.ts";

export interface RosterNode {
  readonly name: string;
  readonly node: number;
  readonly address: PeerAddress;
}

export interface Roster {
  readonly nodes: readonly RosterNode[];
  /** The next node that is added gets this number. */
  readonly nextNode: number;
}

const key: Uint8Array = new TextEncoder().encode("roster");

/** Others that change it at the same time. */
const attemptsMax = 16;

const rosterSchema: z.ZodType<Roster> = z.object({
  nodes: z.array(
    z.object({
      name: z.string(),
      node: z.number().int().min(1).max(nodeNumberMax),
      address: z.object({ host: z.string(), port: z.number().int() }),
    }),
  ),
  nextNode: z.number().int().min(1),
});

/** As of the state of this replica, which may be behind. Undefined: nobody has written one yet. */
export function rosterOf(machine: CounterMachine): Roster | undefined {
  return decode(machine.read({ type: "get", database: systemDatabase, key }));
}

export function nodeNamed(roster: Roster | undefined, name: string): RosterNode | undefined {
  return roster?.nodes.find((node) => node.name === name);
}

/** Writes the first roster, where there is none. */
export async function foundRoster(door: ReplicaDoor, nodes: readonly RosterNode[]): Promise<void> {
  const nextNode = 1 + nodes.reduce((highest, { node }) => Math.max(highest, node), 0);
  await submit(door, setCommand({ nodes, nextNode }, "ifAbsent"));
}

/** `change` may be called several times; what it throws leaves everything as it was. */
export async function changeRoster(door: ReplicaDoor, change: (roster: Roster) => Roster): Promise<Roster> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { outcome } = await readNow(door, { type: "describe", database: systemDatabase, key });
    if (outcome.type !== "array") throw new QuipuError("OVERLOADED", "the cell has no roster yet; retry in a moment");
    const [value, version] = outcome.items;
    const present = decode(value);
    if (present === undefined) throw new QuipuError("STORE_CORRUPT", "the roster of the cell does not decode");
    const next = change(present);
    const { outcome: answer } = await submit(door, {
      type: "transaction",
      watches: [{ database: systemDatabase, key, version: positionOf(version) }],
      operations: [setCommand(next, "always")],
    });
    if (answer.type === "array") return next;
  }
  throw new QuipuError("OVERLOADED", "the roster is being changed by others all the time; retry");
}

function setCommand(roster: Roster, condition: "always" | "ifAbsent"): Operation {
  const value = new TextEncoder().encode(JSON.stringify(roster));
  const expiry = { type: "clear" } as const;
  return { type: "set", database: systemDatabase, key, value, condition, returnPrevious: false, expiry };
}

function decode(outcome: OutcomeValue | undefined): Roster | undefined {
  if (outcome?.type !== "bytes") return undefined;
  try {
    return rosterSchema.parse(JSON.parse(new TextDecoder("utf8", { fatal: true }).decode(outcome.value)));
  } catch {
    return undefined;
  }
}

function positionOf(version: OutcomeValue | undefined): Position {
  const text = version?.type === "bytes" ? new TextDecoder().decode(version.value) : "";
  const [lsn, index] = text.split("-").map(Number);
  return { lsn: lsn as Position["lsn"], index: index as number };
}
