/** Engines that a log can be on, by the names that users type. */

export type EngineName = "local" | "raft" | "multi-paxos" | "etcd" | "zookeeper";

export const engineNames: readonly EngineName[] = ["local", "raft", "multi-paxos", "etcd", "zookeeper"];

/** Services that keep the log, rather than nodes of Quipu. */
export type ServiceEngineName = "etcd" | "zookeeper";

export function isServiceEngine(engine: string): engine is ServiceEngineName {
  return engine === "etcd" || engine === "zookeeper";
}

/** For `quipu engine list`. */
export const engineDescriptions: Readonly<Record<EngineName, string>> = {
  local: "one node: acknowledged = on its disk",
  raft: "a majority of the cell's nodes; members change one by one",
  "multi-paxos": "a majority of the cell's nodes; goes on under partial partitions that stop raft",
  etcd: "an etcd cluster that you run (3.4 and later)",
  zookeeper: "a ZooKeeper ensemble that you run (3.8 and later)",
};
