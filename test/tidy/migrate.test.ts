// docs/migrate.md: the keys of troupe in its tables exist.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { defaultConfig } from '../../src/daemon/config/config-schema.ts';

const text = readFileSync(join(import.meta.dirname, '../../docs/migrate.md'), 'utf8');

/** `network.config_dir` of the right-hand columns, with what is set left out. */
const named = text
  .split('\n')
  .filter((line) => /^\| .* \| .* \|$/u.test(line))
  .flatMap((line) => [...(line.split(' | ').at(-1) ?? '').matchAll(/`([a-z_]+\.[a-z_]+)(?:`| = )/gu)])
  .map(([, key = '']) => key)
  .filter((key) => !['metrics.md', 'registries.conf', 'auth.json'].includes(key));

test.each([...new Set(named)])('%s is a key of the configuration', (key) => {
  const [section = '', name = ''] = key.split('.');
  expect(defaultConfig).toHaveProperty([section]);
  expect(Object.keys(defaultConfig[section as keyof typeof defaultConfig])).toContain(name);
});

test('there are tables', () => {
  expect(named.length).toBeGreaterThan(30);
});
