// a directory of a container is not deleted through a mount
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { recogniseMemory } from '../../../src/host/files/state-files.ts';
import { mountBind, unmount } from '../../../src/host/mounts/mounts.ts';
import { removeUnmountedTree } from '../../../src/oci/runtime/container/destroy.ts';
import { unless } from '../../support/skips/unless.ts';
import { missing } from './support.ts';

unless(describe, missing())('the directory of a container', () => {
  for (const base of [tmpdir(), '/dev/shm']) {
    for (const kind of ['a directory', 'a file', 'the directory itself'] as const) {
      it(`in ${base} with ${kind} mounted is kept with the mount's data, and deleted afterwards`, async () => {
        const root = mkdtempSync(join(base, 'troupe-tree-'));
        onTestFinished(() => rmSync(root, { recursive: true, force: true }));
        if (base !== tmpdir()) await recogniseMemory(root);
        const path = join(root, 'container');
        const data = join(root, 'data');
        mkdirSync(join(path, 'bundle/below'), { recursive: true });
        writeFileSync(join(path, 'bundle/config.json'), '{}');
        mkdirSync(data);
        writeFileSync(join(data, 'kept'), 'kept');
        const targets = {
          'a directory': join(path, 'bundle/below'),
          'a file': join(path, 'bundle/config.json'),
          'the directory itself': path,
        };
        const source = kind === 'a file' ? join(data, 'kept') : data;
        await mountBind({ source, target: targets[kind] });
        await expect(removeUnmountedTree(path, 'id')).rejects.toThrow(
          `remove directory ${path}: ${targets[kind]} is still mounted`,
        );
        await unmount(targets[kind]);
        expect(readFileSync(join(data, 'kept'), 'utf8')).toBe('kept');
        await removeUnmountedTree(path, 'id');
        expect([existsSync(path), existsSync(join(data, 'kept'))]).toEqual([false, true]);
      });
    }
  }
});
