/** Archives that mean harm, and good ones changed field by field: headers, PAX records, sparse maps, order. */
import type { Random } from '../../sim/random.ts';
import { archive, checksum, entry, paxBody } from '../../unit/oci/layers/tar-builder.ts';
import type { Fields } from '../../unit/oci/layers/tar-builder.ts';
import { mutateBytes } from '../mutate.ts';

/** Names that meet each other. */
const NAMES = [
  'a',
  'b',
  'a/b',
  'a/b/c',
  'b/c',
  'l',
  'l/x',
  'l/x/y',
  'm',
  'm/x',
  'm/l/x',
  'a/',
  './a',
  '/a',
  './',
  'a//b',
  'a/./b',
  'c/d/e/f/g',
  '.wh.a',
  '.wh.l',
  'a/.wh.b',
  '.wh..wh..opq',
  'a/.wh..wh..opq',
  'l/.wh..wh..opq',
  '.wh..wh.plnk/x',
  'a\nb',
  '\xff',
  'n'.repeat(99),
  'x',
];
/** Names that want out, or mean nothing: one of them refuses the layer. */
const BAD_NAMES = [
  '',
  '.',
  '/',
  '.wh.',
  '.wh..',
  '.wh...',
  'a/.wh.../x',
  '..',
  '../x',
  'a/../../x',
  '/..',
  'l/../x',
  'a\0b',
];
const FLAGS = ['0', '0', '0', '\0', '1', '2', '2', '3', '4', '5', '5', '5', '6', '7'];
const ODD_FLAGS = ['1', '1', 'S', 'L', 'K', 'x', 'g', 'V', 'D', 'Z', '\xff'];
const NUMBERS = [
  '00000000000\0',
  '77777777777\0',
  '-1\0',
  '           ',
  '\0\0\0\0\0\0\0\0',
  '9999999\0',
  '1 2',
  '0x10',
  '\x80\0\0\0\0\0\0\0\0\0\x10\0',
  '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff',
  '\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff',
  '20000000000\0',
];
/** Offset and length of the fields that hold numbers. */
const NUMBER_FIELDS: readonly (readonly [number, number])[] = [
  [100, 8],
  [108, 8],
  [116, 8],
  [124, 12],
  [136, 12],
  [148, 8],
  [329, 8],
  [337, 8],
  [386, 12],
  [398, 12],
  [483, 12],
];
const PAX_KEYS = [
  'path',
  'linkpath',
  'size',
  'uid',
  'gid',
  'mtime',
  'atime',
  'GNU.sparse.major',
  'GNU.sparse.minor',
  'GNU.sparse.name',
  'GNU.sparse.realsize',
  'GNU.sparse.size',
  'GNU.sparse.numblocks',
  'GNU.sparse.offset',
  'GNU.sparse.numbytes',
  'GNU.sparse.map',
  'SCHILY.xattr.user.a',
  'SCHILY.xattr.security.capability',
  'SCHILY.xattr.trusted.overlay.redirect',
  'SCHILY.xattr.trusted.overlay.opaque',
  'SCHILY.xattr.system.posix_acl_access',
  'SCHILY.xattr.user.overlay.opaque',
  'SCHILY.xattr.user.fuseoverlayfs.override_stat',
  'SCHILY.xattr.user.containers.override_stat',
  'SCHILY.xattr.',
  '__proto__',
  'constructor',
];
const PAX_VALUES = [
  '',
  '0',
  '1',
  '-1',
  '512',
  '1024',
  '4294967295',
  '4294967296',
  '9007199254740993',
  '18446744073709551615',
  '1.5',
  '-1.5',
  '1e9',
  '0,512',
  '0,512,1024,512',
  '512,0,0,512',
  '1,2,3',
  ',',
  'x'.repeat(300),
  '\0',
  '0x10',
  ' 1',
  '99999999999999',
];

const PAX_NUMBERS = ['0', '1', '2', '7', '512', '1024', '65536'];

export interface Outside {
  /** Absolute paths of directories and files that must not change. */
  readonly canaries: readonly string[];
}

const climb = '../'.repeat(14);

function linkTargets({ canaries }: Outside): readonly string[] {
  return [
    ...canaries,
    ...canaries.map((path) => `${climb}${path.slice(1)}`),
    'a',
    'b',
    'a/b',
    'l',
    'm',
    '.',
    '..',
    '/',
    '/a',
    'l/x',
    '../l',
    '',
    'missing',
    'n'.repeat(255),
  ];
}

/** An archive of a few entries that use each other's names. */
export function hostileArchive(random: Random, outside: Outside): Buffer {
  const parts: Buffer[] = [];
  for (let count = 1 + random.int(12); count > 0; count -= 1) parts.push(hostileEntry(random, outside));
  return random.chance(0.9) ? archive(...parts) : Buffer.concat(parts);
}

function hostileEntry(random: Random, outside: Outside): Buffer {
  const flag = random.chance(0.93) ? random.pick(FLAGS) : random.pick(ODD_FLAGS);
  const name = random.chance(0.95)
    ? random.pick(NAMES)
    : random.pick([...BAD_NAMES, ...linkTargets(outside)]);
  const body = bodyFor(flag, random, outside);
  const fields: Fields = {
    name,
    flag,
    mode: random.pick([0o644, 0o755, 0o4777, 0o1777, 0o000, 0o7777]),
    uid: random.pick([0, 7, 2_000_000]),
    gid: random.pick([0, 7, 2_000_000]),
    mtime: random.int(2 ** 31),
    linkName: random.pick(linkTargets(outside)).slice(0, 100),
    major: random.pick([0, 1, 8, 259]),
    minor: random.pick([0, 3, 1_048_575]),
    body,
    ...(random.chance(0.02) ? { size: random.pick([0, 1, 511, 513, 2 ** 30]) } : {}),
    ...(random.chance(0.05) ? { prefix: random.pick(['a', '..', '/', 'l']) } : {}),
    patch: (header) => {
      if (random.chance(0.03)) patchNumber(header, random);
      if (random.chance(0.03))
        header.write(random.pick(['ustar  \0', 'ustar\0xx', '\0\0\0\0\0\0\0\0']), 257, 8, 'latin1');
      if (flag === 'S') patchSparse(header, random);
    },
  };
  const one = entry(fields);
  return random.chance(0.12) ? Buffer.concat([paxPart(random, outside), one]) : one;
}

