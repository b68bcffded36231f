/** Links over TLS, with certificates that openssl makes here and now. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { addressOf, introduce, startNode } from "./peer-nodes.ts";
import type { PeerTlsSettings } from "../src/peers/peer-transport.ts";
import { temporaryDirectory } from "./temporary.ts";
import { until } from "./until.ts";

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** An authority of its own for each call, and one certificate of it. */
function certificates(directory: string, name: string): PeerTlsSettings {
  const file = (suffix: string): string => path.join(directory, `${name}-${suffix}.pem`);
  const run = (...words: string[]): unknown => execFileSync("openssl", words, { stdio: "ignore" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  run(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    file("ca-key"),
    "-out",
    file("ca"),
    "-subj",
    `/CN=${name} CA`,
    "-days",
    "2",
  );
  run("req", ...newKey, "-keyout", file("key"), "-out", file("request"), "-subj", `/CN=${name}`);
  const signing = ["-CA", file("ca"), "-CAkey", file("ca-key"), "-set_serial", "1", "-days", "1"];
  run("x509", "-req", "-in", file("request"), "-out", file("certificate"), ...signing);
  const read = (suffix: string): string => readFileSync(file(suffix), "utf8");
  return { key: read("key"), certificate: read("certificate"), ca: read("ca") };
}

describe.skipIf(!hasOpenssl())("TLS between nodes", () => {
  const directory = temporaryDirectory();

  test("frames go both ways; a certificate of another authority, and no TLS at all, are refused", async () => {
    const tls = certificates(directory, "cell");
    const n1 = await startNode("n1", { tls, member: 1 });
    const n2 = await startNode("n2", { tls, member: 2 });
    introduce({ n1, n2 });
    await until(() => n1.transport.network.peers().includes(2) && n2.transport.network.peers().includes(1));
    const large = new Uint8Array(1_000_000).fill(7);
    n1.transport.network.send(2, large);
    n2.transport.network.send(1, Uint8Array.of(5));
    await until(() => n2.frames.length === 1 && n1.frames.length === 1);
    expect(Buffer.compare(n2.frames[0]?.bytes ?? Buffer.alloc(0), large)).toBe(0);

    const peers = new Map([["n1", addressOf(n1)]]);
    const foreign = await startNode("n3", { tls: certificates(directory, "other"), peers });
    const plain = await startNode("n4", { peers });
    await until(() => foreign.status("n1")?.problem !== undefined && plain.status("n1")?.problem !== undefined);
    await until(() => n1.lines.some(({ fields }) => String(fields["reason"]).startsWith("TLS: ")));
    expect(foreign.reachable.get("n1")).toBeUndefined();
    expect(plain.reachable.get("n1")).toBeUndefined();
    expect(n1.reachable.get("n2")).toBe(true);
  });
});
