import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ImageService, RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { contractLines, repository } from './contract-lines.ts';
import { skipHere } from '../../support/skips/unless.ts';

/** The version whose contract proto/runtime/v1 states. */
const published = 'k8s.io/cri-api@v0.37.2';

/** The directory of the published contract in the Go module cache, or why it can't be had. */
function publishedDirectory(): { directory: string } | { reason: string } {
  try {
    const answer = execFileSync('go', ['mod', 'download', '-json', published], {
      cwd: tmpdir(),
      encoding: 'utf8',
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/local/go/bin` },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const module = JSON.parse(answer) as { Dir: string };
    return { directory: join(module.Dir, 'pkg', 'apis', 'runtime', 'v1') };
  } catch (error) {
    return {
      reason: `go mod download ${published}: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

let scratch = '';
let ours: readonly string[] = [];
beforeAll(() => {
  ours = contractLines(join(repository, 'proto'));
  scratch = mkdtempSync(join(tmpdir(), 'troupe-wire-'));
});
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

describe('the CRI wire contract', () => {
  test('our contract matches the published one, field by field', (context) => {
    const found = publishedDirectory();
    if ('reason' in found) {
      process.stderr.write(`skipped, the published contract can't be had: ${found.reason}\n`);
      skipHere(context, found.reason);
      return;
    }
    const theirs = contractLines(found.directory);
    expect(theirs.length).toBeGreaterThan(800);
    expect(ours).toEqual(theirs);
  });

  test.each([
    ['a number', 'string runtime_handler = 2;', 'string runtime_handler = 3;'],
    ['a type', 'int64 memory_limit_in_bytes = 4;', 'uint64 memory_limit_in_bytes = 4;'],
    ['a name', 'string log_directory = 3;', 'string log_dir = 3;'],
    ['a label', 'repeated Mount mounts = 7;', 'Mount mounts = 7;'],
    ['a map', 'map<string, string> sysctls = 3;', 'map<string, bytes> sysctls = 3;'],
    ['an enum value', 'CGROUPFS = 1;', 'CGROUPFS = 2;'],
    ['a stream', 'returns (stream ContainerEventResponse)', 'returns (ContainerEventResponse)'],
    ['a deprecation', ' [deprecated = true]', ''],
  ])('a drift in %s would be detected', (_what, from, to) => {
    const text = readFileSync(join(repository, 'proto', 'runtime', 'v1', 'api.proto'), 'utf8');
    expect(text).toContain(from);
    const directory = mkdtempSync(join(scratch, 'drift-'));
    mkdirSync(join(directory, 'runtime', 'v1'), { recursive: true });
    writeFileSync(join(directory, 'runtime', 'v1', 'api.proto'), text.replace(from, to));
    expect(contractLines(directory)).not.toEqual(ours);
  });

  test('43 RPCs are declared: 37 for pods and containers, 6 for images', () => {
    expect(RuntimeService.methods.length).toBe(37);
    expect(ImageService.methods.length).toBe(6);
  });
});
