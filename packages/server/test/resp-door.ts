/** Opens RESP doors for tests and closes them, and what they opened, afterwards. */
import type { ReplicaDoor } from "@quipu/cluster";
import { SeededRandom } from "@quipu/core";
import { afterEach } from "vitest";
import { Authenticator } from "../src/authenticator.ts";
import { silentLog } from "../src/log.ts";
import { NodeClock } from "../src/ports/node-clock.ts";
import { type RespDoor, type RespDoorOptions, startRespDoor } from "../src/resp/door.ts";
import { heldReplica, type HeldReplica } from "./held-replica.ts";
import { RawClient } from "./resp-client.ts";

export interface TestDoor extends HeldReplica {
  readonly door: RespDoor;
  readonly port: number;
  client(): Promise<RawClient>;
}

const cleanups: (() => unknown)[] = [];

/** Runs after the test, the last one first. */
export function afterTest(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export async function openTestDoor(
  options: RespDoorOptions = {},
  setup: { readonly tokens?: readonly string[]; readonly wrap?: (replica: ReplicaDoor) => ReplicaDoor } = {},
): Promise<TestDoor> {
  const held = await heldReplica();
  const door = await startRespDoor({
    replica: setup.wrap?.(held.replica) ?? held.replica,
    authenticator: new Authenticator(setup.tokens ?? []),
    clock: new NodeClock(),
    random: new SeededRandom(1),
    bind: "127.0.0.1",
    port: 0,
    options: { allowFlush: true, version: "0.1.0", ...options, limits: { closeWaitMs: 100, ...options.limits } },
    log: silentLog,
  });
  afterTest(async () => {
    held.appends.release();
    held.tails.release();
    await door.close();
    held.replica.close();
  });
  return {
    ...held,
    door,
    port: door.port,
    async client() {
      const client = await RawClient.open(door.port);
      afterTest(() => client.destroy());
      return client;
    },
  };
}
