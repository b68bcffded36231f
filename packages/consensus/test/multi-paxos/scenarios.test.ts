/**
 * Runs the scenarios of testdata/multi-paxos. `UPDATE=1 npx vitest run packages/consensus/test/multi-paxos/scenarios.test.ts` writes
 * the traces as they are now; read the difference before it is kept.
 */
import { describe } from "vitest";
import { testScenarios } from "../replay.ts";
import { PaxosScenario } from "./scenario.ts";

describe("scenarios", () => testScenarios("multi-paxos", () => new PaxosScenario()));
