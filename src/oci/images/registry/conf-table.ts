/** Reads tables of a TOML file key by key. Every error names the line. */
import { fail, FaultError } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { lineOfKey, type TomlPath } from './toml-lines.ts';

/** One table with its path in the file, for messages. */
export class ConfTable {
  readonly #text: string;
  readonly #file: string;
  readonly #path: TomlPath;
  readonly #members: ReadonlyMap<string, unknown>;
  /** Problems of the whole file, in the order in which they were found. */
  readonly #problems: string[];

  constructor(text: string, file: string, path: TomlPath, value: object, problems: string[]) {
    this.#text = text;
    this.#file = file;
    this.#path = path;
    this.#members = new Map(Object.entries(value));
    this.#problems = problems;
  }

  /** Runs `work`. If it refuses something, records the problem and returns the reason with the file's path. */
  attempt<T>(work: () => T): { readonly value: T } | { readonly refusal: string } {
    try {
      return { value: work() };
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      this.#problems.push(error.fault.message);
      return { refusal: `${this.#file}: ${error.fault.message}` };
    }
  }

  refuse(key: string, reason: string): never {
    return fail('invalidRequest', `${this.#lineOf(key)}: ${key}: ${reason}`, { subject: this.#file });
  }

  #lineOf(key: string): string {
    return `line ${lineOfKey(this.#text, [...this.#path, key])}`;
  }

  names(): readonly string[] {
    return [...this.#members.keys()];
  }

  has(key: string): boolean {
    return this.#members.has(key);
  }

  /** Reports unknown keys, such as those of newer versions or other programs. They have no effect. */
  ignoreOthers(known: readonly string[]): void {
    for (const key of this.#members.keys()) {
      if (known.includes(key) || this.#problems.length >= distributionLimits.confProblems) continue;
      this.#problems.push(`${this.#lineOf(key)}: unknown key "${key}"`);
    }
  }

  text(key: string): string | undefined {
    const value = this.#members.get(key);
    if (value !== undefined && typeof value !== 'string') this.refuse(key, 'is not a string');
    return value;
  }

  flag(key: string): boolean {
    const value = this.#members.get(key) ?? false;
    if (typeof value !== 'boolean') this.refuse(key, 'is neither true nor false');
    return value;
  }

  word(key: string, allowed: readonly string[]): string | undefined {
    const value = this.text(key);
    // containers-registries.conf(5): an empty value means the default
    if (value === undefined || value === '') return undefined;
    if (!allowed.includes(value)) this.refuse(key, `${value} is not one of ${allowed.join(', ')}`);
    return value;
  }

  texts(key: string): readonly string[] | undefined {
    const value = this.#members.get(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) this.refuse(key, 'is not a list');
    if (value.length > distributionLimits.mirrors)
      this.refuse(key, `has more than ${distributionLimits.mirrors} entries`);
    return value.map((item: unknown) =>
      typeof item === 'string' ? item : this.refuse(key, 'is not a list of strings'),
    );
  }

  table(key: string): ConfTable | undefined {
    const value = this.#members.get(key);
    if (value === undefined) return undefined;
    return this.#child([key], key, value);
  }

  tables(key: string, max: number): readonly ConfTable[] {
    const value = this.#members.get(key);
    if (value === undefined) return [];
    if (!Array.isArray(value)) this.refuse(key, `is not a list of tables: write [[${key}]]`);
    if (value.length > max) this.refuse(key, `has ${value.length} tables, more than the ${max} allowed`);
    return value.map((item: unknown, index) => this.#child([key, index], key, item));
  }

  #child(path: TomlPath, key: string, value: unknown): ConfTable {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      this.refuse(key, 'is not a table');
    return new ConfTable(this.#text, this.#file, [...this.#path, ...path], value, this.#problems);
  }
}
