/** Users and passwords, tokens that are forgotten, TLS with certificates of clients: what passes, and what is refused how. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EtcdMembers, hasEtcd, startEtcdMembers } from "../src/testing/mod.ts";
import { ask, encode, makeNode, record } from "./harness.ts";

describe.skipIf(!hasEtcd())("etcd with users", () => {
  let members: EtcdMembers;
  let endpoint = "";
  const user = { name: "quipu", password: "right" };
  beforeAll(async () => {
    // Tokens die after a second, so that the tests see it.
    members = await startEtcdMembers({ arguments: ["--auth-token-ttl=1"] });
    [endpoint = ""] = members.endpoints;
    await ask(endpoint, "/v3/auth/user/add", { name: "root", password: "root" });
    await ask(endpoint, "/v3/auth/user/grant", { user: "root", role: "root" });
    await ask(endpoint, "/v3/auth/user/add", { name: user.name, password: user.password });
    await ask(endpoint, "/v3/auth/role/add", { name: "quipu" });
    const perm = { permType: "READWRITE", key: encode("/quipu/"), range_end: encode("/quipu0") };
    await ask(endpoint, "/v3/auth/role/grant", { name: "quipu", perm });
    await ask(endpoint, "/v3/auth/user/grant", { user: user.name, role: "quipu" });
    await ask(endpoint, "/v3/auth/enable", {});
  });
  afterAll(() => members.stop());

  test("a user with rights below the prefix is enough, and old tokens are renewed", async () => {
    const { service, engine } = makeNode({ endpoints: members.endpoints, user });
    const log = await engine.open(await engine.prepare());
    await log.append([record("a")]);
    // Forgotten with the member's memory, which needs no waiting.
    await members.kill(0);
    await members.restart(0);
    expect(await log.append([record("b")])).toEqual({ first: 2, last: 2 });
    expect(await log.tail()).toEqual({ tail: 3, sealed: false });
    await log.close();
    await service.close();
  });

  test.each([
    ["a wrong password", { user: { ...user, password: "wrong" } }, /authentication failed/],
    ["no user", {}, /user name is empty/],
    ["a prefix without rights", { user, prefix: "/else/" }, /permission denied/],
  ])("%s is INVALID_CONFIGURATION, with endpoint and cause", async (_, options, cause) => {
    const { service, engine } = makeNode({ endpoints: members.endpoints, ...options });
    const error = await engine.prepare().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "INVALID_CONFIGURATION", outcome: "definite" });
    expect((error as Error).message).toMatch(cause);
    expect((error as Error).message).toContain(endpoint);
    await service.close();
  });
});

describe.skipIf(!hasEtcd())("etcd with TLS", () => {
  let members: EtcdMembers;
  const directory = mkdtempSync(path.join(tmpdir(), "quipu-certificates-"));
  const file = (name: string): string => path.join(directory, name);
  const read = (name: string): string => readFileSync(file(name), "utf8");
  const openssl = (...parts: readonly string[]): void => {
    execFileSync("openssl", parts, { cwd: directory, stdio: "ignore" });
  };
  const makeKey = (name: string): void => {
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
  };
  const makeAuthority = (name: string): void => {
    makeKey(name);
    openssl("req", "-x509", "-new", "-key", `${name}.key`, "-days", "2", "-subj", `/CN=${name}`, "-out", `${name}.crt`);
  };
  const makeCertificate = (name: string, authority: string): void => {
    makeKey(name);
    openssl("req", "-new", "-key", `${name}.key`, "-subj", `/CN=${name}`, "-out", `${name}.csr`);
    writeFileSync(file("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n");
    const by = ["-CA", `${authority}.crt`, "-CAkey", `${authority}.key`, "-CAcreateserial", "-days", "2"];
    openssl("x509", "-req", "-in", `${name}.csr`, ...by, "-extfile", "names", "-out", `${name}.crt`);
  };

  beforeAll(async () => {
    makeAuthority("authority");
    makeAuthority("stranger");
    makeCertificate("member", "authority");
    makeCertificate("node", "authority");
    makeCertificate("foreign", "stranger");
    const tls = { caFile: file("authority.crt"), certFile: file("member.crt"), keyFile: file("member.key") };
    members = await startEtcdMembers({ tls });
  });
  afterAll(async () => {
    await members?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  test("a node with a certificate appends, reads and gets hints", async () => {
    const tls = { ca: read("authority.crt"), cert: read("node.crt"), key: read("node.key") };
    const { service, engine } = makeNode({ endpoints: members.endpoints, tls });
    const log = await engine.open(await engine.prepare());
    expect(await log.append([record("a")])).toEqual({ first: 1, last: 1 });
    const { log: name } = JSON.parse(await engine.prepare()) as { readonly log: string };
    const raw = await service.openLog(name);
    const hint = new Promise((resolve) => {
      const { close } = raw.watch((nextBatch) => {
        if (nextBatch === undefined) return;
        close();
        resolve(nextBatch);
      });
    });
    let at = await raw.head();
    for (let isHinted = false; !isHinted;) {
      at = (await raw.append(at, record("a batch"), at.tail)) ?? at;
      isHinted = await Promise.race([hint.then(() => true), new Promise<false>((go) => setTimeout(go, 50, false))]);
    }
    await log.close();
    await service.close();
  });

  test.each([
    ["members of an authority that is not trusted", () => ({ tls: { ca: read("stranger.crt") } })],
    ["no certificate of the client", () => ({ tls: { ca: read("authority.crt") } })],
    [
      "a certificate of a foreign authority",
      () => ({ tls: { ca: read("authority.crt"), cert: read("foreign.crt"), key: read("foreign.key") } }),
    ],
  ])("%s: INVALID_CONFIGURATION that names the endpoint", async (_, options) => {
    const { service } = makeNode({ endpoints: members.endpoints, ...options() });
    await expect(service.createLog("a")).rejects.toMatchObject({
      code: "INVALID_CONFIGURATION",
      message: expect.stringMatching(/^etcd https?:\/\/127\.0\.0\.1:\d+: /),
    });
    await service.close();
  });
});
