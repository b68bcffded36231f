/** /v1/cluster/requests: what operators ask of a cell. Any node takes it and hands it to whoever leads. */
import { type CellAnswer, cellAnswerSchema, type CellRequest, cellRequestSchema } from "../cell/cell-requests.ts";
import type { HttpApplication } from "./application.ts";
import { problemSchema } from "./problem.ts";

export function registerCell(
  application: HttpApplication,
  operate: (request: CellRequest) => Promise<CellAnswer>,
): void {
  application.route({
    method: "POST",
    url: "/v1/cluster/requests",
    schema: {
      summary: "Change the nodes of the cell, or who leads it",
      operationId: "changeCell",
      tags: ["node"],
      body: cellRequestSchema,
      response: { 200: cellAnswerSchema, "4xx": problemSchema, "5xx": problemSchema },
    },
    handler: (request) => operate(request.body),
  });
}