function bodyFor(flag: string, random: Random, outside: Outside): Buffer {
  if (flag === 'L' || flag === 'K')
    return Buffer.from(
      `${random.chance(0.5) ? random.pick(NAMES) : random.pick(linkTargets(outside))}\0`,
      'latin1',
    );
  if (flag === 'x' || flag === 'g') return paxRecords(random, outside);
  return flag === '0' || flag === '\0' || flag === '7' || flag === 'S'
    ? Buffer.alloc(random.pick([0, 1, 511, 512, 513, 1024, 3000]), random.pick(['0', '\n', '1', 'x']))
    : Buffer.alloc(0);
}

function paxRecords(random: Random, outside: Outside): Buffer {
  const records = Array.from({ length: 1 + random.int(5) }, (): [string, string] => {
    const key = random.pick(PAX_KEYS);
    if (!key.endsWith('path') && key !== 'GNU.sparse.name')
      return [key, random.chance(0.8) ? random.pick(PAX_NUMBERS) : random.pick(PAX_VALUES)];
    return [key, random.chance(0.7) ? random.pick(NAMES) : random.pick(linkTargets(outside))];
  });
  const body = paxBody(records);
  return random.chance(0.1) ? mutateBytes(body, random) : body;
}

function paxPart(random: Random, outside: Outside): Buffer {
  return entry({
    name: 'PaxHeaders/x',
    flag: random.chance(0.95) ? 'x' : 'g',
    body: paxRecords(random, outside),
  });
}

function patchNumber(header: Buffer, random: Random): void {
  const [offset, length] = random.pick(NUMBER_FIELDS);
  header.fill(0, offset, offset + length);
  header.write(random.pick(NUMBERS), offset, length, 'latin1');
}

function patchSparse(header: Buffer, random: Random): void {
  header.fill(0, 386, 512);
  for (let at = 0; at < random.int(5); at += 1)
    header.write(random.pick(NUMBERS), 386 + at * 12, 12, 'latin1');
  header[482] = random.int(2);
  header.write(random.pick(NUMBERS), 483, 12, 'latin1');
}

interface Unit {
  readonly header: Buffer;
  readonly body: Buffer;
}

/** Headers with their bodies, as far as the sizes can be believed. */
function unitsOf(tar: Buffer): Unit[] {
  const units: Unit[] = [];
  for (let at = 0; at + 512 <= tar.length;) {
    const header = Buffer.from(tar.subarray(at, at + 512));
    const size = Number.parseInt(header.toString('latin1', 124, 135).trim(), 8);
    const padded = Number.isSafeInteger(size) && size > 0 ? Math.ceil(size / 512) * 512 : 0;
    const body = tar.subarray(at + 512, at + 512 + padded);
    units.push({ header, body });
    at += 512 + body.length + (body.length % 512 === 0 ? 0 : 512);
  }
  return units;
}

/** A good archive with some of its parts changed; most checksums are made right again. */
export function changedArchive(tar: Buffer, random: Random, outside: Outside): Buffer {
  const units = unitsOf(tar);
  for (let count = 1 + random.int(6); count > 0 && units.length > 0; count -= 1) {
    const at = random.int(units.length);
    const unit = units[at] ?? { header: Buffer.alloc(512), body: Buffer.alloc(0) };
    switch (random.int(8)) {
      case 0:
        units.splice(at, 1);
        break;
      case 1:
        units.splice(random.int(units.length), 0, unit);
        break;
      case 2:
        units.splice(at, 0, { header: hostileEntry(random, outside), body: Buffer.alloc(0) });
        break;
      case 3:
        units[at] = { header: unit.header, body: mutateBytes(unit.body, random) };
        break;
      case 4:
        units[at] = {
          header: unit.header,
          body: Buffer.concat([unit.body, Buffer.alloc(random.pick([1, 511, 512, 5120]))]),
        };
        break;
      default:
        units[at] = { header: changedHeader(unit.header, random, outside), body: unit.body };
    }
  }
  return Buffer.concat(units.flatMap(({ header, body }) => [header, body]));
}

function changedHeader(original: Buffer, random: Random, outside: Outside): Buffer {
  const header = Buffer.from(original);
  switch (random.int(6)) {
    case 0:
      header
        .fill(0, 0, 100)
        .write(random.pick([...NAMES, ...BAD_NAMES, ...linkTargets(outside)]), 0, 100, 'latin1');
      break;
    case 1:
      header.fill(0, 157, 257).write(random.pick(linkTargets(outside)), 157, 100, 'latin1');
      break;
    case 2:
      header.write(random.pick([...FLAGS, ...ODD_FLAGS]), 156, 1, 'latin1');
      break;
    case 3:
      patchNumber(header, random);
      break;
    case 4:
      header[random.int(512)] = random.int(256);
      break;
    default:
      header.write(random.pick(['ustar  \0', 'ustar\x0000', '\0\0\0\0\0\0\0\0']), 257, 8, 'latin1');
  }
  if (random.chance(0.93)) checksum(header);
  return header;
}
