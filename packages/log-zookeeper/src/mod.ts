/** ZooKeeper under an external log. */
export { type ZooKeeperOptions, zooKeeperService } from "./service.ts";
