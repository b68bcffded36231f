/** External engines on a model of a service keep the contract, by themselves and under a virtual log. */
import { openVirtualLog } from "../src/mod.ts";
import { logletConformance } from "../src/testing/mod.ts";
import { TestCluster } from "./external-harness.ts";

for (const delayMsMax of [0, 20]) {
  const faults =
    delayMsMax === 0 ? {} : { delayMsMax, requestsLost: 50, answersLost: 50, hintsMissed: 300, readsOld: 300 };
  const name = delayMsMax === 0 ? "external" : "external, requests lost";

  logletConformance(name, async () => {
    const test = new TestCluster({ faults });
    const parameters = await test.engine().prepare();
    const service = test.cluster.connect();
    const log = await test.engine({ service }).open(parameters);
    return {
      log,
      reopen: async () => {
        // The node's death: what it has sent may still be carried out.
        await service.close();
        return test.engine().open(parameters);
      },
      close: () => log.close(),
    };
  });

  logletConformance(`virtual log over ${name}`, async () => {
    const test = new TestCluster({ faults });
    const open = (): ReturnType<typeof openVirtualLog> => {
      const service = test.cluster.connect();
      const engines = { model: test.engine({ service }) };
      return openVirtualLog({ metadata: test.cluster.registers, key: "chain", engines, initialEngine: "model" });
    };
    const log = await open();
    return {
      log,
      reopen: async () => {
        await log.close();
        return open();
      },
      close: () => log.close(),
    };
  });
}
