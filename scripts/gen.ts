/** `npm run gen`: proto/ → src/gen/, offline. `--out DIR` writes DIR/src/gen instead, for the test of freshness. */
import { execFileSync } from 'node:child_process';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const root = resolve(import.meta.dirname, '..');
const bin = join(root, 'node_modules', '.bin');
const { values } = parseArgs({ options: { out: { type: 'string' } } });

// The plugin is a program with an `env node` line: this very node goes first, whatever else is on the PATH.
const path = [dirname(process.execPath), bin, process.env['PATH'] ?? ''].join(delimiter);
execFileSync(join(bin, 'buf'), ['generate', '--output', resolve(values.out ?? root)], {
  cwd: root,
  env: { ...process.env, PATH: path },
  stdio: 'inherit',
});
