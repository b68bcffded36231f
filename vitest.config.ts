/** Tests run on the TypeScript sources of every package (export condition `@quipu/source`). */
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["@quipu/source"] },
  ssr: { resolve: { conditions: ["@quipu/source"] } },
  test: {
    include: ["packages/*/test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    // The default leaves one core to others: on two cores everything would run one after another.
    maxWorkers: "100%",
  },
});
