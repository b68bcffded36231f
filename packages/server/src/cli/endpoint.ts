/** Where client commands find the server: an HTTP address that tells the RESP port, or a quipu:// address itself. */
import { type ErrorCode, errorCatalogue, QuipuError } from "@quipu/core";
import { connect, type Client } from "@quipu/client";
import type { CellAnswer, CellRequest } from "../cell/cell-requests.ts";
import type { NodeStatus } from "../node-status.ts";

export const defaultEndpoint = "http://127.0.0.1:7380";

/** A server that is there answers in milliseconds. */
const requestTimeoutMs = 10_000;
/** Longer than a node waits for the answer of the one that leads. */
const changeTimeoutMs = 30_000;

export interface ClientEnvironment {
  readonly QUIPU_TOKEN?: string | undefined;
}

/** GET /v1/cluster. */
export async function fetchStatus(endpoint: string, environment: ClientEnvironment): Promise<NodeStatus> {
  return (await fetchDocument(endpoint, "/v1/cluster", environment)) as NodeStatus;
}

/** POST /v1/cluster/requests: any node takes it. */
export async function askCell(
  endpoint: string,
  request: CellRequest,
  environment: ClientEnvironment,
): Promise<CellAnswer> {
  return (await fetchDocument(endpoint, "/v1/cluster/requests", environment, request)) as CellAnswer;
}

async function fetchDocument(
  endpoint: string,
  path: string,
  environment: ClientEnvironment,
  body?: unknown,
): Promise<unknown> {
  const token = environment.QUIPU_TOKEN;
  let url: URL;
  try {
    url = new URL(path, endpoint);
  } catch (cause) {
    throw new QuipuError("INVALID_CONFIGURATION", `--endpoint ${endpoint} is no address, as in ${defaultEndpoint}`, {
      cause,
    });
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new QuipuError("INVALID_CONFIGURATION", `--endpoint: expected http://host:port, not ${endpoint}`);
  }
  let response: Response;
  try {
    response = await fetch(url, {
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      signal: AbortSignal.timeout(body === undefined ? requestTimeoutMs : changeTimeoutMs),
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    });
  } catch (cause) {
    if (body !== undefined && !isNobodyThere(cause)) {
      const text = `${url.origin} did not answer; what was asked for may have been done all the same: see quipu status`;
      throw new QuipuError("INDOUBT", text, { cause });
    }
    throw new QuipuError(
      "CONNECTION_LOST",
      `no server answers at ${url.origin}; start one (quipu start --data DIR), or name it with --endpoint`,
      { outcome: "definite", cause },
    );
  }
  const document: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw refusal(response.status, document);
  return document;
}

/** Nothing was sent: no connection came about. */
function isNobodyThere(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as { readonly code?: unknown } | undefined) : undefined;
  return cause?.code === "ECONNREFUSED" || cause?.code === "ENOTFOUND" || cause?.code === "EHOSTUNREACH";
}

function refusal(status: number, document: unknown): QuipuError {
  const problem = (document ?? {}) as { readonly code?: string; readonly detail?: string };
  const code = problem.code !== undefined && problem.code in errorCatalogue ? problem.code : "INVALID_ARGUMENT";
  const hint = status === 401 ? " (set QUIPU_TOKEN)" : "";
  return new QuipuError(code as ErrorCode, `${problem.detail ?? `the server answered ${status}`}${hint}`);
}

/** An SDK client for either kind of address. */
export async function connectTo(endpoint: string, environment: ClientEnvironment): Promise<Client> {
  if (!/^https?:/.test(endpoint)) return connect(withToken(endpoint, environment));
  const status = await fetchStatus(endpoint, environment);
  // The host that the user reached the server by; the server itself may only know 0.0.0.0.
  const host = new URL(endpoint).hostname;
  return connect(withToken(`quipu://${host}:${status.endpoints.resp.port}`, environment));
}

function withToken(address: string, environment: ClientEnvironment): string {
  if (environment.QUIPU_TOKEN === undefined || !URL.canParse(address)) return address;
  const url = new URL(address);
  if (url.password !== "") return address;
  url.password = environment.QUIPU_TOKEN;
  return url.href;
}
