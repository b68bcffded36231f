/** etcd as the home of a log: the port of external engines on its JSON gateway. */
export type { EtcdOptions } from "./options.ts";
export type { Pressure } from "./quota.ts";
export { type EtcdService, etcdService } from "./service.ts";
