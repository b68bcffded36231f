/** /v1/counters: read, add, set, delete. */
import { type ReplicaDoor } from "@quipu/cluster";
import type { Operation } from "@quipu/counters";
import type { FastifyReply } from "fastify";
import {
  changeCommand,
  changeItems,
  type CounterName,
  counterName,
  describeCounter,
  describeDeletion,
  parseInteger,
} from "./counter-commands.ts";
import { readNow, submit } from "./promise-caller.ts";
import { problemSchema } from "./problem.ts";
import {
  addBody,
  addHeaders,
  changeHeaders,
  type ChangeHeaders,
  counterReply,
  type CounterReply,
  databaseQuery,
  deleteHeaders,
  deleteReply,
  keyParameters,
  setBody,
} from "./schemas.ts";
import type { HttpApplication } from "./application.ts";

const changeReplies = { 200: counterReply, "4xx": problemSchema, "5xx": problemSchema } as const;
const tags: readonly string[] = ["counters"];

export function registerCounters(application: HttpApplication, replica: ReplicaDoor): void {
  registerRead(application, replica);
  registerAdd(application, replica);
  registerSet(application, replica);
  registerDelete(application, replica);
}

function registerRead(application: HttpApplication, replica: ReplicaDoor): void {
  application.route({
    method: "GET",
    url: "/v1/counters/:key",
    schema: {
      summary: "Read a counter (linearizable)",
      operationId: "getCounter",
      tags,
      params: keyParameters,
      querystring: databaseQuery,
      response: changeReplies,
    },
    handler: async (request, reply) => {
      const name = counterName(request.query.database, request.params.key);
      const { outcome, position } = await readNow(replica, {
        type: "describe",
        database: name.database,
        key: name.key,
      });
      return sendCounter(reply, describeCounter(name, outcome, position));
    },
  });
}

function registerAdd(application: HttpApplication, replica: ReplicaDoor): void {
  application.route({
    method: "POST",
    url: "/v1/counters/:key(.+)::add",
    schema: {
      summary: "Add to a counter; an absent one counts as 0",
      operationId: "addToCounter",
      tags,
      params: keyParameters,
      querystring: databaseQuery,
      headers: addHeaders,
      body: addBody,
      response: changeReplies,
    },
    handler: async (request, reply) => {
      const name = counterName(request.query.database, request.params.key);
      const delta = parseInteger(request.body.delta, "delta");
      const operation = { type: "add", database: name.database, key: name.key, delta } as const;
      return change(replica, name, operation, request.headers, reply);
    },
  });
}

function registerSet(application: HttpApplication, replica: ReplicaDoor): void {
  application.route({
    method: "PUT",
    url: "/v1/counters/:key",
    schema: {
      summary: "Set a counter; bounds and expiry stay",
      operationId: "setCounter",
      tags,
      params: keyParameters,
      querystring: databaseQuery,
      headers: changeHeaders,
      body: setBody,
      response: changeReplies,
    },
    handler: async (request, reply) => {
      const name = counterName(request.query.database, request.params.key);
      parseInteger(request.body.value, "value");
      const { "if-match": ifMatch, "if-none-match": ifNoneMatch } = request.headers;
      const operation: Operation = {
        type: "set",
        database: name.database,
        key: name.key,
        value: new TextEncoder().encode(request.body.value),
        condition: ifNoneMatch !== undefined ? "ifAbsent" : ifMatch === undefined ? "always" : "ifPresent",
        returnPrevious: false,
        expiry: { type: "keep" },
      };
      return change(replica, name, operation, request.headers, reply);
    },
  });
}

function registerDelete(application: HttpApplication, replica: ReplicaDoor): void {
  application.route({
    method: "DELETE",
    url: "/v1/counters/:key",
    schema: {
      summary: "Delete a counter with its bounds and expiry",
      operationId: "deleteCounter",
      tags,
      params: keyParameters,
      querystring: databaseQuery,
      headers: deleteHeaders,
      response: { 200: deleteReply, "4xx": problemSchema, "5xx": problemSchema },
    },
    handler: async (request) => {
      const name = counterName(request.query.database, request.params.key);
      const operation: Operation = { type: "delete", database: name.database, keys: [name.key] };
      return describeDeletion(name, await submit(replica, changeCommand(name, operation, request.headers)));
    },
  });
}

async function change(
  replica: ReplicaDoor,
  name: CounterName,
  operation: Operation,
  headers: ChangeHeaders,
  reply: FastifyReply,
): Promise<CounterReply> {
  const answer = await submit(replica, changeCommand(name, operation, headers));
  const [, description] = changeItems(answer);
  const counter = describeCounter(name, description, answer.position);
  // Every change that is made gives the key a version in its own record; a stored reply bears that of the first time.
  const isReplay = !counter.version.startsWith(`${counter.position}-`);
  if (isReplay) void reply.header("idempotency-replayed", "true");
  return sendCounter(reply, counter);
}

function sendCounter(reply: FastifyReply, counter: CounterReply): CounterReply {
  void reply.header("etag", `"${counter.version}"`);
  return counter;
}
