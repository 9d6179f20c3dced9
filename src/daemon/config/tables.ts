/** Tables of the configuration as values: the form in which TOML gives them. Pure. */
import { SecretUrl } from '../../base/secret-url.ts';

export type ConfigTable = Record<string, unknown>;

/** Whether the value is a table, and not a list, a date or a hidden URL. */
export function isTable(value: unknown): value is ConfigTable {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof SecretUrl)
  );
}

/** The base with the keys of the other table, which merge key by key where both are tables. */
export function merge(base: ConfigTable, over: ConfigTable): ConfigTable {
  const merged: ConfigTable = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = merged[key];
    merged[key] = isTable(value) && isTable(old) ? merge(old, value) : value;
  }
  return merged;
}

/** The value at a path; undefined where nothing is. */
export function valueAt(table: ConfigTable, [first = '', ...others]: readonly string[]): unknown {
  const value = Object.hasOwn(table, first) ? table[first] : undefined;
  if (others.length === 0) return value;
  return isTable(value) ? valueAt(value, others) : undefined;
}

/** The table without the key at a path, or with another value there. */
export function withValueAt(
  table: ConfigTable,
  [first = '', ...others]: readonly string[],
  value: unknown,
): ConfigTable {
  const { [first]: before, ...rest } = table;
  if (others.length === 0) return value === undefined ? rest : { ...table, [first]: value };
  return isTable(before) ? { ...table, [first]: withValueAt(before, others, value) } : table;
}
