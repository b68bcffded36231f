/** Fastify as we use it: types and OpenAPI from zod, problem documents for every error, limits before anything else. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import swaggerPlugin from "@fastify/swagger";
import { QuipuError } from "@quipu/core";
import { fastify, type FastifyBaseLogger, type FastifyError, type FastifyInstance } from "fastify";
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from "fastify-type-provider-zod";
import type { Authenticator } from "../authenticator.ts";
import type { Log } from "../log.ts";
import { version } from "../version.ts";
import { problemOf, problemOfFailure, sendProblem } from "./problem.ts";

export type HttpApplication = FastifyInstance<
  Server,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** A change is a few dozen bytes. */
const bodyBytesMax = 16 * 1024;
/** Request line and headers together; with it the URL is bounded too. */
const headerBytesMax = 16 * 1024;
/** Idle connections cost a descriptor each; RESP is the door for many. */
const connectionsMax = 10_000;
/** A request that has not arrived whole by then is given up. */
const requestTimeoutMs = 30_000;

/** Open without a token: probes have none. */
const openPaths: ReadonlySet<string> = new Set(["/healthz", "/readyz"]);

export interface ApplicationOptions {
  readonly authenticator: Authenticator;
  readonly log: Log;
}

export async function createApplication(options: ApplicationOptions): Promise<HttpApplication> {
  const application = fastify({
    logger: false,
    bodyLimit: bodyBytesMax,
    requestTimeout: requestTimeoutMs,
    routerOptions: { maxParamLength: headerBytesMax },
    forceCloseConnections: "idle",
    return503OnClosing: true,
    http: { maxHeaderSize: headerBytesMax },
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, problemOfFailure(error)),
  }).withTypeProvider<ZodTypeProvider>();
  application.server.maxConnections = connectionsMax;
  application.setValidatorCompiler(validatorCompiler);
  application.setSerializerCompiler(serializerCompiler);
  application.setErrorHandler((error: FastifyError, _request, reply) => {
    const problem = problemOfFailure(error);
    if (problem.status === 500)
      options.log.error({ error: String(error.stack) }, "a request failed on an internal error");
    return sendProblem(reply, problem);
  });
  application.setNotFoundHandler((request, reply) =>
    sendProblem(reply, problemOf(new QuipuError("NOT_FOUND", `nothing answers ${request.method} at this path`))),
  );
  guard(application, options.authenticator);
  await registerOpenApi(application, options.authenticator);
  return application;
}

function guard(application: HttpApplication, authenticator: Authenticator): void {
  if (!authenticator.required) return;
  application.addHook("onRequest", (request, reply, done) => {
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    const path = request.url.split("?", 1)[0] ?? "";
    if (openPaths.has(path) || (token !== undefined && authenticator.accepts(token))) return done();
    const reason = token === undefined ? "send Authorization: Bearer <token>" : "the token is not known";
    void sendProblem(reply, problemOf(new QuipuError("UNAUTHENTICATED", reason)));
  });
}

async function registerOpenApi(application: HttpApplication, authenticator: Authenticator): Promise<void> {
  await application.register(swaggerPlugin, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Quipu", version, description: "Durable, exactly-once counters over HTTP." },
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
      ...(authenticator.required ? { security: [{ token: [] }] } : {}),
    },
    transform: (route) => {
      const transformed = jsonSchemaTransform(route);
      // The router's form of "a key, then :add".
      return { ...transformed, url: transformed.url.replace(":key(.+)::add", "{key}::add") };
    },
    transformObject: jsonSchemaTransformObject,
  });
  application.get("/openapi.json", { schema: { hide: true } }, () => application.swagger());
}
