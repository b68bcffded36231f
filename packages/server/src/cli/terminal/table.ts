/** Tables for people: aligned columns, numbers to the right, no frame. */
import { stripVTControlCharacters } from "node:util";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Longer cells are cut in the middle: both ends of a path tell more than one. */
const cellCharactersMax = 72;

export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => shorten(printable(cell))));
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...cells.map((row) => (row[index] ?? "").length)),
  );
  const line = (row: readonly string[]): string =>
    columns
      .map((column, index) => {
        const cell = row[index] ?? "";
        const width = widths[index] ?? 0;
        return column.align === "right" ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  const titles = columns.map((column) => column.title);
  const rule = widths.map((width) => "-".repeat(width));
  return [titles, rule, ...cells].map(line).join("\n");
}

/** `name  value` lines. */
export function formatPairs(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}`).join("\n");
}

/** Counter names come from anywhere: none may move the cursor of who looks at them. */
function printable(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}

function shorten(text: string): string {
  if (text.length <= cellCharactersMax) return text;
  const half = Math.floor((cellCharactersMax - 1) / 2);
  return `${text.slice(0, half)}…${text.slice(-half)}`;
}

/** 1234567 → "1,234,567": the same on every machine, whatever its language. */
export function formatCount(value: number | bigint): string {
  return value.toString().replaceAll(/\B(?=(\d{3})+(?!\d))/g, ",");
}
