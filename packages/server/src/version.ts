/** The version of this release, as package.json has it. */
import { readFileSync } from "node:fs";

interface Manifest {
  readonly version: string;
}

/** Beside `src` and `dist` alike, so it is found from source and from the build. */
const manifestUrl = new URL("../package.json", import.meta.url);

export const version: string = (JSON.parse(readFileSync(manifestUrl, "utf8")) as Manifest).version;
