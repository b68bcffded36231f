/** The two kinds of runs that the simulator has, a single node and a cell of nodes, under one face for the command line. */
import {
  CellCoverage,
  cellMutationCases,
  CellSimulation,
  type CellSwarm,
  Coverage,
  mutationCases,
  type MutationResult,
  runCellMutation,
  runMutation,
  Simulation,
  type SimulationFailure,
  type SwarmConfiguration,
  type Trace,
} from "@quipu/simulator";

/** What both kinds tell of a run. */
export interface RunResult {
  readonly failure: SimulationFailure | undefined;
  readonly traceHash: string;
  readonly virtualMs: number;
  readonly events: number;
  readonly lives: number;
  readonly records: number;
}

export interface RunKind {
  readonly name: string;
  /** The flag that picks it, for lines that replay. */
  readonly flag: string;
  run(seed: number, trace: Trace): Promise<RunResult>;
  /** Which faults met which states, over all runs so far, and how many there were. */
  coverage(): { readonly table: string; readonly total: number };
  readonly mutations: readonly string[];
  runMutation(name: string, seedsMax: number): Promise<MutationResult>;
}

/** `settings`: fixes swarm settings instead of drawing them. */
export function singleKind(settings: object): RunKind {
  const coverage = new Coverage();
  const swarm = settings as Partial<SwarmConfiguration>;
  return {
    name: "single node",
    flag: "--single",
    run: (seed, trace) => new Simulation({ seed, coverage, trace, swarm }).run(),
    coverage: () => ({ table: coverage.table(), total: coverage.total }),
    mutations: mutationCases.map(({ name }) => name),
    runMutation: (name, seedsMax) => runMutation(named(mutationCases, name), seedsMax),
  };
}

export function cellKind(settings: object): RunKind {
  const coverage = new CellCoverage();
  const swarm = settings as Partial<CellSwarm>;
  return {
    name: "cell",
    flag: "--cell",
    run: (seed, trace) => new CellSimulation({ seed, coverage, trace, swarm }).run(),
    coverage: () => ({ table: coverage.table(), total: coverage.total }),
    mutations: cellMutationCases.map(({ name }) => name),
    runMutation: (name, seedsMax) => runCellMutation(named(cellMutationCases, name), seedsMax),
  };
}

function named<Case extends { readonly name: string }>(cases: readonly Case[], name: string): Case {
  const found = cases.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no mutation ${name}`);
  return found;
}
