// `sudo npm run node-e2e [-- --focus RE --skip RE --files NAMES --gates NAMES --procs N --minutes N --report FILE
// --keep]`: Kubernetes' own node e2e suite with a kubelet on an instance of its own. This part builds the programs,
// which takes very long once and needs the network; the rest runs in private mount and network namespaces: the suite's
// kubelet has fixed directories, ports and an unprotected API, and what it leaves goes with them.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { keepHost } from '../kubelet/host.ts';
import { keepDirectories, mountNamespace, OUTER_MOUNTS } from './places.ts';
import { buildPrograms } from './programs.ts';

/** Runs node.ts in namespaces of its own and answers its exit code. */
async function inNamespaces(args: readonly string[]): Promise<number> {
  const child = spawn(
    'unshare',
    [
      '--mount',
      '--net',
      '--propagation',
      'private',
      process.execPath,
      join(import.meta.dirname, 'node.ts'),
      ...args,
    ],
    {
      stdio: 'inherit',
      env: { ...process.env, [OUTER_MOUNTS]: mountNamespace() },
    },
  );
  // A terminal sends its interrupt to both; a supervisor's SIGTERM comes to this process only.
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGINT', () => undefined);
  return await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

async function main(): Promise<void> {
  await buildPrograms();
  const restoreHost = keepHost();
  const restoreDirectories = keepDirectories();
  try {
    process.exitCode = await inNamespaces(process.argv.slice(2));
  } finally {
    restoreDirectories();
    const changed = restoreHost();
    if (changed.length > 0) console.log(`sysctls put back: ${changed.join(', ')}`);
  }
}

if (process.getuid?.() === 0) await main();
else {
  console.error('A kubelet makes pods, so it needs root: sudo npm run node-e2e');
  process.exitCode = 1;
}
