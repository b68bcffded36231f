/** The process of the `quipu` command. */
import { runCommandLine } from "./command-line.ts";

// `quipu --help | head`, or a supervisor that has gone: nobody reads any more, which is no reason to stop counting.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

process.exitCode = await runCommandLine(process.argv.slice(2), {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
});
