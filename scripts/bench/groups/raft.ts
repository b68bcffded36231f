/** Group `raft`: the pure cores in memory, Multi-Paxos beside Raft. Needs no server. */
import { spread } from "../pairs.ts";
import { type CoreLoad, type CoreRates, measureCore } from "../cores.ts";
import { type BenchOptions, print, thousands } from "../report.ts";

/** Clients, and records in each of their proposals. */
const coreLoads = [
  [1, 1],
  [64, 1],
  [4096, 1],
  [64, 100],
] as const;

export function benchmarkCores({ pairs, scale }: BenchOptions): void {
  const loads = coreLoads.flatMap(([clients, entriesPerProposal]) =>
    [16, 200].flatMap((recordBytes) =>
      [false, true].flatMap((encoded) =>
        (["raft", "multi-paxos"] as const).map((core): CoreLoad => ({
          core,
          clients,
          entriesPerProposal,
          recordBytes,
          encoded,
        })),
      ),
    ),
  );
  print("\n### The cores: three members in memory, one thread, writes durable at once\n");
  print("| core | clients × records per proposal | record | entries per CPU s: median (range) | messages per CPU s |");
  print("|---|---|--:|--:|--:|");
  // One uncounted round over all of them: code that is compiled for one load only is slow at the next.
  const rounds = Array.from({ length: pairs + 1 }, () => loads.map((load) => measureCore(load, scale))).slice(1);
  for (const [place, { core, clients, entriesPerProposal, recordBytes, encoded }] of loads.entries()) {
    const rates = rounds.map((round) => round[place] as CoreRates);
    const entries = thousands(spread(rates.map((rate) => rate.entriesPerSecond)));
    const messages = thousands(spread(rates.map((rate) => rate.messagesPerSecond)));
    const name = `${clients} × ${entriesPerProposal}${encoded ? ", through frames" : ""}`;
    print(`| ${core} | ${name} | ${recordBytes} B | ${entries} | ${messages} |`);
  }
}
