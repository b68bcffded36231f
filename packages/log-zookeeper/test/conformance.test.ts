/** ZooKeeper, one server and three, keeps what the port of external engines promises, and carries a loglet. */
import type { Loglet } from "@quipu/log";
import { externalServiceConformance, logletConformance } from "@quipu/log/testing";
import { afterAll, beforeAll, describe } from "vitest";
import { startZooKeeper, type ZooKeeperEnsemble, zooKeeperMissing } from "../src/testing/mod.ts";
import { closeServices, engineOf, newPrefix, openService } from "./harness.ts";

const missing = zooKeeperMissing();

for (const servers of [1, 3] as const) {
  const title = missing ?? (servers === 1 ? "one server" : "three servers");
  describe.skipIf(missing !== undefined)(`zookeeper: ${title}`, () => {
    let ensemble: ZooKeeperEnsemble;
    let clients = 0;
    /** Each client on a server of its own: what one writes another reads elsewhere. */
    const open = (prefix: string) =>
      openService({ endpoints: [ensemble.endpoints[clients++ % servers] as string], prefix, patienceMs: 20_000 });
    beforeAll(async () => {
      ensemble = await startZooKeeper(servers);
    }, 120_000);
    afterAll(() => ensemble.stop());

    externalServiceConformance("zookeeper", async () => {
      const prefix = newPrefix();
      return { open: async () => open(prefix), close: closeServices };
    });

    logletConformance("zookeeper", async () => {
      const prefix = newPrefix();
      const loglets: Loglet[] = [];
      const parameters = await engineOf(open(prefix)).prepare();
      const openLoglet = async (): Promise<Loglet> => {
        const loglet = await engineOf(open(prefix)).open(parameters);
        loglets.push(loglet);
        return loglet;
      };
      return {
        log: await openLoglet(),
        reopen: openLoglet,
        close: async () => {
          await Promise.all(loglets.map((loglet) => loglet.close()));
          await closeServices();
        },
      };
    });
  });
}
