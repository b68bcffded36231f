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
