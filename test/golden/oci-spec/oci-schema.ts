// The specification's own JSON schema of config.json, out of its Go module: nothing of it is kept here.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { goModuleDirectory } from '../../support/tools/go.ts';

const MODULE = 'github.com/opencontainers/runtime-spec';
const VERSION = 'v1.3.0';

/** What a parsed config.json violates of the OCI runtime specification's schema; none for a good one. */
export async function ociSchema(): Promise<(document: unknown) => readonly string[]> {
  const directory = join(await goModuleDirectory(MODULE, VERSION), 'schema');
  // draft 04 says `exclusiveMinimum` and `id` otherwise than later ones, and these files use neither
  const ajv = new Ajv({ strict: false, allErrors: true });
  for (const name of readdirSync(directory).filter((file) => /^(?:config|defs)\b.*\.json$/u.test(file))) {
    // one reference of 1.3.0 lacks its slash
    const text = readFileSync(join(directory, name), 'utf8').replaceAll('"#definitions/', '"#/definitions/');
    const { $schema: _draft, ...schema } = JSON.parse(text) as Record<string, unknown>;
    ajv.addSchema(schema, name);
  }
  const validate = ajv.getSchema('config-schema.json');
  if (validate === undefined) throw new Error(`${MODULE} ${VERSION} has no config-schema.json`);
  return (document) =>
    validate(document) === true
      ? []
      : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message}`);
}
