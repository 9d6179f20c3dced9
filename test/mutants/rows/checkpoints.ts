// Guards against archives of checkpoints, of which every byte is somebody else's.
import type { Mutant } from '../mutant.ts';

const requests = 'test/unit/cri/checkpoint.test.ts';
const archives = 'test/integration/checkpoint/import.test.ts';

export const ofCheckpoints: readonly Mutant[] = [
  {
    row: 'S08',
    title: 'a mount that the request does not bring is left out',
    file: 'src/cri/validate/restore.ts',
    find: 'if (missing.length > 0) {',
    replace: 'if (missing.length > facts.mounts.length) {',
    test: { file: requests, named: 'S08: mounts of the checkpoint' },
  },
  {
    row: 'S08',
    title: 'another archive than the one that was checked is restored',
    file: 'src/oci/runtime/checkpoint/restore/import.ts',
    find: 'if (digestOf(descriptionsIn(intake.texts)) !== digest)',
    replace: "if (digest === '')",
    test: { file: archives, named: 'S08: an archive replaced' },
  },
  {
    row: 'S08',
    title: 'links in an image are followed',
    file: 'src/oci/runtime/checkpoint/restore/members.ts',
    find: "return openBeneath(root, name, flags, 0, 'noLinks');",
    replace: 'return openSync(`/proc/self/fd/${root}/${name}`, flags);',
    test: { file: archives, named: 'S08: a link, a device' },
  },
  {
    row: 'S08',
    title: 'a link stands for a file of CRIU’s',
    file: 'src/oci/runtime/checkpoint/restore/members.ts',
    find: 'if (kind !== undefined && !isFile) refuseArchive(',
    replace: "if (kind !== undefined && name === '') refuseArchive(",
    test: { file: archives, named: 'S08: a link, a device' },
  },
  {
    row: 'S30',
    title: 'an image is named by its own annotations',
    file: 'src/oci/images/driver.ts',
    find: "const repoTag = reference.digest === undefined ? formatReference(reference) : '';",
    replace:
      "const repoTag = manifest.annotations['org.opencontainers.image.ref.name'] ?? formatReference(reference);",
    test: { file: 'test/integration/daemon/restore.test.ts', named: 'S30: CreateContainer from an image' },
  },
  {
    row: 'F22',
    title: 'a checkpoint is begun on a full disk',
    file: 'src/oci/runtime/checkpoint/space.ts',
    find: '  await demandSpaceOf(watch);\n  const [full, ended]',
    replace: '  const [full, ended]',
    test: {
      file: 'test/unit/oci/runtime/checkpoint/given-up.test.ts',
      named: 'F22 for the space.*on a disk that is too full',
    },
  },
];
