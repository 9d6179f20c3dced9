/** JSON documents changed as documents: members renamed, doubled, moved, and values that programs trip over. */
import type { Random } from '../../sim/random.ts';

export type Value = string | number | boolean | null | Value[] | Members;
/** A list, since a document may have a key twice. */
interface Members {
  readonly members: [string, Value][];
}

/** A number, or a text that only resembles JSON, written as it is. */
class Raw {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** What a list of one item many times may come to; above the 4 MiB that a document may have, several of them in one. */
const MOST_CHARS = 1024 * 1024;
const HEX = '0123456789abcdef'.repeat(4);
const RAW = [
  '1e999',
  '-0',
  '1.0',
  '9007199254740993',
  '-1',
  '1'.repeat(400),
  '1e-400',
  '0x10',
  'NaN',
  '[',
  '{}',
  '"',
  'tru',
  '"\\ud800"',
  '"\\u0000"',
  '\uFEFF',
  '[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]',
  '2',
  '1',
  '4294967296',
];
const TEXTS = [
  '',
  '__proto__',
  'constructor',
  '../../x',
  `sha256:${HEX}`,
  `sha256:${HEX.toUpperCase()}`,
  'sha256:../../etc',
  `sha512:${HEX}${HEX}`,
  HEX,
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.oci.image.layer.v1.tar+gzip+encrypted',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  '\u0000',
  '\ud83d\ude00',
  '%s%n',
  'A=b',
  '=x',
  '/../..',
  '0:0',
  '4294967296',
  '-1',
  'layers',
];
const KEYS = [
  'schemaVersion',
  'mediaType',
  'config',
  'layers',
  'manifests',
  'fsLayers',
  'history',
  'signatures',
  'annotations',
  'digest',
  'size',
  'urls',
  'platform',
  'os',
  'architecture',
  'rootfs',
  'diff_ids',
  'type',
  'User',
  'Env',
  'Cmd',
  'Volumes',
  'Labels',
  'StopSignal',
  'WorkingDir',
  '__proto__',
  'constructor',
  'toString',
  'artifactType',
  'subject',
  'data',
  'Layers',
  'MEDIATYPE',
  'ſize',
];

/** One to five changes of the document, as text. What is no JSON comes back as it is. */
export function mutateJson(input: Buffer, random: Random): Buffer {
  let root: Value;
  try {
    root = wrapped(JSON.parse(input.toString('utf8')));
  } catch {
    return input;
  }
  for (let count = 1 + random.int(5); count > 0; count -= 1) root = change(root, random, 0) as Value;
  return Buffer.from(written(root));
}

function wrapped(value: unknown): Value {
  if (Array.isArray(value)) return value.map(wrapped);
  if (typeof value === 'object' && value !== null)
    return { members: Object.entries(value).map(([key, member]) => [key, wrapped(member)]) };
  return value as Value;
}

function written(value: unknown): string {
  if (value instanceof Raw) return value.text;
  if (Array.isArray(value)) return `[${value.map(written).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${(value as Members).members.map(([key, member]) => `${JSON.stringify(key)}:${written(member)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** Walks down to some place and changes it there. */
function change(value: unknown, random: Random, depth: number): unknown {
  const down = depth < 6 && random.chance(0.75);
  if (Array.isArray(value) && value.length > 0 && down) {
    const at = random.int(value.length);
    return value.map((item: unknown, index) => (index === at ? change(item, random, depth + 1) : item));
  }
  if (isMembers(value) && value.members.length > 0 && down) {
    const at = random.int(value.members.length);
    return {
      members: value.members.map(([key, member], index) => [
        key,
        index === at ? change(member, random, depth + 1) : member,
      ]),
    };
  }
  if (Array.isArray(value)) return changedList(value, random);
  if (isMembers(value)) return changedMembers(value, random);
  return anything(random);
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && 'members' in value;
}

function changedList(list: readonly unknown[], random: Random): unknown {
  const item: unknown = list.length === 0 ? anything(random) : list[random.int(list.length)];
  switch (random.int(5)) {
    case 0:
      return [];
    case 1:
      return [...list, item];
    case 2:
      return Array.from(
        { length: 1 + random.int(Math.min(3000, Math.floor(MOST_CHARS / (written(item).length + 1)))) },
        () => item,
      );
    case 3:
      return list.slice(1);
    default:
      return anything(random);
  }
}

function changedMembers({ members }: Members, random: Random): unknown {
  const at = random.int(Math.max(1, members.length));
  const [key, value] = members[at] ?? ['a', 'b'];
  switch (random.int(6)) {
    case 0:
      return { members: members.filter((_, index) => index !== at) };
    case 1:
      return { members: [...members, [key, random.chance(0.5) ? value : anything(random)]] };
    case 2:
      return { members: [...members, [random.pick(KEYS), anything(random)]] };
    case 3:
      return {
        members: members.map(([name, member], index) => [
          index === at ? random.pick([...KEYS, key.toUpperCase(), `${key} `]) : name,
          member,
        ]),
      };
    case 4:
      return { members: members.toReversed() };
    default:
      return anything(random);
  }
}

function anything(random: Random): unknown {
  switch (random.int(7)) {
    case 0:
      return new Raw(random.pick(RAW));
    case 1:
      return random.pick([0, 1, 2, -1, 2 ** 53 - 1, 1.5, 10 ** 12]);
    case 2:
      return random.pick([true, false, null]);
    case 3:
      return random.chance(0.95) ? random.pick(TEXTS) : 'x'.repeat(random.int(70_000));
    case 4:
      return random.pick(TEXTS);
    case 5:
      return [random.pick(TEXTS)];
    default:
      return { members: [[random.pick(KEYS), random.pick(TEXTS)]] };
  }
}
