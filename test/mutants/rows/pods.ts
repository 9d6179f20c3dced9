// Guards between what runs in a pod and the node's own memory, time and files.
import type { Mutant } from '../mutant.ts';

const podFiles = 'test/integration/host/sandbox-files.test.ts';

export const ofPods: readonly Mutant[] = [
  {
    row: 'S87', title: 'a pod’s hosts and resolv.conf lie in the host’s /run', file: 'src/host/sandbox-files.ts',
    find: "await writeOwnFile(join(target, basename(path)), text, 0o644);", replace: 'await writeOwnFile(path, text, 0o644);',
    test: { file: podFiles, named: 'S87: with the IPC namespace' },
  },
  {
    row: 'S87', title: 'a pod’s files may grow to any size', file: 'src/host/sandbox-files.ts',
    find: 'sizeBytes: bytes + hostLimits.sandboxFilesRoomBytes, inodes: hostLimits.sandboxFilesInodes,', replace: 'sizeBytes: bytes + 2 ** 40, inodes: hostLimits.sandboxFilesInodes,',
    test: { file: podFiles, named: 'S87: with the IPC namespace' },
  },
  {
    row: 'S87', title: '/dev/shm takes any number of inodes', file: 'src/host/sandbox-files.ts',
    find: 'sizeBytes: hostLimits.shmBytes, inodes: hostLimits.shmInodes,', replace: 'sizeBytes: hostLimits.shmBytes,',
    test: { file: podFiles, named: 'S87: inodes are bounded' },
  },
];
