import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { ContainerId, SandboxId } from '../../../../../src/base/ids.ts';
import { createLayout } from '../../../../../src/host/sandbox/layout.ts';
import { shownSpecs, withoutEnvironment } from '../../../../../src/oci/runtime/container/shown-spec.ts';

const directory = mkdtempSync(join(tmpdir(), 'troupe-shown-'));
afterAll(() => rmSync(directory, { recursive: true }));
const layout = createLayout({ root: join(directory, 'root'), state: join(directory, 'state') });
const specs = shownSpecs(layout);
const container = 'c'.repeat(64) as ContainerId;
const sandbox = 'a'.repeat(64) as SandboxId;

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

it('a document is shown without the environment of its process and of its hooks', () => {
  const document = {
    process: { args: ['sh'], env: ['TOKEN=secret'] },
    hooks: { prestart: [{ path: '/hook', env: ['KEY=secret'] }] },
    annotations: { env: 'kept' },
  };
  expect(JSON.parse(withoutEnvironment(JSON.stringify(document)) ?? '')).toEqual({
    process: { args: ['sh'] },
    hooks: { prestart: [{ path: '/hook' }] },
    annotations: { env: 'kept' },
  });
});

it('numbers of 64 bits are unchanged', () => {
  expect(
    withoutEnvironment(
      '{ "soft": 18446744073709551615, "limit": 9223372036854771712, "small": 5, "half": 0.5 }',
    ),
  ).toBe('{"soft":18446744073709551615,"limit":9223372036854771712,"small":5,"half":0.5}');
});

it('an invalid document is not shown', async () => {
  expect(withoutEnvironment('{"process":')).toBeUndefined();
  expect(await specs.container(container)).toBeUndefined();
  expect(await specs.sandbox(sandbox)).toBeUndefined();
});

it('a container shows its bundle; a pod its pause process, or without one its pinned namespaces', async () => {
  write(layout.configJson(container), '{"ociVersion":"1.0.2","process":{"env":[]}}');
  expect(await specs.container(container)).toBe('{"ociVersion":"1.0.2","process":{}}');
  for (const kind of ['uts', 'net'] as const) write(layout.pin(sandbox, kind), '');
  expect(JSON.parse((await specs.sandbox(sandbox)) ?? '')).toEqual({
    ociVersion: '1.0.2',
    linux: {
      namespaces: [
        { type: 'network', path: layout.pin(sandbox, 'net') },
        { type: 'uts', path: layout.pin(sandbox, 'uts') },
      ],
    },
  });
  write(join(layout.pauseBundleDir(sandbox), 'config.json'), '{"linux":{"namespaces":[{"type":"pid"}]}}');
  expect(JSON.parse((await specs.sandbox(sandbox)) ?? '')).toEqual({
    linux: { namespaces: [{ type: 'pid' }] },
  });
});
