/** Where a request goes: the slot of a key (as Redis Cluster defines it), and one of several endpoints. Pure. */
export { type Balancer, type BalancerOptions, createBalancer, type EndpointTraits, slowStartMs } from "./balancer.ts";
export { LatencyQuantile } from "./latency-quantile.ts";
export {
  consecutiveFailuresMax,
  ejectedMax,
  ejectionFirstMs,
  ejectionMaxMs,
  rateWindowMs,
} from "./outlier-ejection.ts";
export { type PolicyName, policyNames } from "./policies.ts";
export { RetryBudget, retryBudgetDefaults, type RetryBudgetOptions } from "./retry-budget.ts";
export { crc16, keySlot, type Slot, slot, slotCount } from "./slot.ts";
