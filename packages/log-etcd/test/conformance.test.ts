/** Logs on a real etcd keep the loglet contract, by themselves and under a virtual log whose chain is in etcd, too. */
import { openVirtualLog } from "@quipu/log";
import { logletConformance } from "@quipu/log/testing";
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

  logletConformance("etcd", async () => {
    const options = { endpoints: members.endpoints, prefix: `/conformance/${prefixes++}/` };
    let node = makeNode(options);
    const parameters = await node.engine.prepare();
    let log = await node.engine.open(parameters);
    const close = async (): Promise<void> => {
      await log.close();
      await node.service.close();
    };
    return {
      log,
      reopen: async () => {
        await close();
        node = makeNode(options);
        log = await node.engine.open(parameters);
        return log;
      },
      close,
    };
  });

  logletConformance("virtual log over etcd", async () => {
    const options = { endpoints: members.endpoints, prefix: `/conformance/${prefixes++}/` };
    const open = async (): Promise<{ log: Awaited<ReturnType<typeof openVirtualLog>>; close: () => Promise<void> }> => {
      const { service, engine } = makeNode(options);
      const engines = { etcd: engine };
      const log = await openVirtualLog({ metadata: service.registers, key: "chain", engines, initialEngine: "etcd" });
      return {
        log,
        close: async () => {
          await log.close();
          await service.close();
        },
      };
    };
    let opened = await open();
    return {
      log: opened.log,
      reopen: async () => {
        await opened.close();
        opened = await open();
        return opened.log;
      },
      close: () => opened.close(),
    };
  });
});
