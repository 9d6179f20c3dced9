/** Reads YAML files of the operator and of vendors' tools, as strictly as JSON. */
import { fail } from '../../base/fault.ts';
import { imageLimits, nodeFileLimits } from '../bounds.ts';
import { Fields } from './fields.ts';
import type { JsonObject } from './strict-json.ts';

/**
 * Parses a YAML document that is one object; an empty document has no members. `what` begins every message. Throws
 * `outside`. The package is loaded with the first such file, since most nodes have none.
 */
export async function parseYaml(bytes: Uint8Array, what: string): Promise<Fields> {
  const { parseDocument: parse } = await import('yaml');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail('outside', `${what}: not UTF-8`);
  }
  const document = parse(text, {
    intAsBigInt: true,
    uniqueKeys: true,
    schema: 'core',
    logLevel: 'silent',
    prettyErrors: true,
  });
  const [problem] = document.errors;
  if (problem !== undefined) fail('outside', `${what}: not acceptable YAML: ${reasonIn(problem.message)}`);
  let value: unknown;
  try {
    value = document.toJS({ mapAsMap: true, maxAliasCount: nodeFileLimits.yamlAliases });
  } catch (error) {
    return fail(
      'outside',
      `${what}: not acceptable YAML: ${reasonIn(error instanceof Error ? error.message : String(error))}`,
    );
  }
  if (value === null) return new Fields(what, '', new Map());
  if (!(value instanceof Map)) return fail('outside', `${what}: the document is not an object`);
  demandTextKeys(value, what, 0);
  return new Fields(what, '', value as JsonObject);
}

/** The package's reason. It parses recursively, so for a document that is too deep the reason is the engine's. */
function reasonIn(message: string): string {
  const [first = ''] = message.split('\n', 1);
  return first.startsWith('Maximum call stack') ? 'it is nested too deeply' : first;
}

/**
 * Refuses keys that are not strings, at any depth: in YAML a key can be anything. Values are of the same kinds as in
 * JSON, and no deeper.
 */
function demandTextKeys(value: unknown, what: string, depth: number): void {
  if (depth > imageLimits.jsonDepth) fail('outside', `${what}: not acceptable YAML: it is nested too deeply`);
  if (Array.isArray(value)) for (const item of value) demandTextKeys(item, what, depth + 1);
  if (!(value instanceof Map)) return;
  for (const [key, member] of value) {
    if (typeof key !== 'string') fail('outside', `${what}: a key is not a string`);
    demandTextKeys(member, what, depth + 1);
  }
}
