/** The reference metadata store. Nothing survives the process. */
import type { MetadataStore } from "../loglet.ts";

export function memoryMetadataStore(): MetadataStore {
  const registers = new Map<string, { readonly version: number; readonly value: Uint8Array }>();
  return {
    get: (key) => Promise.resolve(registers.get(key)),
    compareAndSet(key, expectedVersion, value): Promise<boolean> {
      if ((registers.get(key)?.version ?? 0) !== expectedVersion) return Promise.resolve(false);
      registers.set(key, { version: expectedVersion + 1, value: value.slice() });
      return Promise.resolve(true);
    },
  };
}
