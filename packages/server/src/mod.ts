/** The quipu server as a library: a node with its doors, from a checked configuration. */
export { type ConfigurationSources, loadConfiguration } from "./config/load.ts";
export type { Configuration } from "./config/settings.ts";
export { createLog, type Log, type LogLevel, silentLog } from "./log.ts";
export { type NodeOptions, openNode, type QuipuNode } from "./node.ts";
export type { ChainLink, ListenAddress, NodeEndpoints, NodeStatus, ShardStatus } from "./node-status.ts";
export { version } from "./version.ts";
