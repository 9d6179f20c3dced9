/**
 * Reads the descriptor of a .proto file (google/protobuf/descriptor.proto) from the bytes in generated code, for the
 * bundle (scripts/support/lighter-libraries.ts). The protobuf library reads it by reflection, whose own descriptors it
 * has to build first. Here the fields of a message are read when the message is first used, and a start uses few.
 *
 * The result is what the library's registry expects of a `FileDescriptorProto`. Editions are not read.
 */

/** Wire type of what has a length; all else in a descriptor is a varint. */
const BYTES = 2;

/** What a field of a descriptor holds. */
type Kind = 'text' | 'number' | 'flag' | Shape;
type Field = readonly [name: string, kind: Kind];

interface Shape {
  /** By field number; a message holds messages, which are added below. */
  readonly fields: Record<number, Field>;
  /** Names of the fields that are lists. */
  readonly lists: readonly string[];
  /** Values of fields that are not set, as the prototype: the library asks for own properties where it matters. */
  readonly unset: object;
}

type Part = Record<string, unknown>;

/** All options begin with `deprecated`; of the others only what the library asks for. */
const options = (at: number, others: Readonly<Record<number, Field>> = {}): Field => [
  'options',
  { fields: { [at]: ['deprecated', 'flag'], ...others }, lists: [], unset: { deprecated: false } },
];
const shape = (fields: Record<number, Field>, lists: readonly string[] = [], unset: object = {}): Shape => ({
  fields: { 1: ['name', 'text'], ...fields },
  lists,
  unset,
});

const enumValue = shape({ 2: ['number', 'number'], 3: options(1) }, [], { number: 0 });
const enumType = shape({ 2: ['value', enumValue], 3: options(3) }, ['value']);
const method = shape(
  {
    2: ['inputType', 'text'],
    3: ['outputType', 'text'],
    4: options(33, { 34: ['idempotencyLevel', 'number'] }),
    5: ['clientStreaming', 'flag'],
    6: ['serverStreaming', 'flag'],
  },
  [],
  { clientStreaming: false, serverStreaming: false },
);
const field = shape(
  {
    2: ['extendee', 'text'],
    3: ['number', 'number'],
    4: ['label', 'number'],
    5: ['type', 'number'],
    6: ['typeName', 'text'],
    7: ['defaultValue', 'text'],
    8: options(3, { 2: ['packed', 'flag'], 6: ['jstype', 'number'] }),
    9: ['oneofIndex', 'number'],
    10: ['jsonName', 'text'],
    17: ['proto3Optional', 'flag'],
  },
  [],
  { extendee: '', typeName: '', defaultValue: '', oneofIndex: 0, proto3Optional: false },
);
const message = shape(
  {
    2: ['field', field],
    4: ['enumType', enumType],
    6: ['extension', field],
    7: options(3, { 7: ['mapEntry', 'flag'] }),
    8: ['oneofDecl', shape({})],
  },
  ['field', 'nestedType', 'enumType', 'extension', 'oneofDecl'],
);
message.fields[3] = ['nestedType', message];
const file = shape(
  {
    2: ['package', 'text'],
    4: ['messageType', message],
    5: ['enumType', enumType],
    6: ['service', shape({ 2: ['method', method], 3: options(33) }, ['method'])],
    7: ['extension', field],
    8: options(23),
    12: ['syntax', 'text'],
  },
  ['messageType', 'enumType', 'service', 'extension'],
  { package: '', syntax: '' },
);

type Naming = (name: string) => string;

/** The descriptor of a file that imports `dependency`; `jsonNameOf` makes the JSON names that are not in it. */
export function readProtoFile(bytes: Buffer, dependency: readonly string[], jsonNameOf: Naming): object {
  return Object.assign(partOf(file, bytes, 0, bytes.length, jsonNameOf), {
    $typeName: 'google.protobuf.FileDescriptorProto',
    dependency,
  });
}

/** The message in a range of the bytes. */
function partOf(
  { fields, lists, unset }: Shape,
  bytes: Buffer,
  from: number,
  to: number,
  jsonNameOf: Naming,
): Part {
  const part = Object.create(unset) as Part;
  for (const list of lists) part[list] = [];
  const later: number[] = [];
  let at = from;
  // numbers of a descriptor have at most 32 bits
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < to) {
    const tag = varint();
    const [name, kind] = fields[tag >>> 3] ?? ['', 'number'];
    const value = varint();
    if ((tag & 7) !== BYTES) {
      part[name] = kind === 'flag' ? value !== 0 : value;
      continue;
    }
    const start = at;
    at += value;
    if (kind === field && name === 'field') later.push(start, at);
    else if (kind === 'text') part[name] = bytes.toString('utf8', start, at);
    else if (typeof kind === 'object') {
      const read = partOf(kind, bytes, start, at, jsonNameOf);
      const list = part[name];
      if (Array.isArray(list)) list.push(read);
      else part[name] = read;
    }
  }
  if (later.length > 0) readLater(part, bytes, later, jsonNameOf);
  return part;
}

/** Reads the fields of a message, given by their ranges, when they are asked for. */
function readLater(part: Part, bytes: Buffer, ranges: readonly number[], jsonNameOf: Naming): void {
  let made: Part[] | undefined;
  const make = (): Part[] => {
    const all: Part[] = [];
    for (let index = 0; index < ranges.length; index += 2) {
      const one = partOf(field, bytes, ranges[index] ?? 0, ranges[index + 1] ?? 0, jsonNameOf);
      one['jsonName'] ??= jsonNameOf(String(one['name']));
      all.push(one);
    }
    return all;
  };
  Object.defineProperty(part, 'field', { get: () => (made ??= make()) });
}
