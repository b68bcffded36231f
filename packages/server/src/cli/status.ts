/** `quipu status`: what a server says about itself. */
import { Command } from "commander";
import type { CellStatus, NodeStatus } from "../node-status.ts";
import { fetchStatus } from "./endpoint.ts";
import { endpointOption, outputOption, type OutputForm, printResult } from "./output.ts";
import { formatCount, formatPairs, formatTable } from "./terminal/table.ts";

export function statusCommand(): Command {
  return new Command("status")
    .description("show what a server says about itself")
    .addOption(endpointOption("the server's HTTP address"))
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Where the server asks for a token, set QUIPU_TOKEN.
Exit code 1 where no server answers.

Examples:
  quipu status
  quipu status --endpoint http://10.0.0.5:7380 --output json`,
    )
    .action(async (options: { readonly endpoint: string; readonly output: OutputForm }) => {
      const status = await fetchStatus(options.endpoint, process.env);
      printResult(options.output, status, () => describe(status));
    });
}

function describe(status: NodeStatus): string {
  const { resp, http } = status.endpoints;
  const shard = status.shards[0];
  const chain = status.chain.map(
    (link) => `${link.engine} from ${link.base}${link.end === null ? "" : ` to ${link.end}`}`,
  );
  const pairs: (readonly [string, string])[] = [
    ["node", `${status.node}, incarnation ${status.incarnation}, version ${status.version}`],
    ["state", status.overloaded ? "overloaded: changes are refused" : status.ready ? "ready" : "not ready"],
    ["up", duration(status.uptimeSeconds)],
    ["RESP", `${resp.host}:${resp.port}`],
    ["HTTP", `${http.host}:${http.port}`],
    ["log", chain.join(", ")],
  ];
  const { waitingFor = null } = status;
  if (waitingFor !== null) pairs.push(["waiting for", waitingFor]);
  if (shard !== undefined) {
    pairs.push(
      ["applied", `${shard.appliedPosition} (tail ${shard.tailPosition}, checkpoint ${shard.checkpointedPosition})`],
      ["log time", new Date(Number(shard.logTimeMs)).toISOString()],
      ["keys", `${formatCount(shard.keys)} (${formatCount(shard.keysWithExpiry)} expire)`],
      ["sessions", formatCount(shard.sessions)],
      ["idempotency", `${formatCount(shard.idempotencyEntries)} entries`],
      ["waiting", `${formatCount(shard.queuedCommands)} commands, ${formatCount(shard.queuedBytes)} bytes`],
      ["state hash", shard.stateHash ?? "being computed"],
    );
  }
  const { cell } = status;
  if (cell === null) return formatPairs(pairs);
  return `${describeCell(cell)}\n\n${formatPairs(pairs)}`;
}

type Row = CellStatus["nodes"][number];

interface CellColumn {
  readonly title: string;
  readonly align?: "right";
  readonly text: (node: Row) => string;
  /** Left out where there is little room. */
  readonly isDetail?: true;
}

const cellColumns: readonly CellColumn[] = [
  { title: "node", text: (node) => node.name },
  {
    title: "role",
    text: (node) => (node.isLeader ? "leader" : node.standing === "none" ? "not in it" : node.standing),
  },
  { title: "state", text: stateOf },
  { title: "applied", align: "right", text: (node) => node.appliedPosition ?? "-" },
  { title: "lag", align: "right", text: (node) => (node.lag === null ? "-" : formatCount(node.lag)) },
  {
    title: "round trip",
    align: "right",
    text: (node) => (node.roundTripMs === null ? "-" : `${node.roundTripMs.toFixed(1)} ms`),
    isDetail: true,
  },
  { title: "peers", text: (node) => node.address, isDetail: true },
  { title: "RESP", text: (node) => place(node.resp) },
  { title: "HTTP", text: (node) => place(node.http) },
  { title: "version", text: (node) => node.version ?? "-", isDetail: true },
];

/** Who is in the cell and how each of them is: what an operator looks at first. */
export function describeCell(cell: CellStatus, columnsOfTerminal: number = Number.POSITIVE_INFINITY): string {
  const head = formatPairs([
    ["cell", `${cell.id ?? "not formed yet"}, seen from ${cell.name}`],
    ["leader", cell.leader === null ? "none" : `${cell.leader}, term ${cell.term}`],
    ["committed", cell.committedPosition],
    [
      "compared",
      cell.divergences === 0
        ? `equal on a majority up to ${cell.comparedPosition}`
        : `differed ${cell.divergences} times; equal up to ${cell.comparedPosition}`,
    ],
    ...(cell.waitingFor === null ? [] : [["waiting for", cell.waitingFor] as const]),
  ]);
  const problems = cell.nodes
    .filter(({ problem, isReachable }) => problem !== null && !isReachable)
    .map(({ name, problem }) => `${name}: ${problem}`);
  const whole = cellTable(cell, cellColumns);
  const isWide = whole.split("\n").every((line) => line.length < columnsOfTerminal);
  const table = isWide
    ? whole
    : cellTable(
        cell,
        cellColumns.filter(({ isDetail }) => isDetail !== true),
      );
  return [head, "", table, ...(problems.length === 0 ? [] : ["", ...problems])].join("\n");
}

function cellTable(cell: CellStatus, columns: readonly CellColumn[]): string {
  return formatTable(
    columns,
    cell.nodes.map((node) => columns.map(({ text }) => text(node))),
  );
}

function place(address: { readonly host: string; readonly port: number } | null): string {
  return address === null ? "-" : `${address.host}:${address.port}`;
}

function stateOf(node: Row): string {
  if (!node.isReachable) return "unreachable";
  return node.isReady ? "ready" : (node.phase ?? "starting");
}

function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ] as const;
  const first = parts.findIndex(([value]) => value > 0);
  return parts
    .slice(first < 0 ? 3 : first)
    .slice(0, 2)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(" ");
}
