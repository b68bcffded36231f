/**
 * Runs the scenarios of testdata/raft. `UPDATE=1 npx vitest run packages/consensus/test/raft/scenarios.test.ts` writes
 * the traces as they are now; read the difference before it is kept.
 */
import { describe } from "vitest";
import { testScenarios } from "../replay.ts";
import { Scenario } from "./scenario.ts";

describe("scenarios", () => testScenarios("raft", () => new Scenario()));
