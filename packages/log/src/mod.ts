/** Write-ahead log, loglet contract, VirtualLog, engines memory and local. */
export type {
  Appended,
  Chain,
  ChainSegment,
  LogDelivery,
  Loglet,
  LogletEngine,
  MetadataStore,
  Subscription,
  Tail,
  VirtualLog,
} from "./loglet.ts";
