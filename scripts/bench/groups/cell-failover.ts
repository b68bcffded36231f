/**
 * Group `cell-failover`: how long nobody's write succeeds when the leader or a follower is killed with SIGKILL, or the
 * leadership is handed over. One SDK client counts all the while; at the end its counter holds exactly what it saw
 * acknowledged.
 */
import { FailoverLoad } from "../failover-load.ts";
import { spread } from "../pairs.ts";
import { pause } from "../peers/processes.ts";
import { type QuipuCell, startCell } from "../peers/quipu-cell.ts";
import { type BenchOptions, print } from "../report.ts";

const repetitions = 30;
/** Undisturbed before each event, so that the gap is the event's own. */
const quietMs = 1_000;
/** Watched after an event; longer than the longest gap that we accept. */
const watchedMs = 4_000;

interface Event {
  readonly name: string;
  readonly target: string;
  /** Does it to the whole cell, and returns what makes the cell whole again. */
  readonly strike: (cell: QuipuCell) => Promise<() => Promise<void>>;
}

const events: readonly Event[] = [
  // What a busy machine alone does to the others.
  { name: "nothing", target: "–", strike: () => Promise.resolve(() => Promise.resolve()) },
  {
    name: "leader killed with SIGKILL",
    target: "p50 < 1,000, maximum < 3,000",
    strike: async (cell) => await kill(cell, await leaderOf(cell)),
  },
  {
    name: "planned transfer of leadership",
    target: "maximum < 100",
    strike: async (cell) => {
      const from = await leaderOf(cell);
      const [to = ""] = await cell.followers();
      await cell.transferLeadership(to, from);
      return async () => {
        const leader = await leaderOf(cell);
        if (leader !== to) throw new Error(`the leadership should have gone from ${from} to ${to}, ${leader} has it`);
      };
    },
  },
  {
    name: "follower killed with SIGKILL",
    target: "maximum < 200",
    strike: async (cell) => await kill(cell, (await cell.followers())[0] ?? ""),
  },
];

export async function benchmarkCellFailover({ nodes, scale }: BenchOptions): Promise<void> {
  if (nodes < 3) throw new Error("cell-failover needs a cell: --nodes 3 or 5");
  const times = Math.max(1, Math.round(repetitions * scale));
  const cell = await startCell(nodes);
  try {
    print(`\n### ${cell.name}: time without a successful write, ms (one SDK client, ${times} times each)\n`);
    print("| event | p50 | minimum–maximum | all | target |\n|---|--:|--:|---|--:|");
    for (const event of events) await repeat(cell, event, times);
  } finally {
    await cell.stop();
  }
}

async function repeat(cell: QuipuCell, { name, target, strike }: Event, times: number): Promise<void> {
  const load = await FailoverLoad.start(cell.ports, `failover:${name.replaceAll(" ", "-")}`);
  const gapsMs: number[] = [];
  for (let round = 0; round < times; round++) {
    await cell.untilWhole();
    await pause(quietMs);
    load.mark();
    const restore = await strike(cell);
    await pause(watchedMs);
    gapsMs.push(load.longestGapMs);
    await restore();
  }
  await cell.untilWhole();
  await load.stop();
  const { minimum, median, maximum } = spread(gapsMs);
  const all = gapsMs.map((gapMs) => gapMs.toFixed(0)).join(" ");
  print(`| ${name} | **${median.toFixed(0)}** | ${minimum.toFixed(0)}–${maximum.toFixed(0)} | ${all} | ${target} |`);
}

async function kill(cell: QuipuCell, name: string): Promise<() => Promise<void>> {
  await cell.kill(name);
  return () => cell.start(name);
}

async function leaderOf(cell: QuipuCell): Promise<string> {
  const leader = await cell.leader();
  if (leader === undefined) throw new Error("the nodes do not agree on a leader");
  return leader;
}
