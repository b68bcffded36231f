/**
 * What may happen to a cell of real processes. Each fault breaks a minority, or everything for a short time, and ends by
 * itself: when it returns, everything is running again, though perhaps still catching up.
 */
import type { SeededRandom } from "@quipu/core";
import type { LocalNode } from "../../local-cell/local-cell.ts";
import type { ChaosCell } from "./chaos-cell.ts";
import { openLink, type LinkFault } from "./peer-proxy.ts";
import type { EngineName } from "../../engines/engine-names.ts";
import { delay } from "../delay.ts";
import type { Services } from "../services.ts";

export interface FaultContext {
  readonly cell: ChaosCell;
  readonly random: SeededRandom;
  readonly note: (text: string) => void;
  /** etcd and ZooKeeper, where the run has them. */
  readonly services?: Services | undefined;
}

export interface Fault {
  readonly name: string;
  /** How often it is drawn, beside the others. */
  readonly weight: number;
  run(context: FaultContext): Promise<void>;
}

const hourMs = 3_600_000;

export const faults: readonly Fault[] = [
  { name: "kill the leader", weight: 3, run: async (context) => kill(context, await context.cell.leader()) },
  { name: "kill a node", weight: 2, run: (context) => kill(context, anyNode(context)) },
  { name: "kill all nodes", weight: 1, run: killAll },
  { name: "pause the leader", weight: 3, run: async (context) => pause(context, await context.cell.leader()) },
  { name: "pause a node", weight: 2, run: (context) => pause(context, anyNode(context)) },
  { name: "block an event loop", weight: 2, run: block },
  { name: "cut a node off", weight: 2, run: (context) => isolate(context, "cut", "cut") },
  { name: "black hole around a node", weight: 2, run: (context) => isolate(context, "hole", "hole") },
  { name: "a node is not heard", weight: 2, run: (context) => isolate(context, "hole", "open") },
  { name: "a node does not hear", weight: 2, run: (context) => isolate(context, "open", "hole") },
  { name: "delayed links", weight: 2, run: delayLinks },
  { name: "flapping links", weight: 1, run: flap },
  { name: "rolling restart", weight: 1, run: rollingRestart },
  { name: "planned transfer", weight: 2, run: transfer },
  { name: "wipe a node", weight: 2, run: wipe },
  { name: "add and remove a node", weight: 1, run: guest },
  { name: "full disk", weight: 2, run: fullDisk },
  { name: "failing disk", weight: 2, run: failingDisk },
  { name: "shifted clock", weight: 2, run: shiftClock },
  { name: "switch engine", weight: 3, run: switchEngine },
  { name: "kill amid a switch", weight: 2, run: killAmidSwitch },
  { name: "kill a member of the service", weight: 2, run: killServiceMember },
];

export function drawFault(random: SeededRandom): Fault {
  let left = random.below(faults.reduce((sum, { weight }) => sum + weight, 0));
  for (const fault of faults) {
    left -= fault.weight;
    if (left < 0) return fault;
  }
  return faults[0] as Fault;
}

function between(random: SeededRandom, min: number, max: number): number {
  return min + random.below(max - min + 1);
}

function anyNode({ cell, random }: FaultContext): LocalNode {
  return cell.nodes[random.below(cell.nodes.length)] as LocalNode;
}

function others(cell: ChaosCell, node: LocalNode): readonly LocalNode[] {
  return cell.nodes.filter((each) => each !== node);
}

async function kill({ cell, random, note }: FaultContext, node: LocalNode): Promise<void> {
  note(`kill -9 ${node.name}`);
  await cell.kill(node);
  await delay(between(random, 0, 4_000));
  note(`start ${node.name}`);
  await cell.restart(node);
}

async function killAll({ cell, note }: FaultContext): Promise<void> {
  note("kill -9 all nodes; start them");
  await Promise.all(cell.nodes.map((node) => cell.kill(node)));
  await Promise.all(cell.nodes.map((node) => cell.restart(node)));
}

