/** What the demo, the benchmark and the tests share: servers and cells as child processes, the demo itself. */
export { ChildServer, type ChildServerOptions, type Exit, freePort } from "../local-cell/child-server.ts";
export { type DemoOptions, DemoResources, type DemoResult, runDemo } from "./demo/demo.ts";
export { formatCount, formatTable } from "../cli/terminal/table.ts";
export { isWhole, LocalCell, type LocalCellOptions, type LocalNode } from "../local-cell/local-cell.ts";
export { type ChaosEvent, type ChaosOptions, type ChaosResult, runChaos } from "./chaos/chaos.ts";
export { ChaosCell } from "./chaos/chaos-cell.ts";
export { type Fault, faults } from "./chaos/faults.ts";
export { Services } from "./services.ts";
export { RawConnection, RawError } from "./chaos/raw-connection.ts";
