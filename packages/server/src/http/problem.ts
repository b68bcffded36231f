/** Errors over HTTP: problem documents of RFC 9457 with our members `code` and `outcome` (promise P7). */
import { errorCatalogue, type ErrorCode, type Outcome, QuipuError } from "@quipu/core";
import type { FastifyError, FastifyReply } from "fastify";
import { z } from "zod";

export const problemMediaType = "application/problem+json";

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly outcome: Outcome;
}

export const problemSchema: z.ZodType<Problem> = z
  .object({
    type: z.string().describe("Where docs/errors.md describes the code"),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.enum(Object.keys(errorCatalogue) as [ErrorCode, ...ErrorCode[]]),
    outcome: z
      .enum(["definite", "unknown"])
      .describe("definite: the change was surely not made; unknown: it may have been"),
  })
  .meta({ id: "Problem" });

/** Seconds after which a refused request is worth another try. */
const retryAfterSeconds = 1;

/** The document for any error; `status` where HTTP itself has a more exact one than the catalogue. */
export function problemOf(error: QuipuError, status: number = errorCatalogue[error.code].status): Problem {
  return {
    type: `urn:quipu:error:${error.code}`,
    title: errorCatalogue[error.code].summary,
    status,
    detail: error.message,
    code: error.code,
    outcome: error.outcome,
  };
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.status === 503) void reply.header("retry-after", String(retryAfterSeconds));
  if (problem.status === 401) void reply.header("www-authenticate", 'Bearer realm="quipu"');
  // Serialized here: a route's own reply schemas do not apply to a document of another media type.
  return reply.status(problem.status).type(problemMediaType).serializer(JSON.stringify).send(problem);
}

/** What the framework throws (a body too large, bad JSON, a schema's refusal) as one of our errors. */
export function problemOfFailure(error: FastifyError | Error): Problem {
  if (error instanceof QuipuError) return problemOf(error);
  const status = "statusCode" in error && typeof error.statusCode === "number" ? error.statusCode : 500;
  if (status >= 400 && status < 500) return problemOf(new QuipuError("INVALID_ARGUMENT", error.message), status);
  // A bug of ours: nobody knows how far the request came.
  return problemOf(new QuipuError("INDOUBT", "an internal error; the server's log has the details"), 500);
}
