/** Usage of the command line, in this process: help, hints, exit codes. */
import { describe, expect, test, vi } from "vitest";
import { runCommandLine } from "../src/cli/command-line.ts";
import { freePort } from "../src/local-cell/child-server.ts";

async function run(words: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = "";
  let stderr = "";
  const code = await runCommandLine(words, {
    stdout: (text) => void (stdout += text),
    stderr: (text) => void (stderr += text),
  });
  return { code, stdout, stderr };
}

describe("usage", () => {
  test.each([[[]], [["start"]], [["status"]], [["replay"]], [["bench"]]])(
    "quipu %j --help has examples",
    async (words) => {
      const help = await run([...words, "--help"]);
      expect(help.code).toBe(0);
      expect(help.stdout).toContain("Examples:");
      expect(help.stdout).toContain(`Usage: quipu${words.length > 0 ? ` ${words[0]}` : ""}`);
    },
  );

  test("--version", async () => {
    expect(await run(["--version"])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  test.each([
    ["a wrong flag", ["start", "--dta", "x"], /unknown option '--dta'[\s\S]*Did you mean --data\?[\s\S]*start --help/],
    ["a wrong command", ["stat"], /unknown command 'stat'[\s\S]*Did you mean/],
    ["a wrong choice", ["replay", "x", "--field", "agent"], /path, status, client/],
    ["a wrong number", ["bench", "--callers", "many"], /from 1 to 16384/],
    ["no data directory", ["start"], /--data is required/],
    ["a port out of range", ["start", "--data", "x", "--resp-port", "70000"], /--resp-port: "70000"/],
    ["a public bind", ["start", "--data", "x", "--bind", "0.0.0.0"], /QUIPU_TOKENS[\s\S]*PUBLIC_BIND_REFUSED/],
    ["a file that is not there", ["replay", "no-such-file"], /cannot read no-such-file/],
    ["an endpoint that is none", ["status", "--endpoint", "nonsense"], /no address/],
  ])("%s: a hint and exit code 2", async (_name, args, message) => {
    const result = await run(args);
    expect(result.stderr).toMatch(message);
    expect(result).toMatchObject({ code: 2, stdout: "" });
  });

  test("an unknown variable: a hint and exit code 2", async () => {
    vi.stubEnv("QUIPU_RESP_PROT", "1");
    const result = await run(["start", "--data", "x"]);
    vi.unstubAllEnvs();
    expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining("did you mean QUIPU_RESP_PORT?") });
  });

  test("no server: exit code 1 and what to do", async () => {
    const result = await run(["status", "--endpoint", `http://127.0.0.1:${await freePort()}`]);
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining("quipu start --data DIR") });
  });
});
