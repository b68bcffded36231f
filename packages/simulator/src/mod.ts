/** Deterministic simulation of the replica on a faulty disk and clock. */
export {
  type CrashKeeps,
  type DiskFault,
  type DiskOperation,
  SimulatedDisk,
  type SimulatedDiskOptions,
} from "./disk.ts";
export {
  type KeyValueCrashKeeps,
  SimulatedKeyValueStore,
  type SimulatedKeyValueStoreOptions,
} from "./key-value-store.ts";
export { Coverage, type ProcessState } from "./coverage.ts";
export { type CheckName, SimulationFailure } from "./failure.ts";
export type { Mutations } from "./node.ts";
export { Simulation, type SimulationOptions, type SimulationResult } from "./simulation.ts";
export type { SwarmConfiguration } from "./swarm.ts";
export { Trace } from "./trace.ts";
export { type MutationCase, mutationCases, type MutationResult, mutationTable, runMutation } from "./mutations.ts";
export { parseStoredSeeds, type StoredSeed } from "./stored-seeds.ts";
