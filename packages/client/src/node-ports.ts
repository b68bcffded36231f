/** The real world: TCP sockets, timers, randomness of Node. */
import { randomInt } from "node:crypto";
import { createConnection } from "node:net";
import { performance } from "node:perf_hooks";
import { type Clock, SeededRandom } from "@quipu/core";
import type { ClientPorts, ConnectSocket } from "./ports.ts";

const seedLimit = 2 ** 32;

const connectTcp: ConnectSocket = (endpoint, events) => {
  // Without noDelay a small batch waits for the acknowledgement of the one before (Nagle, 40 ms).
  const socket = createConnection({ host: endpoint.host, port: endpoint.port, noDelay: true, keepAlive: true });
  let cause: Error | undefined;
  socket.on("connect", () => events.opened());
  socket.on("data", (bytes: Buffer) => events.received(bytes));
  socket.on("error", (error) => {
    cause = error;
  });
  socket.on("end", () => socket.destroy());
  socket.on("close", () => events.closed(cause));
  return {
    write: (bytes) => {
      if (!socket.destroyed) socket.write(bytes);
    },
    destroy: () => {
      socket.destroy();
    },
  };
};

const nodeClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  // After the poll phase: every reply that has come was handled, and every caller has made its next call.
  endOfTurn: (callback) => {
    setImmediate(callback);
  },
};

export function nodePorts(): ClientPorts {
  return { connectSocket: connectTcp, clock: nodeClock, random: new SeededRandom(randomInt(seedLimit)) };
}
