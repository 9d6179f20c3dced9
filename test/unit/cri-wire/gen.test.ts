import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { repository } from './contract-lines.ts';
import { EXHAUSTIVE } from '../../support/exhaustive.ts';

/** Path → content of all files below a directory. */
function contents(directory: string): Map<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    files
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path.slice(directory.length + 1), readFileSync(path, 'utf8')]),
  );
}

test('src/gen matches the output of `npm run gen` for proto/', { tags: [EXHAUSTIVE] }, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'troupe-gen-'));
  try {
    execFileSync(process.execPath, [join(repository, 'scripts', 'gen.ts'), '--out', scratch], {
      stdio: 'pipe',
    });
    const fresh = contents(join(scratch, 'src', 'gen'));
    expect([...fresh.keys()]).toContain('runtime/v1/api_pb.ts');
    expect(contents(join(repository, 'src', 'gen'))).toEqual(fresh);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
