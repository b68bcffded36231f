/** Group `raft`: the pure Raft core in memory. Needs no server. */
import { spread } from "../pairs.ts";
import { measureRaftCore, type RaftLoad, type RaftRates } from "../raft-core.ts";
import { type BenchOptions, print, thousands } from "../report.ts";

/** Clients, and records in each of their proposals. */
const raftLoads = [
  [1, 1],
  [64, 1],
  [4096, 1],
  [64, 100],
] as const;

export function benchmarkRaftCore({ pairs, scale }: BenchOptions): void {
  const loads = raftLoads.flatMap(([clients, entriesPerProposal]) =>
    [16, 200].flatMap((recordBytes) =>
      [false, true].map((encoded): RaftLoad => ({ clients, entriesPerProposal, recordBytes, encoded })),
    ),
  );
  print("\n### The Raft core: three members in memory, one thread, writes durable at once\n");
  print("| clients × records per proposal | record | entries per CPU s: median (range) | messages per CPU s |");
  print("|---|--:|--:|--:|");
  // One uncounted round over all of them: code that is compiled for one load only is slow at the next.
  const rounds = Array.from({ length: pairs + 1 }, () => loads.map((load) => measureRaftCore(load, scale))).slice(1);
  for (const [place, { clients, entriesPerProposal, recordBytes, encoded }] of loads.entries()) {
    const rates = rounds.map((round) => round[place] as RaftRates);
    const entries = thousands(spread(rates.map((rate) => rate.entriesPerSecond)));
    const messages = thousands(spread(rates.map((rate) => rate.messagesPerSecond)));
    const name = `${clients} × ${entriesPerProposal}${encoded ? ", through frames" : ""}`;
    print(`| ${name} | ${recordBytes} B | ${entries} | ${messages} |`);
  }
}
