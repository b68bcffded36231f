/** ZooKeeper, one server and three, keeps what the port of external engines promises. */
import { externalServiceConformance } from "@quipu/log/testing";
import { afterAll, beforeAll, describe } from "vitest";
import { zooKeeperService } from "../src/mod.ts";
import { startZooKeeper, type ZooKeeperEnsemble, zooKeeperMissing } from "../src/testing/mod.ts";

const missing = zooKeeperMissing();

for (const servers of [1, 3] as const) {
  describe.skipIf(missing !== undefined)(`skipped where it says: ${missing ?? "nothing"}`, () => {
    let ensemble: ZooKeeperEnsemble;
    let prefixes = 0;
    beforeAll(async () => {
      ensemble = await startZooKeeper(servers);
    }, 120_000);
    afterAll(() => ensemble.stop());

    externalServiceConformance(`zookeeper, servers: ${servers}`, async () => {
      const prefix = `/apps/quipu-${prefixes++}`;
      // Each client on a server of its own: what one writes another reads elsewhere.
      let clients = 0;
      const open = async () => {
        const endpoint = ensemble.endpoints[clients++ % servers] as string;
        return zooKeeperService({ endpoints: [endpoint], prefix, patienceMs: 20_000 });
      };
      return { open, close: async () => undefined };
    });
  });
}
