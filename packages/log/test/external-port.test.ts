/** The model of a coordination service keeps what the port of external engines promises, as the real ones do. */
import { externalServiceConformance } from "../src/testing/mod.ts";
import { TestCluster } from "./external-harness.ts";

externalServiceConformance("model", async () => {
  const test = new TestCluster({});
  return { open: async () => test.cluster.connect(), close: async () => undefined, isSilentWhenClosed: true };
});
