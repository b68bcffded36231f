/**
 * The ways in which a network falls apart. Each shape is a set of directed links that carry nothing; the named ones
 * are those that broke real systems (OmniPaxos, EuroSys 2023, §2; research/consensus.md P10).
 */
import type { Random } from "@quipu/core";

/** `[from, to]`, numbers of nodes. */
export type DirectedLink = readonly [from: number, to: number];

export interface Partition {
  readonly name: string;
  readonly cut: readonly DirectedLink[];
}

type Draw = (nodes: readonly number[], random: Random) => readonly DirectedLink[];

const isolateOne: Draw = (nodes) => pairs(nodes, (a, b) => a === nodes[0] || b === nodes[0]);
const hearsNobody: Draw = (nodes) => pairs(nodes, (_, to) => to === nodes[0]);
const isNotHeard: Draw = (nodes) => pairs(nodes, (from) => from === nodes[0]);
const oneLink: Draw = (nodes) => pairs(nodes, (a, b) => isBoth(nodes, a, b));
const oneWay: Draw = (nodes) => pairs(nodes, (from, to) => from === nodes[0] && to === nodes[1]);

const halves: Draw = (nodes, random) => {
  const size = 1 + random.below(nodes.length - 1);
  const left = nodes.slice(0, size);
  return pairs(nodes, (a, b) => left.includes(a) !== left.includes(b));
};

/** Each node has only its neighbours: a–b–c–d–e. */
const chained: Draw = (nodes) => pairs(nodes, (a, b) => Math.abs(nodes.indexOf(a) - nodes.indexOf(b)) > 1);

/** Only one node is connected to a majority: all others have but it. */
const quorumLoss: Draw = (nodes) => pairs(nodes, (a, b) => a !== nodes[0] && b !== nodes[0]);

/** Some links, each direction by itself. */
const holes: Draw = (nodes, random) => pairs(nodes, () => random.chance(1, 3));

const shapes: readonly (readonly [string, Draw])[] = [
  ["isolated node", isolateOne],
  ["node hears nobody", hearsNobody],
  ["node is not heard", isNotHeard],
  ["one link cut", oneLink],
  ["one link cut one way", oneWay],
  ["halves", halves],
  ["chained", chained],
  ["quorum loss", quorumLoss],
  ["holes", holes],
];

/** `worst`: the node that the partition had best be about (a leader), if any. */
export function drawPartition(nodes: readonly number[], worst: number | undefined, random: Random): Partition {
  const [name, draw] = shapes[random.below(shapes.length)] as (typeof shapes)[number];
  const order = shuffled(nodes, random);
  const isAboutWorst = worst !== undefined && random.chance(1, 2);
  const first = isAboutWorst ? [worst, ...order.filter((node) => node !== worst)] : order;
  return { name, cut: draw(first, random) };
}

export function shuffled<T>(items: readonly T[], random: Random): readonly T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}

function isBoth(nodes: readonly number[], a: number, b: number): boolean {
  return (a === nodes[0] && b === nodes[1]) || (a === nodes[1] && b === nodes[0]);
}

function pairs(nodes: readonly number[], isCut: (from: number, to: number) => boolean): readonly DirectedLink[] {
  return nodes.flatMap((from) =>
    nodes.filter((to) => to !== from && isCut(from, to)).map((to): DirectedLink => [from, to]),
  );
}
