/** Deterministic simulation: a replica on a faulty disk and clock, a cell of whole nodes on a faulty network. */
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
export { CellCoverage, type CellState } from "./cell/cell-state.ts";
export { makeCellNode } from "./cell/make-cell-node.ts";
export { type CellMutationCase, cellMutationCases, runCellMutation } from "./cell/mutations.ts";
export type { CellMutationSet } from "./cell/mutation-set.ts";
export type { GroupUnderTest, LifeOptions, MakeNode, NodeUnderTest } from "./cell/node-under-test.ts";
export { NotLinearizableFailure } from "./cell/observations.ts";
export { type CellResult, CellSimulation, type CellSimulationOptions } from "./cell/simulation.ts";
export type { CellSwarm } from "./cell/swarm.ts";
export { checkAddAndGet, type CounterCheckOptions } from "./linearizability/add-and-get.ts";
export { type Break, findBreak } from "./linearizability/beginnings.ts";
export { checkBlindAdds } from "./linearizability/blind-adds.ts";
export { checkHistory, type CheckOptions } from "./linearizability/check.ts";
export {
  beginningOf,
  type CompareAndSet,
  type HistoryCall,
  type HistoryOperation,
  type HistoryPosition,
  type HistoryValue,
} from "./linearizability/history.ts";
export { keyModel, type ModelChoice, type ModelOptions, type SequentialModel } from "./linearizability/models.ts";
export { readKnossosHistory, readPorcupineHistory } from "./linearizability/recorded-histories.ts";
export { searchLinearization, type SearchOptions } from "./linearizability/search.ts";
export { drawTimeline, type TimelineOptions } from "./linearizability/timeline.ts";
export type { NotLinearizable, Verdict } from "./linearizability/verdict.ts";
export { checkWitness, type WitnessOptions } from "./linearizability/witness.ts";
export { ModelCluster, type ModelServiceFaults, type ModelServiceOptions, noFaults } from "./external/model-service.ts";
export {
  type ExternalSimulationOptions,
  type ExternalSimulationResult,
  runExternalSimulation,
} from "./external/simulation.ts";
