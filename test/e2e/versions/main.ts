// `sudo npm run fixtures [-- --name VERSION]`: root and state of this version for test/fixtures/versions, made by its
// daemon under churn. A release makes them; afterwards they stay as they are, and every later version starts on them.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkout } from '../../support/tools/cache.ts';
import { gitIn } from '../../../scripts/support/git.ts';
import { releases } from '../../../scripts/support/releases.ts';
import { makeFixture } from './make-fixture.ts';
import { FIXTURES } from './manifest.ts';

const { values } = parseArgs({ options: { name: { type: 'string' } } });

if (process.getuid?.() === 0) await main();
else {
  console.error('The fixtures are made by pods, so it needs root: sudo npm run fixtures');
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as {
    readonly version: string;
  };
  const name = values.name ?? version;
  const directory = join(FIXTURES, name);
  if (releases().some((release) => release.version === name) && existsSync(directory)) {
    console.error(`${name} is released: its fixture stays as it is`);
    process.exitCode = 1;
    return;
  }
  await makeFixture(directory, { version, commit: gitIn(checkout, 'rev-parse', 'HEAD') });
  console.log(`written: ${directory}`);
}
