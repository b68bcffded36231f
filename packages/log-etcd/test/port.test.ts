/** etcd keeps what the port of external engines promises. */
import { externalServiceConformance } from "@quipu/log/testing";
import { afterAll, beforeAll, describe } from "vitest";
import { type EtcdMembers, hasEtcd, startEtcdMembers } from "../src/testing/mod.ts";
import { makeNode } from "./harness.ts";

describe.skipIf(!hasEtcd())("etcd", () => {
  let members: EtcdMembers;
  let prefixes = 0;
  beforeAll(async () => {
    members = await startEtcdMembers();
  });
  afterAll(() => members.stop());
  externalServiceConformance("etcd", async () => {
    const prefix = `/port/${prefixes++}/`;
    return {
      open: async () => makeNode({ endpoints: members.endpoints, prefix }).service,
      close: async () => undefined,
    };
  });
});
