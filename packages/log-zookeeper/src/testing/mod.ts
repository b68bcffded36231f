/** A real ZooKeeper for tests and benchmarks. */
export { startZooKeeper, type ZooKeeperEnsemble, zooKeeperMissing } from "./ensemble.ts";
