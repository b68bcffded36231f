/** The lock of the data directory outlives the store's own: the store is closed and opened again after a full disk. */
import path from "node:path";
import { expect, test } from "vitest";
import { holdDataDirectory } from "../src/data-directory.ts";
import { temporaryDirectory } from "./temporary.ts";

const root = temporaryDirectory();

test("the directory stays held while the store is closed, and is free after release", async () => {
  const directory = path.join(root, "held");
  const first = await holdDataDirectory(directory);
  await first.store.close();
  await expect(holdDataDirectory(directory)).rejects.toMatchObject({ code: "DATA_DIRECTORY_IN_USE" });
  await first.release();
  const second = await holdDataDirectory(directory);
  await second.release();
});
