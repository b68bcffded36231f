/** The HTTP front door: counters, status and metrics on one port. */
import type { AddressInfo } from "node:net";
import type { ReplicaDoor } from "@quipu/cluster";
import type { Authenticator } from "../authenticator.ts";
import type { CellAnswer, CellRequest } from "../cell/cell-requests.ts";
import { listenFailure } from "../listen-failure.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { NodeStatus } from "../node-status.ts";
import { createApplication, type HttpApplication } from "./application.ts";
import { registerCell } from "./cell.ts";
import { registerCounters } from "./counters.ts";
import { registerStatus } from "./status.ts";

export interface HttpDoorOptions {
  readonly replica: ReplicaDoor;
  readonly authenticator: Authenticator;
  readonly status: () => NodeStatus;
  readonly metrics: Metrics;
  /** What operators ask of the cell. Rejects where there is none. */
  readonly operate: (request: CellRequest) => Promise<CellAnswer>;
  readonly log: Log;
  /** How long close() waits for requests that are under way or have not arrived whole. */
  readonly closeWaitMs?: number;
}

/** A request takes milliseconds; who sends half of one must not keep the node from stopping. */
const closeWaitMsDefault = 5_000;

export interface HttpDoor {
  readonly port: number;
  /** Takes no new requests, answers those under way, then resolves. */
  close(): Promise<void>;
}

/** The application without a port: what tests inject requests into. */
export async function createHttpApplication(options: HttpDoorOptions): Promise<HttpApplication> {
  const application = await createApplication(options);
  application.addHook("onResponse", (request, reply, done) => {
    const route = request.routeOptions.url ?? "(none)";
    options.metrics.observeRequest(request.method, route, reply.statusCode, reply.elapsedTime);
    done();
  });
  registerCounters(application, options.replica);
  registerStatus(application, options.status, options.metrics);
  registerCell(application, options.operate);
  await application.ready();
  return application;
}

export async function startHttpDoor(options: HttpDoorOptions, bind: string, port: number): Promise<HttpDoor> {
  const application = await createHttpApplication(options);
  try {
    await application.listen({ host: bind, port });
  } catch (error) {
    await application.close();
    throw listenFailure(error, "--http-port", bind, port);
  }
  return {
    port: (application.server.address() as AddressInfo).port,
    close: () => close(application, options.closeWaitMs ?? closeWaitMsDefault),
  };
}

async function close(application: HttpApplication, waitMs: number): Promise<void> {
  const timer = setTimeout(() => application.server.closeAllConnections(), waitMs);
  try {
    await application.close();
  } finally {
    clearTimeout(timer);
  }
}
