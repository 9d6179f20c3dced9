/** YAML files of the operator and of vendors' tools, read as strictly as JSON. */
import { fail } from '../../base/fault.ts';
import { nodeFileLimits } from '../../base/limits.ts';
import { Fields } from './fields.ts';
import type { JsonObject } from './strict-json.ts';

/**
 * The document's one object; an empty document has no members. `what` stands first in every message. Throws `outside`.
 * The package is loaded with the first such file: most nodes have none.
 */
export async function parseYaml(bytes: Uint8Array, what: string): Promise<Fields> {
  const { parseDocument: parse } = await import('yaml');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail('outside', `${what}: not UTF-8`);
  }
  const document = parse(text, { intAsBigInt: true, uniqueKeys: true, schema: 'core', logLevel: 'silent', prettyErrors: true });
  const [problem] = document.errors;
  if (problem !== undefined) fail('outside', `${what}: not acceptable YAML: ${problem.message.split('\n', 1)[0] ?? ''}`);
  let value: unknown;
  try {
    value = document.toJS({ mapAsMap: true, maxAliasCount: nodeFileLimits.yamlAliases });
  } catch (error) {
    return fail('outside', `${what}: not acceptable YAML: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (value === null) return new Fields(what, '', new Map());
  if (!(value instanceof Map)) return fail('outside', `${what}: the document is not an object`);
  return new Fields(what, '', textKeyed(value, what));
}

/** Keys of YAML can be anything; ours are texts. Deeper values are of the same few kinds as JSON's. */
function textKeyed(map: ReadonlyMap<unknown, unknown>, what: string): JsonObject {
  for (const key of map.keys()) if (typeof key !== 'string') fail('outside', `${what}: a key is not a text`);
  return map as JsonObject;
}
