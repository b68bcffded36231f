/** What the demo, the benchmark and the tests share: a server as a child process, the demo itself. */
export { ChildServer, type ChildServerOptions, type Exit, freePort } from "../local-cell/child-server.ts";
export { type DemoOptions, DemoResources, type DemoResult, runDemo } from "./demo.ts";
export { formatCount, formatTable } from "../cli/terminal/table.ts";
export { isWhole, LocalCell, type LocalCellOptions, type LocalNode } from "../local-cell/local-cell.ts";
