/**
 * The tour: a cell begins as one node with its log on its own disk, two more join, and then the log moves from engine to
 * engine while the count goes on: local, raft, multi-paxos, etcd, zookeeper, raft. Engines whose servers this machine lacks
 * are left out, and that is said.
 */
import { QuipuError } from "@quipu/core";
import type { CellRequest } from "../../cell/cell-requests.ts";
import { askCell } from "../../cli/endpoint.ts";
import type { EngineName } from "../../engines/engine-names.ts";
import { delay } from "../delay.ts";
import type { Services } from "../services.ts";
import type { Act, Stage } from "./acts.ts";

/** The cell works on the new engine for so long before the next act. */
const settleMs = 2_000;
const retryMs = 200;

export function tourActs(services: Services): readonly Act[] {
  const { etcd, zookeeper } = services.endpoints;
  /** The starts of those who join: they end when the log is where all have a part of it. */
  const starts: Promise<void>[] = [];
  return [
    {
      what: () => Promise.resolve("n2 and n3 join the cell of one node"),
      happen: async (stage) => void starts.push(...(await joinAll(stage))),
    },
    switchTo("raft", { starts }),
    switchTo("multi-paxos"),
    ...(etcd === undefined ? [] : [switchTo("etcd", { endpoints: etcd })]),
    ...(zookeeper === undefined ? [] : [switchTo("zookeeper", { endpoints: zookeeper })]),
    switchTo("raft"),
  ];
}

async function joinAll(stage: Stage): Promise<readonly Promise<void>[]> {
  const [first, ...others] = stage.cell.nodes;
  const endpoint = first?.server.httpUrl ?? "";
  for (const { name, peerPort } of others) {
    await asked(stage, endpoint, { type: "add", name, address: { host: "127.0.0.1", port: peerPort } });
  }
  const starts = others.map(({ server }) => server.restart());
  // Whoever awaits them hears what went wrong.
  for (const start of starts) start.catch(() => undefined);
  await stage.until("all nodes to be voters", async () => {
    const nodes = (await stage.cell.status())?.cell?.nodes ?? [];
    return nodes.filter(({ standing }) => standing === "voter").length === stage.cell.nodes.length ? true : undefined;
  });
  return starts;
}

interface SwitchOptions {
  readonly endpoints?: readonly string[];
  /** Awaited behind the switch. */
  readonly starts?: readonly Promise<void>[];
}

function switchTo(engine: EngineName, { endpoints, starts = [] }: SwitchOptions = {}): Act {
  return {
    what: async (stage) => `from ${(await stage.cell.status())?.engine ?? "?"} to ${engine}`,
    happen: async (stage) => {
      const endpoint = stage.cell.nodes[0]?.server.httpUrl ?? "";
      await asked(stage, endpoint, { type: "switchEngine", engine, endpoints });
      await Promise.all(starts);
      await stage.whenWhole();
      await delay(settleMs);
    },
  };
}

/** Definite refusals are asked again: nothing was done, as while the cell changes its leader. */
async function asked(stage: Stage, endpoint: string, request: CellRequest): Promise<void> {
  await stage.until(JSON.stringify(request), async () => {
    try {
      await askCell(endpoint, request, {});
      return true;
    } catch (error) {
      if (!(error instanceof QuipuError) || error.code !== "OVERLOADED") throw error;
      await delay(retryMs);
      return undefined;
    }
  });
}
