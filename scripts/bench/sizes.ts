/** Memory per counter and per idempotency entry, restart time, and the longest slice of a checkpoint. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type BenchServer, residentMegabytes, startQuipu } from "./servers.ts";

const pipelined = 10_000;
/** Opcode, database, count, delta, length of the key, key of 16 bytes (packages/counters/src/opcodes.ts). */
const bytesPerLoggedAdd = 1 + 1 + 4 + 5 + 1 + 16;
/** Distinct within a batch, so that none folds: 100 MB of log. */
const suffixAdds = Math.ceil(100e6 / bytesPerLoggedAdd);

/** Sends `count` commands made by `command`, pipelined, and waits for every reply; an error reply fails it. */
export async function fill(
  port: number,
  count: number,
  command: (index: number) => string,
  linesPerReply = 1,
): Promise<void> {
  const socket: Socket = connect(port, "127.0.0.1");
  socket.setEncoding("latin1");
  await once(socket, "connect");
  let lines = 0;
  let error: string | undefined;
  let wake: (() => void) | undefined;
  socket.on("data", (text: string) => {
    for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines += 1;
    if (text.startsWith("-")) error ??= text.slice(0, 200);
    wake?.();
  });
  for (let sent = 0; sent < count;) {
    const until = Math.min(sent + pipelined, count);
    let text = "";
    for (; sent < until; sent++) text += command(sent);
    socket.write(text, "latin1");
    while (lines < sent * linesPerReply && error === undefined)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    if (error !== undefined) throw new Error(`the server answered: ${error}`);
  }
  socket.destroy();
}

export const sixteenByteKey = (index: number): string => `c:${String(index).padStart(14, "0")}`;

export interface SizeReport {
  readonly emptyMegabytes: number;
  readonly millionCountersMegabytes: number;
  readonly bytesPerIdempotencyEntry: number;
  readonly restartSeconds: number;
  readonly logSuffixMegabytes: number;
  readonly checkpoint: string;
}

export async function measureSizes(port: number): Promise<SizeReport> {
  let server: BenchServer = await startQuipu(port);
  const emptyMegabytes = await settledMegabytes(server);
  await fill(port, 1_000_000, (index) => `INCR ${sixteenByteKey(index)}\r\n`);
  const millionCountersMegabytes = await settledMegabytes(server);
  const checkpoint = await checkpointFigures(port);
  const entries = 500_000;
  await fill(port, entries, (index) => `Q.ONCE ${sixteenByteKey(index)} INCR ${sixteenByteKey(0)}\r\n`);
  const withEntries = await settledMegabytes(server);
  await server.stop("SIGKILL");

  // A checkpoint of 1,000,000 counters, then 100 MB of log above it: no checkpoint comes in an hour, nor of so few entries.
  server = await startQuipu(port);
  await fill(port, 1_000_000, (index) => `INCR ${sixteenByteKey(index)}\r\n`);
  await server.stop("SIGTERM", true);
  const environment = { QUIPU_CHECKPOINT_SECONDS: "3600" };
  server = await startQuipu(port, { dataDirectory: server.dataDirectory, environment });
  await fill(port, suffixAdds, (index) => `INCR ${sixteenByteKey((index * 7_919) % 400_000)}\r\n`);
  await server.stop("SIGKILL", true);
  const startMs = performance.now();
  server = await startQuipu(port, { dataDirectory: server.dataDirectory });
  const restartSeconds = (performance.now() - startMs) / 1000;
  await server.stop("SIGTERM");
  return {
    emptyMegabytes,
    millionCountersMegabytes,
    bytesPerIdempotencyEntry: ((withEntries - millionCountersMegabytes) * 1e6) / entries,
    restartSeconds,
    logSuffixMegabytes: (suffixAdds * bytesPerLoggedAdd) / 1e6,
    checkpoint,
  };
}

/** After a checkpoint and the collections that follow it. */
async function settledMegabytes(server: BenchServer): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 8_000));
  return residentMegabytes(server.pid);
}

async function metrics(port: number): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${port + 1}/metrics`)).text();
}

async function checkpointFigures(port: number): Promise<string> {
  return (await metrics(port))
    .split("\n")
    .filter((line) => line.startsWith("quipu_checkpoint"))
    .join("; ");
}
