/** The driver of checkpoints with a runtime that is a shell script. */
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../../../../src/base/log.ts';
import { realClock } from '../../../../../src/host/clock/clock.ts';
import { createLayout } from '../../../../../src/host/sandbox/layout.ts';
import type { Layout } from '../../../../../src/host/sandbox/layout.ts';
import { createCheckpointDriver } from '../../../../../src/oci/runtime/checkpoint/driver.ts';
import type {
  CheckpointDriver,
  CheckpointOptions,
} from '../../../../../src/oci/runtime/checkpoint/driver.ts';
import type { ReadFacts } from '../../../../../src/oci/runtime/checkpoint/space.ts';

export interface CheckpointBench {
  readonly driver: CheckpointDriver;
  /** Messages of warnings and errors. */
  readonly lines: readonly string[];
  readonly layout: Layout;
  /** Writes the runtime, of which all calls but the question what it can do are the given case. */
  runtime(calls: string): void;
  /** Directories of checkpoints. */
  works(): readonly string[];
  /** Writes the record of an interrupted checkpoint; its handler is `gone` unless named. */
  interrupted(id: string, archive: string, more?: object): void;
}

interface BenchOptions {
  readonly readFacts?: ReadFacts | undefined;
  /** Called when a checkpoint begins. */
  readonly begins?: () => void;
}

/** The driver's handler is `fake`; everything is below `directory`. */
export function checkpointBench(
  directory: string,
  { readFacts, begins }: BenchOptions = {},
): CheckpointBench {
  const layout = createLayout({ root: directory, state: join(directory, 'state') });
  const lines: string[] = [];
  const line = (_fields: object, message: string): void => void lines.push(message);
  const path = join(directory, 'runtime');
  const annotations = '{"annotations":{"org.opencontainers.runc.checkpoint.enabled":"true"}}';
  const runtime = (calls: string): void => {
    writeFileSync(path, `#!/bin/sh\ncase "$*" in features) echo '${annotations}' ;; ${calls} esac\n`);
    chmodSync(path, 0o755);
  };
  runtime('*) exit 1 ;;');
  const handler = { name: 'fake', kind: 'oci', path, root: directory };
  const resolve = (): object => {
    begins?.();
    return handler;
  };
  const parts = {
    layout,
    clock: realClock(),
    log: { ...silentLog, error: line, warn: line },
    toolPath: '/usr/bin:/bin',
    table: { known: () => [handler], resolve },
  };
  const driver = createCheckpointDriver({
    parts: parts as unknown,
    criu: { path: '/bin/true' },
    restores: false,
    ...(readFacts === undefined ? {} : { readFacts }),
  } as CheckpointOptions);
  const interrupted = (id: string, archive: string, more: object = {}): void => {
    const work = join(layout.checkpointsDir, id);
    mkdirSync(work, { recursive: true });
    const note = { version: 1, id, handler: 'gone', archive, together: [archive], ...more };
    writeFileSync(join(work, 'note.json'), JSON.stringify(note));
  };
  const works = (): readonly string[] => readdirSync(layout.checkpointsDir).toSorted();
  return { driver, lines, layout, runtime, works, interrupted };
}
