// A bill of materials as a consumer reads it: the form of CycloneDX 1.6 (ECMA-424), of the fields that ours has. Its
// published schema names some hundred more, and is no package's file that we have.
import { Ajv2020 } from 'ajv/dist/2020.js';

export interface Part {
  readonly 'bom-ref': string;
  readonly name: string;
  readonly group?: string;
  readonly version: string;
  readonly purl?: string;
  readonly licenses?: readonly (
    | { readonly expression: string }
    | { readonly license: { readonly id: string } }
  )[];
  readonly components?: readonly Part[];
}
export interface Bill {
  readonly metadata: { readonly timestamp: string; readonly component: Part };
  readonly components: readonly Part[];
  readonly serialNumber: string;
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** What CycloneDX 1.6 asks of the parts that a bill of ours has. */
const NAMED = {
  type: 'object',
  required: ['type', 'name', 'version', 'bom-ref'],
  additionalProperties: false,
  properties: {
    type: { enum: ['application', 'library'] },
    'bom-ref': { type: 'string', minLength: 1 },
    group: { type: 'string', minLength: 1 },
    name: { type: 'string', minLength: 1 },
    version: { type: 'string', minLength: 1 },
    description: { type: 'string' },
    purl: { type: 'string', pattern: '^pkg:[a-z]+/[^ @]+@[^ @]+$' },
    licenses: {
      type: 'array',
      minItems: 1,
      items: {
        oneOf: [
          {
            type: 'object',
            required: ['expression'],
            additionalProperties: false,
            properties: { expression: { type: 'string' } },
          },
          {
            type: 'object',
            required: ['license'],
            additionalProperties: false,
            properties: {
              license: {
                type: 'object',
                required: ['id'],
                additionalProperties: false,
                properties: { id: { type: 'string', pattern: '^[A-Za-z0-9.+-]+$' } },
              },
            },
          },
        ],
      },
    },
    hashes: {
      type: 'array',
      items: {
        type: 'object',
        required: ['alg', 'content'],
        additionalProperties: false,
        properties: { alg: { const: 'SHA-512' }, content: { type: 'string', pattern: '^[0-9a-f]{128}$' } },
      },
    },
    components: { type: 'array', items: { $ref: '#/$defs/named' } },
  },
} as const;
const BILL = {
  type: 'object',
  required: ['bomFormat', 'specVersion', 'serialNumber', 'version', 'metadata', 'components', 'dependencies'],
  additionalProperties: false,
  $defs: { named: NAMED },
  properties: {
    bomFormat: { const: 'CycloneDX' },
    specVersion: { const: '1.6' },
    serialNumber: {
      type: 'string',
      pattern: '^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
    },
    version: { type: 'integer', minimum: 1 },
    metadata: {
      type: 'object',
      required: ['timestamp', 'component'],
      additionalProperties: false,
      properties: {
        timestamp: { type: 'string', pattern: String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$` },
        component: { $ref: '#/$defs/named' },
      },
    },
    components: { type: 'array', items: { $ref: '#/$defs/named' } },
    dependencies: {
      type: 'array',
      items: {
        type: 'object',
        required: ['ref', 'dependsOn'],
        additionalProperties: false,
        properties: { ref: { type: 'string' }, dependsOn: { type: 'array', items: { type: 'string' } } },
      },
    },
  },
} as const;

/** What is wrong with the document, e.g. `/components/3 must have required property 'version'`. */
export function cycloneDxProblems(document: unknown): readonly string[] {
  const ajv = new Ajv2020({ allErrors: true, strict: false });
  if (!ajv.validate(BILL, document))
    return (ajv.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message ?? ''}`);
  const { metadata, components, dependencies } = document as Bill;
  const references = [metadata.component, ...components]
    .flatMap((part) => [part, ...(part.components ?? [])])
    .map((part) => part['bom-ref']);
  const twice = references.filter((ref, at) => references.indexOf(ref) !== at);
  const asked = dependencies.flatMap(({ ref, dependsOn }) => [ref, ...dependsOn]);
  return [
    ...twice.map((ref) => `${ref} is the reference of several parts`),
    ...asked.filter((ref) => !references.includes(ref)).map((ref) => `${ref} is of no part`),
  ];
}

/** As npm names it. */
export const npmNameOf = ({ group, name }: Part): string => (group === undefined ? name : `${group}/${name}`);

/** The SPDX id or expression. */
export const licenseOf = ({ licenses = [] }: Part): string =>
  licenses.map((one) => ('expression' in one ? one.expression : one.license.id)).join(' AND ');