async function pause({ random, note }: FaultContext, node: LocalNode): Promise<void> {
  const ms = between(random, 200, 8_000);
  note(`SIGSTOP ${node.name} for ${ms} ms`);
  node.server.signal("SIGSTOP");
  await delay(ms);
  node.server.signal("SIGCONT");
}

async function block(context: FaultContext): Promise<void> {
  const node = anyNode(context);
  const ms = between(context.random, 200, 3_000);
  context.note(`the event loop of ${node.name} stands still for ${ms} ms`);
  await context.cell.tell(node, { type: "block", ms });
}

/** `says` is what comes from the node, `hears` what goes to it, on whichever connection. */
async function isolate(context: FaultContext, says: LinkFault["out"], hears: LinkFault["out"]): Promise<void> {
  const { cell, random, note } = context;
  const node = random.below(2) === 0 ? await cell.leader() : anyNode(context);
  const ms = between(random, 500, 8_000);
  note(`${node.name} for ${ms} ms: what it says ${says}, what it hears ${hears}`);
  for (const other of others(cell, node)) {
    cell.proxyOf(other).set(node.name, { ...openLink, out: says, back: hears });
    cell.proxyOf(node).set(other.name, { ...openLink, out: hears, back: says });
  }
  await delay(ms);
  for (const each of cell.nodes) cell.proxyOf(each).heal();
}

async function delayLinks({ cell, random, note }: FaultContext): Promise<void> {
  const ms = between(random, 1_000, 8_000);
  note(`links are slow for ${ms} ms`);
  for (const node of cell.nodes) {
    for (const other of others(cell, node)) {
      cell.proxyOf(node).set(other.name, { ...openLink, delayMs: between(random, 0, 150) });
    }
  }
  await delay(ms);
  for (const each of cell.nodes) cell.proxyOf(each).heal();
}

async function flap(context: FaultContext): Promise<void> {
  const { cell, random, note } = context;
  const [node, times] = [anyNode(context), between(random, 3, 12)];
  note(`the links of ${node.name} break ${times} times`);
  for (let time = 0; time < times; time++) {
    for (const other of others(cell, node)) {
      cell.proxyOf(node).set(other.name, { ...openLink, out: "cut" });
      cell.proxyOf(other).set(node.name, { ...openLink, out: "cut" });
    }
    await delay(between(random, 20, 400));
    for (const each of cell.nodes) cell.proxyOf(each).heal();
    await delay(between(random, 20, 400));
  }
}

async function rollingRestart({ cell, note }: FaultContext): Promise<void> {
  for (const node of cell.nodes) {
    note(`stop ${node.name} in order, start it`);
    await cell.stop(node);
    await cell.restart(node);
    await cell.whenWhole();
  }
}

async function transfer(context: FaultContext): Promise<void> {
  const { cell, random, note } = context;
  const targets = others(cell, await cell.leader());
  const target = targets[random.below(targets.length)] as LocalNode;
  note(`transfer leadership to ${target.name}`);
  note(await cell.ask({ type: "transferLeadership", to: target.name }));
}

/** Engines that the run can go on, with where they are. */
function drawEngine({ random, services }: FaultContext): { engine: EngineName; endpoints?: readonly string[] } {
  const { etcd, zookeeper } = services?.endpoints ?? {};
  const engines = [
    { engine: "raft" as const },
    { engine: "multi-paxos" as const },
    ...(etcd === undefined ? [] : [{ engine: "etcd" as const, endpoints: etcd }]),
    ...(zookeeper === undefined ? [] : [{ engine: "zookeeper" as const, endpoints: zookeeper }]),
  ];
  return engines[random.below(engines.length)] as (typeof engines)[number];
}

async function switchEngine(context: FaultContext): Promise<void> {
  const target = drawEngine(context);
  context.note(`switch to ${target.engine}`);
  context.note(await context.cell.ask({ type: "switchEngine", ...target }));
}

