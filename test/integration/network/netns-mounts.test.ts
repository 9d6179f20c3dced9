// The pod's network namespace as the daemons of networks see it: at a second place, from ADD until DEL.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SandboxId } from '../../../src/base/ids.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import {
  isNamespacePin,
  pinNamespaces,
  preparePinRoot,
  releasePinRoot,
  unpinNamespaces,
} from '../../../src/host/namespaces/namespaces.ts';
import { NetnsMounts, netnsMountPath } from '../../../src/network/netns-mounts.ts';
import { sandboxId } from '../../unit/network/fake-plugins.ts';
import { describeAsRoot, mountPointsBelow, scratchDirectory } from '../host/support.ts';

const clock = realClock();
const id = sandboxId('e');

describeAsRoot('where plugins are shown a network namespace', () => {
  const scratch = scratchDirectory('shown');
  const root = join(scratch, 'ns');
  const directory = join(scratch, 'netns');
  const options = { pin: (one: SandboxId) => join(root, one, 'net'), directory };
  const place = new NetnsMounts(options);
  const path = netnsMountPath(options, id);
  const pod = (): Promise<unknown> =>
    pinNamespaces({ directory: join(root, id), net: true, ipc: false, uts: false, sysctls: [] }, clock);

  beforeAll(() => preparePinRoot(root));
  afterAll(async () => {
    await place.unmount(id);
    await unpinNamespaces(join(root, id));
    await stopKernelThread();
    await releasePinRoot(root);
  });

  test('a shown namespace is one mount beside our pin, however often it is shown, and leaves nothing', async () => {
    expect(await place.mount(id)).toBe('');
    expect(existsSync(directory)).toBe(false);
    await pod();
    expect(await place.mount(id)).toBe(path);
    expect(await place.mount(id)).toBe(path);
    expect(mountPointsBelow(directory)).toEqual([path]);
    expect(statSync(path).ino).toBe(statSync(join(root, id, 'net')).ino);
    expect(await place.find(id)).toBe(path);
    await place.unmount(id);
    await place.unmount(id);
    expect(readdirSync(directory)).toEqual([]);
    // of a pod that was made before it was shown
    expect(await place.find(id)).toBe(join(root, id, 'net'));
  });

  test('F57: a shown namespace outlives the pin, and is gone after a reboot', async () => {
    await pod();
    await place.mount(id);
    await unpinNamespaces(join(root, id));
    expect(await place.find(id)).toBe(path);
    await place.unmount(id);
    expect(await place.find(id)).toBe('');
  });

  test('a daemon killed between file and mount leaves a file that the next daemon mounts', async () => {
    await pod();
    writeFileSync(path, '');
    expect(await place.find(id)).toBe(join(root, id, 'net'));
    expect(await place.mount(id)).toBe(path);
    expect(await isNamespacePin(path)).toBe(true);
    await place.unmount(id);
    writeFileSync(path, '');
    await place.unmount(id);
    expect(existsSync(path)).toBe(false);
  });

  test('a shown namespace propagates to a container with the directory, as our pins do not (Multus, OVN-Kubernetes)', async () => {
    await pod();
    // a shared mount as systemd makes of /run, and a service with a slave copy of it
    execFileSync('mount', ['--bind', directory, directory]);
    execFileSync('mount', ['--make-shared', directory]);
    try {
      const script = `read go; stat -f -c %T "${path}"; read go; ls "${directory}" | wc -l`;
      const service = spawn('unshare', ['--mount', '--propagation', 'slave', 'sh', '-c', script], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const lines: string[] = [];
      const line = (): Promise<string> =>
        new Promise((resolve) =>
          service.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())),
        );
      await place.mount(id);
      const seen = line();
      service.stdin.write('\n');
      lines.push(await seen);
      await place.unmount(id);
      const after = line();
      service.stdin.end('\n');
      lines.push(await after);
      expect(lines).toEqual(['nsfs', '0']);
    } finally {
      execFileSync('umount', [directory]);
    }
  });

  test('no namespace is shown without a configured directory', async () => {
    await pod();
    const none = new NetnsMounts({ ...options, directory: '' });
    expect(await none.mount(id)).toBe(join(root, id, 'net'));
    expect(await none.find(id)).toBe(join(root, id, 'net'));
    await none.unmount(id);
    expect(await isNamespacePin(join(root, id, 'net'))).toBe(true);
  });
});
