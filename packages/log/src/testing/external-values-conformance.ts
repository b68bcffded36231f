/** The part of the suite of external services that is about values by name: registers and blobs. */
import { expect, test } from "vitest";
import type { ExternalService } from "../engines/external/service.ts";
import { bytes, isEqual, large, text, type WithClients } from "./external-clients.ts";

/** Its value as text; a service may give any kind of Uint8Array. */
async function shown(service: ExternalService, key: string): Promise<unknown> {
  const register = await service.registers.get(key);
  return register === undefined ? undefined : { version: register.version, value: text(register.value) };
}

export function registers(withClients: WithClients): void {
  test("a register is absent, then set from version 0, then only from the version it has, for every client", () =>
    withClients(async ({ one, other }) => {
      const key = "chain/of-a-log";
      expect(await one.registers.get(key)).toBeUndefined();
      expect(await one.registers.compareAndSet(key, 1, bytes("x"))).toBe(false);
      expect(await one.registers.get(key)).toBeUndefined();
      expect(await one.registers.compareAndSet(key, 0, bytes("x"))).toBe(true);
      expect(await shown(other, key)).toEqual({ version: 1, value: "x" });
      expect(await other.registers.compareAndSet(key, 0, bytes("y"))).toBe(false);
      expect(await other.registers.compareAndSet(key, 2, bytes("y"))).toBe(false);
      expect(await other.registers.compareAndSet(key, 1, bytes("y"))).toBe(true);
      expect(await shown(one, key)).toEqual({ version: 2, value: "y" });
      expect(await one.registers.get("chain")).toBeUndefined();
      expect(await one.registers.get("chain/of-a")).toBeUndefined();
    }));

  test("of changes that race from one version, exactly one wins", () =>
    withClients(async ({ one, other }) => {
      for (const version of [0, 1, 2]) {
        const wins = await Promise.all(
          Array.from({ length: 8 }, (_, i) =>
            (i % 2 === 0 ? one : other).registers.compareAndSet("a", version, bytes(`${i}`)),
          ),
        );
        expect(wins.filter((won) => won)).toHaveLength(1);
        expect(await shown(one, "a")).toEqual({ version: version + 1, value: `${wins.indexOf(true)}` });
      }
    }));

  test("registers are linearizable", () =>
    withClients(async ({ one, other }) => {
      for (let version = 0; version < 30; version++) {
        const [writer, reader] = version % 2 === 0 ? [one, other] : [other, one];
        expect(await writer.registers.compareAndSet("a", version, bytes(`${version}`))).toBe(true);
        expect(await shown(reader, "a")).toEqual({ version: version + 1, value: `${version}` });
      }
    }));

  test("a register may be empty, and have valueBytesMax bytes", () =>
    withClients(async ({ one, other }) => {
      const value = large(one.valueBytesMax);
      expect(await one.registers.compareAndSet("a", 0, new Uint8Array(0))).toBe(true);
      expect(await shown(other, "a")).toEqual({ version: 1, value: "" });
      expect(await one.registers.compareAndSet("a", 1, value)).toBe(true);
      expect(isEqual((await other.registers.get("a"))?.value, value)).toBe(true);
    }));
}

export function blobs(withClients: WithClients): void {
  test("a blob is absent, then what was put there last, then removed; removing is idempotent", () =>
    withClients(async ({ one, other }) => {
      expect(await one.blobs.get("a")).toBeUndefined();
      await one.blobs.remove("a");
      await one.blobs.put("a", bytes("x"));
      expect(text(await other.blobs.get("a"))).toBe("x");
      await other.blobs.put("a", bytes("longer"));
      expect(text(await one.blobs.get("a"))).toBe("longer");
      await Promise.all([one.blobs.remove("a"), other.blobs.remove("a")]);
      await one.blobs.remove("a");
      expect(await other.blobs.get("a")).toBeUndefined();
    }));

  test("blobs are whole or not at all, empty and of valueBytesMax bytes", () =>
    withClients(async ({ one, other }) => {
      const value = large(one.valueBytesMax);
      await one.blobs.put("empty", new Uint8Array(0));
      expect(text(await other.blobs.get("empty"))).toBe("");
      await one.blobs.put("large", value);
      expect(isEqual(await other.blobs.get("large"), value)).toBe(true);
      // Whoever reads beside a put sees the old value or the new one.
      const [seen] = await Promise.all([other.blobs.get("large"), one.blobs.put("large", value.toReversed())]);
      expect(isEqual(seen, value) || isEqual(seen, value.toReversed())).toBe(true);
    }));

  test("list gives the names that begin with the prefix, ascending", () =>
    withClients(async ({ one, other }) => {
      const names = ["a", "a-b", "a/1", "a/10", "a/2", "a/b/c", "ab", "b/1", "Z"];
      expect(await one.blobs.list("")).toEqual([]);
      await Promise.all(names.toReversed().map((name) => one.blobs.put(name, bytes(name))));
      for (const prefix of ["", "a", "a/", "a/1", "a/b", "a/b/c", "b", "c", "a/1/"]) {
        expect(await other.blobs.list(prefix)).toEqual(names.filter((name) => name.startsWith(prefix)).sort());
      }
      for (const name of names) expect(text(await other.blobs.get(name))).toBe(name);
      expect(await other.blobs.get("a/b")).toBeUndefined();
      await one.blobs.remove("a/1");
      expect(await other.blobs.list("a/1")).toEqual(["a/10"]);
    }));

  test("list knows many names", () =>
    withClients(async ({ one }) => {
      const names = Array.from({ length: 500 }, (_, i) => `snapshot-${i % 3}/${String(i).padStart(6, "0")}`);
      for (let i = 0; i < names.length; i += 50) {
        await Promise.all(names.slice(i, i + 50).map((name) => one.blobs.put(name, bytes("."))));
      }
      expect(await one.blobs.list("snapshot-1/")).toEqual(
        names.filter((name) => name.startsWith("snapshot-1/")).sort(),
      );
      expect(await one.blobs.list("")).toEqual(names.toSorted());
    }));
}
