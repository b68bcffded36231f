/** The SDK: one client, sessions, batches. */
import { connect, QuipuError } from "@quipu/client";
import { quipuAddress } from "../peers/quipu-cell.ts";
import { type CountingClient, UnknownOutcome } from "./counting-client.ts";

export async function openQuipu(ports: readonly number[]): Promise<CountingClient> {
  const client = await connect(quipuAddress(ports));
  return {
    async increment(key) {
      try {
        await client.counter(key).add(1);
      } catch (error) {
        throw error instanceof QuipuError && error.outcome === "unknown" ? new UnknownOutcome(error) : error;
      }
    },
    read: (keys) => Promise.all(keys.map((key) => client.counter(key).get())),
    close: () => client.close(),
  };
}
