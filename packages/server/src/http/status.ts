/** /healthz, /readyz, /v1/cluster, /metrics: how the node is. */
import { QuipuError } from "@quipu/core";
import { z } from "zod";
import type { Metrics } from "../metrics.ts";
import type { NodeStatus } from "../node-status.ts";
import type { HttpApplication } from "./application.ts";
import { problemSchema } from "./problem.ts";

const address = z.object({ host: z.string(), port: z.number().int() });
const count = z.number().int();
const position = z.string();

const shardSchema = z
  .object({
    shard: count,
    appliedPosition: position.describe("The last record in the state"),
    tailPosition: position.describe("The first unwritten position of the log"),
    checkpointedPosition: position.describe("The last record that the state store holds"),
    logTimeMs: z.string().describe("Milliseconds since the Unix epoch"),
    keys: count,
    keysWithExpiry: count,
    sessions: count,
    idempotencyEntries: count,
    expiredKeys: count,
    stateHash: z.string().nullable(),
    dirtyEntries: count,
    queuedCommands: count,
    queuedBytes: count,
    recordsApplied: count,
    checkpoints: count,
    longestCheckpointSliceMs: z.number(),
  })
  .meta({ id: "ShardStatus" });

const cellSchema = z
  .object({
    id: z.string().nullable().describe("Hexadecimal; null while the cell is being formed"),
    name: z.string(),
    waitingFor: z.string().nullable(),
    role: z.string(),
    term: count,
    leader: z.string().nullable(),
    committedPosition: position,
    featureLevel: count.describe("Of the records written now"),
    comparedPosition: position.describe("The newest position at which a majority has the state of this node"),
    divergences: count.describe("Times that this node's state was found to differ from that of a majority"),
    nodes: z.array(
      z.object({
        name: z.string(),
        node: count.nullable(),
        member: count.nullable(),
        address: z.string(),
        standing: z.enum(["voter", "learner", "none"]),
        isLeader: z.boolean(),
        isReachable: z.boolean(),
        isReady: z.boolean(),
        phase: z.string().nullable(),
        version: z.string().nullable(),
        appliedPosition: position.nullable(),
        lag: count.nullable().describe("Log positions behind the furthest commit known here"),
        roundTripMs: z.number().nullable(),
        resp: address.nullable(),
        http: address.nullable(),
        problem: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: "CellStatus" });

export const nodeStatusSchema: z.ZodType<NodeStatus> = z
  .object({
    version: z.string(),
    node: count,
    incarnation: count.describe("How many times this node has started on this data directory"),
    uptimeSeconds: z.number(),
    ready: z.boolean(),
    overloaded: z.boolean().describe("True while a limit is reached and changes are refused"),
    endpoints: z.object({ resp: address, http: address }),
    engine: z.string(),
    chain: z.array(z.object({ base: position, engine: z.string(), end: position.nullable() })),
    shards: z.array(shardSchema),
    cell: cellSchema.nullable().describe("null: no cell, but a single process or a node in front of a service"),
    waitingFor: z.string().nullable().exactOptional().describe("The service that it waits for before it can serve"),
    limits: z.record(z.string(), z.number()),
  })
  .meta({ id: "NodeStatus" });

const okSchema = z.object({ status: z.literal("ok") });

export function registerStatus(application: HttpApplication, status: () => NodeStatus, metrics: Metrics): void {
  application.get(
    "/healthz",
    { schema: { summary: "The process answers", operationId: "health", tags: ["node"], response: { 200: okSchema } } },
    () => ({ status: "ok" as const }),
  );
  application.get(
    "/readyz",
    {
      schema: {
        summary: "The node takes requests",
        operationId: "ready",
        tags: ["node"],
        response: { 200: okSchema, 503: problemSchema },
      },
    },
    () => {
      const { ready, waitingFor, cell } = status();
      if (ready) return { status: "ok" as const };
      const what = waitingFor ?? cell?.waitingFor ?? null;
      const why = what === null ? "" : `; it waits for ${what}`;
      throw new QuipuError("SHUTTING_DOWN", `the node is starting or stopping${why}`);
    },
  );
  application.get(
    "/v1/cluster",
    {
      schema: {
        summary: "The node, its log and its state",
        operationId: "cluster",
        tags: ["node"],
        response: { 200: nodeStatusSchema, "4xx": problemSchema },
      },
    },
    () => status(),
  );
  application.get("/metrics", { schema: { hide: true } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  );
}
