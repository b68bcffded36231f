/** The TypeScript SDK: sessions, batches, exact counts through reconnects. */
export { type ErrorCode, type Outcome, QuipuError } from "@quipu/core";
export type { PolicyName } from "@quipu/routing";
export type { CompareAndSetResult } from "./batch.ts";
export { type Client, connect } from "./client.ts";
export type { Counter } from "./counter.ts";
export type { Endpoint } from "./endpoints.ts";
export { batchesInFlightMax, type ClientOptions, keyBytesMax, operationsPerBatchMax, sessionsMax } from "./options.ts";
export type { ClientPorts, ClientSocket, ConnectSocket, SocketEvents } from "./ports.ts";
