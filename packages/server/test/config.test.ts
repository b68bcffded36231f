/** Configuration: precedence, refusals with reasons, tokens, public binds. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { QuipuError } from "@quipu/core";
import { describe, expect, test } from "vitest";
import { loadConfiguration } from "../src/config/load.ts";
import { isLoopback } from "../src/config/loopback.ts";
import { type Configuration, reservedNames, settingNames } from "../src/config/settings.ts";
import { temporaryDirectory } from "./temporary.ts";

const root = temporaryDirectory();
const token = "0123456789abcdef0123456789abcdef";

function refusal(flags: Record<string, unknown>, environment: Record<string, string> = {}): QuipuError {
  try {
    loadConfiguration({ flags: { data: "d", ...flags }, environment });
  } catch (error) {
    expect(error).toBeInstanceOf(QuipuError);
    return error as QuipuError;
  }
  throw new Error("was not refused");
}

function fileWith(name: string, content: string): string {
  const file = path.join(root, name);
  writeFileSync(file, content);
  return file;
}

test("defaults bind to this machine and the fixed ports", () => {
  expect(loadConfiguration({ flags: { data: "d" }, environment: { PATH: "x" } })).toEqual({
    dataDirectory: "d",
    bind: "127.0.0.1",
    respPort: 7379,
    httpPort: 7380,
    allowFlush: false,
    checkpointSeconds: 5,
    logLevel: "info",
    tokens: [],
    cell: undefined,
    engine: undefined,
    service: { endpoints: undefined, prefix: undefined, user: undefined, tls: undefined },
  });
});

test("flags win over environment over file", () => {
  const config = fileWith(
    "all.yaml",
    "data: from-file\nresp-port: 1\nhttp-port: 2\nallow-flush: true\nlog-level: warn\n",
  );
  const loaded = loadConfiguration({
    flags: { config, "resp-port": "11" },
    environment: { QUIPU_RESP_PORT: "12", QUIPU_HTTP_PORT: "13" },
  });
  expect(loaded).toMatchObject({ respPort: 11, httpPort: 13, dataDirectory: "from-file", allowFlush: true });
  expect(loaded.logLevel).toBe("warn");
  expect(loadConfiguration({ flags: {}, environment: { QUIPU_CONFIG: config } }).respPort).toBe(1);
});

test("unknown names are refused with the nearest known one", () => {
  expect(refusal({}, { QUIPU_RESP_PROT: "1" }).message).toBe(
    "unknown variable QUIPU_RESP_PROT; did you mean QUIPU_RESP_PORT?",
  );
  const config = fileWith("typo.yaml", "htpp-port: 1\n");
  expect(refusal({ config }).message).toMatch(/^unknown setting htpp-port in .*typo\.yaml; did you mean http-port\?$/);
  expect(refusal({ nonsense: 1 }).message).toBe("unknown setting --nonsense");
});

test("names of later releases are refused with their own reason", () => {
  expect(refusal({}, { QUIPU_WORKERS: "2" }).message).toMatch(/QUIPU_WORKERS is reserved/);
  expect(refusal({ "cluster-port": 7382 }).message).toMatch(/--cluster-port is reserved/);
});

test("variables of the clients and of the tests are no settings", () => {
  const environment = { QUIPU_ENDPOINT: "x", QUIPU_TOKEN: "x", QUIPU_SHARED: "x" };
  expect(loadConfiguration({ flags: { data: "d" }, environment }).tokens).toEqual([]);
});

test("values out of range name where they stand", () => {
  expect(refusal({ "resp-port": "70000" })).toMatchObject({ code: "INVALID_CONFIGURATION" });
  expect(refusal({ "resp-port": "70000" }).message).toMatch(/^--resp-port: "70000" is not accepted/);
  expect(refusal({}, { QUIPU_LOG_LEVEL: "loud" }).message).toMatch(/^QUIPU_LOG_LEVEL: "loud" is not accepted/);
  expect(refusal({ "allow-flush": "maybe" }).message).toMatch(/^--allow-flush/);
  expect(refusal({ "resp-port": 5, "http-port": 5 }).message).toMatch(/both 5/);
  expect(() => loadConfiguration({ flags: {}, environment: {} })).toThrow(/--data is required.*QUIPU_DATA/);
});

test("a configuration file that cannot be used says so", () => {
  expect(refusal({ config: path.join(root, "none.yaml") }).message).toMatch(/cannot read .*ENOENT/);
  expect(refusal({ config: fileWith("list.yaml", "- a\n") }).message).toMatch(/expected settings/);
  expect(refusal({ config: fileWith("broken.yaml", "a: [\n") }).message).toMatch(/cannot read/);
  expect(loadConfiguration({ flags: { data: "d", config: fileWith("empty.yaml", "") }, environment: {} }).bind).toBe(
    "127.0.0.1",
  );
});

test("tokens come from the environment, a file, or both; short and missing ones are refused", () => {
  const file = fileWith("tokens", `# the team\n${token}\n\n  ${token}-2 \n`);
  const loaded = loadConfiguration({
    flags: { data: "d", "tokens-file": file },
    environment: { QUIPU_TOKENS: `${token}-3, ${token}-4` },
  });
  expect(loaded.tokens).toEqual([`${token}-3`, `${token}-4`, token, `${token}-2`]);
  expect(refusal({}, { QUIPU_TOKENS: "short" }).message).toMatch(/shorter than 16/);
  expect(refusal({}, { QUIPU_TOKENS: "" }).code).toBe("INVALID_CONFIGURATION");
  expect(refusal({ "tokens-file": fileWith("no-tokens", "# none\n") }).message).toMatch(/^--tokens-file: no token/);
});

test("a public bind needs a token", () => {
  for (const bind of ["0.0.0.0", "::", "192.168.1.4", "example.org"]) {
    const refused = refusal({ bind });
    expect(refused.code).toBe("PUBLIC_BIND_REFUSED");
    expect(refused.message).toMatch(/QUIPU_TOKENS/);
    expect(loadConfiguration({ flags: { data: "d", bind }, environment: { QUIPU_TOKENS: token } }).bind).toBe(bind);
  }
  for (const bind of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) expect(isLoopback(bind), bind).toBe(true);
  for (const name of ["127.0.0.1.example.org", "1127.0.0.1", "localhost.example.org"]) {
    expect(isLoopback(name), name).toBe(false);
  }
});

test("docs/configuration.md lists every setting, and no other", () => {
  const page = readFileSync(path.resolve(import.meta.dirname, "../../../docs/configuration.md"), "utf8");
  const table = page.slice(page.indexOf("| setting |"), page.indexOf("`cluster-port`"));
  const listed = [...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]);
  expect(new Set(listed)).toEqual(new Set(settingNames));
  expect(listed).toHaveLength(settingNames.length);
  for (const name of reservedNames) expect(page).toContain(`\`${name}\``);
});

describe("a cell", () => {
  const secret = fileWith("secret", `${token}\n`);
  const peers = "n1=10.0.0.1:7381,n2=[fd00::2]:7381,n3=n3.example.org:7391";
  const flags = { name: "n2", "cell-peers": peers, "cell-secret-file": secret };
  const load = (changes: Record<string, unknown> = {}): Configuration["cell"] =>
    loadConfiguration({ flags: { data: "d", ...flags, ...changes }, environment: {} }).cell;

  test("knows its name, all addresses and the secret, without the line end of its file", () => {
    const cell = load();
    expect([...(cell?.peers ?? [])]).toEqual([
      ["n1", { host: "10.0.0.1", port: 7381 }],
      ["n2", { host: "fd00::2", port: 7381 }],
      ["n3", { host: "n3.example.org", port: 7391 }],
    ]);
    expect(new TextDecoder().decode(cell?.secret)).toBe(token);
  });

  test("listens for its peers on every address, or on this machine's own where that is all they use", () => {
    expect(load()?.listen).toEqual({ host: "0.0.0.0", port: 7381 });
    expect(load({ "cell-peers": "n1=127.0.0.1:1,n2=127.0.0.1:2" })?.listen).toEqual({ host: "127.0.0.1", port: 2 });
    expect(load({ "peer-port": 9, "peer-bind": "10.0.0.2" })?.listen).toEqual({ host: "10.0.0.2", port: 9 });
  });

  test.each([
    [{ "cell-peers": "n1=h:1,n2" }, /names no node: expected name=host:port/],
    [{ "cell-peers": "n1=h:1,n2=h:x" }, /is no address: expected host:port/],
    [{ "cell-peers": "n1=h:1,n2=h:1" }, /n1 and n2 have the same address h:1/],
    [{ "cell-peers": "n2=h:1,n2=h:2" }, /n2 is named twice/],
    [{ "cell-peers": "n 2=h:1" }, /is no name/],
    [{ name: "n9" }, /--name n9 is not among --cell-peers: n1, n2, n3/],
    [{ name: undefined }, /--name is required with --cell-peers: which of n1, n2, n3/],
    [{ "cell-secret-file": undefined }, /a cell needs a secret.*--cell-secret-file or QUIPU_CELL_SECRET/],
    [{ "cell-secret-file": "/nowhere" }, /cannot read the secret file \/nowhere/],
    [{ "cell-secret-file": fileWith("short", "abc") }, /has 3 bytes, at least 16/],
    [{ "cell-peers": undefined }, /--name is of a cell; give --cell-peers/],
    [{ "peer-tls-key": "k" }, /TLS between nodes needs all of/],
    [{ "resp-port": 7381 }, /--resp-port and the peer port are both 7381/],
  ])("refuses %j", (changes, reason) => {
    expect(refusal({ ...flags, ...changes }).message).toMatch(reason);
  });

  test("takes its secret from the environment, not from a flag", () => {
    const others = { ...flags, "cell-secret-file": undefined };
    const { cell } = loadConfiguration({ flags: { data: "d", ...others }, environment: { QUIPU_CELL_SECRET: token } });
    expect(new TextDecoder().decode(cell?.secret)).toBe(token);
  });
});
