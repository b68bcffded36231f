/** etcd and ZooKeeper for demo, tests and chaos: three members of each that is installed here, on the loopback. */
import { hasEtcd, startEtcdMembers } from "@quipu/log-etcd/testing";
import { startZooKeeper, zooKeeperMissing } from "@quipu/log-zookeeper/testing";
import type { EngineName } from "../engines/engine-names.ts";

interface RestartableMembers {
  kill(member: number): Promise<void>;
  restart(member: number): Promise<void>;
}

export class Services {
  readonly endpoints: Partial<Record<EngineName, readonly string[]>> = {};
  /** Why an engine is left out, for people. */
  readonly missing: string[] = [];
  readonly #stops: (() => Promise<void>)[] = [];
  readonly #members: Partial<Record<EngineName, RestartableMembers>> = {};

  /** Three members of each service that is installed here. */
  static async start(): Promise<Services> {
    const services = new Services();
    await Promise.all([services.#startEtcd(), services.#startZooKeeper()]);
    return services;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#stops.map((stop) => stop()));
  }

  /** kill -9 of one member, while `meanwhile` lasts; then it is started again. */
  async withoutMember(engine: EngineName, member: number, meanwhile: () => Promise<void>): Promise<void> {
    const members = this.#members[engine];
    await members?.kill(member);
    await meanwhile();
    await members?.restart(member);
  }

  async #startEtcd(): Promise<void> {
    if (!hasEtcd()) {
      this.missing.push("etcd is left out: it is not installed here (bash scripts/install-peers.sh)");
      return;
    }
    const members = await startEtcdMembers({ count: 3 });
    this.#stops.push(() => members.stop());
    this.#members.etcd = members;
    this.endpoints.etcd = members.endpoints;
  }

  async #startZooKeeper(): Promise<void> {
    const missing = zooKeeperMissing();
    if (missing !== undefined) {
      this.missing.push(`zookeeper is left out: ${missing}`);
      return;
    }
    const ensemble = await startZooKeeper(3);
    this.#stops.push(() => ensemble.stop());
    this.#members.zookeeper = ensemble;
    this.endpoints.zookeeper = ensemble.endpoints;
  }
}
