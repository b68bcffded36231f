/** For tests of whatever serves the SDK: a proxy that loses connections, and a workload that must come out exact. */
export { addMany, checkExact, type Expected } from "./exactness.ts";
export { FaultyProxy } from "./faulty-proxy.ts";