/** Whoever carries it out, or another node, dies on the way: others finish it, or nothing has happened. */
async function killAmidSwitch(context: FaultContext): Promise<void> {
  const { cell, random, note } = context;
  const target = drawEngine(context);
  const victim = random.below(3) === 0 ? anyNode(context) : await cell.leader();
  const afterMs = random.below(400);
  note(`switch to ${target.engine}, kill -9 ${victim.name} after ${afterMs} ms`);
  const asked = cell.ask({ type: "switchEngine", ...target });
  asked.catch(() => undefined);
  await delay(afterMs);
  await cell.kill(victim);
  await delay(between(random, 0, 2_000));
  await cell.restart(victim);
  note(await asked);
}

async function killServiceMember(context: FaultContext): Promise<void> {
  const { random, services, note } = context;
  const engines = Object.keys(services?.endpoints ?? {}) as EngineName[];
  const engine = engines[random.below(Math.max(1, engines.length))];
  if (services === undefined || engine === undefined) return note("there is none");
  const member = random.below(3);
  note(`kill -9 member ${member + 1} of ${engine}`);
  await services.withoutMember(engine, member, () => delay(between(random, 0, 4_000)));
}

async function follower({ cell, random }: FaultContext): Promise<LocalNode> {
  const candidates = others(cell, await cell.leader());
  return candidates[random.below(candidates.length)] as LocalNode;
}

/** Its disk is lost whole: it has to be replaced, comes back as a learner under its old name, and votes again. */
async function wipe(context: FaultContext): Promise<void> {
  const { cell, note } = context;
  const node = await follower(context);
  note(`kill -9 ${node.name}, remove its data, replace it`);
  await cell.kill(node);
  cell.wipe(node);
  // Forced: for a moment the leader believes that the dead node is alive.
  note(await cell.ask({ type: "replace", name: node.name, force: true }));
  await cell.restart(node);
  await cell.whenWhole();
  note(`${node.name} votes again`);
}

async function guest({ cell, note }: FaultContext): Promise<void> {
  const { guest: node, guestAddress: address } = cell;
  note(await cell.ask({ type: "add", name: node.name, address }));
  await cell.restart(node);
  await cell.until(`${node.name} to vote`, async () => {
    const status = await cell.status(node);
    return status?.cell?.nodes.find(({ name }) => name === node.name)?.standing === "voter" ? true : undefined;
  });
  note(`${node.name} votes`);
  // It may lead by now, and who leads cannot be removed.
  await cell.ask({ type: "transferLeadership", to: (cell.nodes[0] as LocalNode).name });
  note(await cell.ask({ type: "remove", name: node.name }));
  await cell.kill(node);
  cell.wipe(node);
}

async function fullDisk(context: FaultContext): Promise<void> {
  const { cell, random, note } = context;
  const node = random.below(2) === 0 ? await cell.leader() : anyNode(context);
  const ms = between(random, 500, 5_000);
  note(`the disk of ${node.name} is full for ${ms} ms`);
  await cell.tell(node, { type: "disk", state: "full" });
  await delay(ms);
  await cell.tell(node, { type: "disk", state: "good" });
}

async function failingDisk(context: FaultContext): Promise<void> {
  const { cell, random, note } = context;
  const node = random.below(2) === 0 ? await cell.leader() : anyNode(context);
  note(`the next fsync of ${node.name} fails: its process has to end`);
  await cell.expectEnd(node, () => cell.tell(node, { type: "disk", state: "failing" }));
  const { code } = await node.server.exited;
  note(`it ended with code ${code}; start ${node.name}`);
  await cell.restart(node);
}

async function shiftClock(context: FaultContext): Promise<void> {
  const { cell, random, note } = context;
  const node = anyNode(context);
  const offsetMs = between(random, -hourMs, hourMs);
  const rate = between(random, 85, 115) / 100;
  const ms = between(random, 1_000, 6_000);
  note(`the clock of ${node.name} jumps by ${Math.round(offsetMs / 1000)} s and runs at ${rate}, for ${ms} ms`);
  await cell.tell(node, { type: "clock", offsetMs, rate });
  await delay(ms);
  await cell.tell(node, { type: "clock", offsetMs: 0, rate: 1 });
}
