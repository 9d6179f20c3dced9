/**
 * Archives of checkpoints and their descriptions: members once and as plain files, and facts that hold. Archives lie in
 * memory.
 */
import { mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { FILES } from '../../../src/oci/documents/checkpoint-documents.ts';
import {
  readCheckpointFacts,
  descriptionsIn,
  factsOf,
} from '../../../src/oci/runtime/checkpoint/restore/describe.ts';
import { demandMachine, isCore } from '../../../src/oci/runtime/checkpoint/restore/machine-type.ts';
import { readMembers } from '../../../src/oci/runtime/checkpoint/restore/members.ts';
import { removeDeleted } from '../../../src/oci/runtime/checkpoint/restore/rootfs.ts';
import { violated } from '../target.ts';
import { archive, entry } from '../../unit/oci/layers/tar-builder.ts';
import { learnerOf, type Kind } from './kinds.ts';

const CONFIG = JSON.stringify({
  id: 'a',
  name: 'n',
  rootfsImage: 'r.example/a:1',
  rootfsImageRef: `sha256:${'a'.repeat(64)}`,
  rootfsImageName: 'r.example/a:1',
  runtime: 'runc',
});
const SPEC = JSON.stringify({
  process: { terminal: true },
  mounts: [
    { destination: '/proc', type: 'proc' },
    { destination: '/data/', type: 'bind', options: ['rbind'] },
  ],
});
const CORE = Buffer.from('19435654473805551000000008010000', 'hex');
const WHOLE = archive(
  entry({ name: FILES.config, body: CONFIG }),
  entry({ name: `./${FILES.spec}`, body: SPEC }),
  entry({ name: FILES.images, flag: '5' }),
  entry({ name: `${FILES.images}/core-1.img`, body: CORE.toString('latin1') }),
  entry({ name: `${FILES.images}/inventory.img`, body: 'x' }),
  entry({ name: FILES.rootfs, body: 'tar' }),
  entry({ name: FILES.deleted, body: '["/a/b"]' }),
  entry({ name: 'other', body: 'x' }),
);

/** Of this process alone; its root file system is empty, so that what is deleted lies nowhere else. */
const place = join(tmpdir(), `troupe-fuzz-checkpoint-${process.pid}`);
const empty = join(place, 'empty');
rmSync(place, { recursive: true, force: true });
mkdirSync(empty, { recursive: true });
process.on('exit', () => rmSync(place, { recursive: true, force: true }));
const root = openSync(empty, 'r');
const file = join(place, 'core-1.img');

/** Sums of headers, which stand at whole blocks. */
function withSums(input: Buffer): Buffer {
  const bytes = Buffer.from(input);
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const header = bytes.subarray(at, at + 512);
    if (header.toString('latin1', 257, 262) !== 'ustar') continue;
    header.fill(0x20, 148, 156);
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
      'latin1',
    );
  }
  return bytes;
}

async function members(input: Buffer): Promise<boolean> {
  writeFileSync(file, input);
  const names = new Set<string>();
  let open = 0;
  await readMembers(
    { archive: file },
    {
      isDone: false,
      document: (name) => {
        if (names.has(name) || name.includes('/')) violated(`the document ${name} again, or elsewhere`);
        names.add(name);
      },
      file: (kind, name, size) => {
        if (name.includes('/') || name === '..' || name === '.' || names.has(`${kind}/${name}`))
          violated(`the file ${name} again, or elsewhere`);
        names.add(`${kind}/${name}`);
        open += 1;
        return {
          write: (bytes, position) => {
            if (position + bytes.length > size) violated('bytes behind the end of a file');
          },
          end: () => {
            open -= 1;
          },
        };
      },
    },
  );
  if (open !== 0) violated(`${open} files have no end`);
  const facts = await readCheckpointFacts({ archive: file });
  if (
    facts.images.length === 0 ||
    facts.mounts.some((mount) => !mount.startsWith('/') || mount.split('/').includes('..'))
  )
    violated('facts that do not hold');
  return true;
}

const kinds: readonly Kind[] = [
  { name: 'archive', seeds: [WHOLE], repair: withSums, run: members },
  {
    name: 'descriptions',
    seeds: [`${CONFIG}\0${SPEC}`],
    run: (input) => {
      const [config = '', spec = ''] = input.toString('utf8').split('\0');
      const { images, mounts } = factsOf(
        descriptionsIn(
          new Map([
            [FILES.config, config],
            [FILES.spec, spec],
          ]),
        ),
      );
      if (
        images.length === 0 ||
        mounts.some((mount) => !mount.startsWith('/') || mount.split('/').includes('..'))
      )
        violated(`mounts ${mounts.join()}`);
      return true;
    },
  },
  {
    name: 'core',
    seeds: [CORE],
    run: (input) => {
      writeFileSync(file, input);
      if (!isCore('core-1.img')) violated('a core image is not known');
      demandMachine(file, 'x64');
      return true;
    },
  },
  {
    name: 'deleted',
    seeds: ['["/a/b","/c"]', '[]'],
    run: (input) => {
      removeDeleted(input.toString('utf8'), root);
      return true;
    },
  },
];

export const checkpointLearner = learnerOf(
  kinds,
  ['invalidRequest', 'exhausted', 'unsupported'],
  Object.values(FILES),
);
