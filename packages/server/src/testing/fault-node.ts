/**
 * `quipu start` with faults that its parent turns on and off over the channel of node:child_process. For tests only; it is
 * the launcher of a `ChildServer`. Each command is answered with "done" when it has been carried out.
 */
import { z } from "zod";
import { describeError, exitCodeOf } from "../cli/exit.ts";
import { runStart } from "../cli/run-start.ts";
import { givenFlags, startCommand } from "../cli/start.ts";
import { FaultPorts } from "./fault-ports.ts";

/** What the parent may ask for. */
export type FaultCommand =
  | { readonly type: "disk"; readonly state: "good" | "full" | "failing" }
  | { readonly type: "clock"; readonly offsetMs: number; readonly rate: number }
  /** Nothing else runs on the event loop for so long, as in a long collection of garbage. */
  | { readonly type: "block"; readonly ms: number };

const commandSchema: z.ZodType<FaultCommand> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("disk"), state: z.enum(["good", "full", "failing"]) }),
  z.object({ type: z.literal("clock"), offsetMs: z.number(), rate: z.number().positive() }),
  z.object({ type: z.literal("block"), ms: z.number().nonnegative() }),
]);

function carryOut(ports: FaultPorts, command: FaultCommand): void {
  switch (command.type) {
    case "disk":
      ports.disk = command.state;
      return;
    case "clock":
      ports.clock.shift(command.offsetMs, command.rate);
      return;
    case "block":
      // Unlike a loop that reads the clock it leaves the processor to others.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, command.ms);
      return;
  }
}

const ports = new FaultPorts();
process.on("message", (message: unknown) => {
  carryOut(ports, commandSchema.parse(message));
  process.send?.("done");
});
try {
  const command = startCommand().action((_options: unknown, self) => runStart(givenFlags(self), ports));
  await command.parseAsync(process.argv.slice(3), { from: "user" });
} catch (error) {
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = exitCodeOf(error);
}
