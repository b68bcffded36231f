/** Options and output that client commands share: which server; a table for people or JSON for scripts. */
import { Option } from "commander";
import { defaultEndpoint } from "./endpoint.ts";

export const outputForms = ["table", "json"] as const;
export type OutputForm = (typeof outputForms)[number];

export function outputOption(): Option {
  return new Option("--output <FORM>", "table for people, json for scripts").choices(outputForms).default("table");
}

export function endpointOption(description: string): Option {
  return new Option("--endpoint <URL>", description).env("QUIPU_ENDPOINT").default(defaultEndpoint);
}

export function printResult(form: OutputForm, document: unknown, table: () => string): void {
  process.stdout.write(`${form === "json" ? JSON.stringify(document, null, 2) : table()}\n`);
}
