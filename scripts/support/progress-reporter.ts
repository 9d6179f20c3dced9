// A reporter of vitest's: how far a step of `npm test` is, as a line now and then, so that who watches a slow machine
// sees that it works, and on what.
import type { Reporter, TestCase, TestModule, TestSpecification } from 'vitest/node';
import { endSafely } from './end-safely.ts';

/** Milliseconds between two lines: rare enough to leave the tests' own lines readable. */
const LINE_EVERY_MS = 15_000;
/** Tests under way that a line names: of more it gives the number. */
const NAMED_TESTS = 3;

export interface Progress {
  readonly files: number;
  readonly filesDone: number;
  readonly tests: number;
  readonly failed: number;
  /** Full names of the tests under way, the longest first, with the seconds that each has taken so far. */
  readonly running: readonly { readonly name: string; readonly seconds: number }[];
}

/** e.g. `12 of 80 files, 310 tests, 1 failed; running: F10 a second death at each effect (32 s)` */
export function progressLine({ files, filesDone, tests, failed, running }: Progress): string {
  const named = running.slice(0, NAMED_TESTS).map(({ name, seconds }) => `${name} (${seconds.toFixed(0)} s)`);
  if (running.length > NAMED_TESTS) named.push(`${running.length - NAMED_TESTS} more`);
  const counts = `${filesDone} of ${files} files, ${tests} tests, ${failed} failed`;
  return named.length === 0 ? counts : `${counts}; running: ${named.join(', ')}`;
}

/** To the step that started this process (shown-program.ts): it still works. */
function reportProgress(): void {
  process.send?.('progress');
}

// vitest makes reporters named on its command line from their default export
// oxlint-disable-next-line import/no-default-export
export default class ProgressReporter implements Reporter {
  constructor() {
    // in the process of vitest, which could hang when it ends
    endSafely();
  }

  #files = 0;
  #filesDone = 0;
  #tests = 0;
  #failed = 0;
  readonly #running = new Map<string, { readonly name: string; readonly sinceMs: number }>();
  #timer: NodeJS.Timeout | undefined;

  onTestRunStart(specifications: readonly TestSpecification[]): void {
    this.#files = specifications.length;
    this.#timer = setInterval(() => this.#print(), LINE_EVERY_MS);
    this.#timer.unref();
  }

  onTestCaseReady(test: TestCase): void {
    this.#running.set(test.id, { name: test.fullName, sinceMs: performance.now() });
  }

  onTestCaseResult(test: TestCase): void {
    this.#running.delete(test.id);
    this.#tests += 1;
    if (test.result().state === 'failed') this.#failed += 1;
    reportProgress();
  }

  onTestModuleEnd(module: TestModule): void {
    // vitest may say that a short test is ready after it has ended
    for (const { id } of module.children.allTests()) this.#running.delete(id);
    this.#filesDone += 1;
    reportProgress();
  }

  onTestRunEnd(): void {
    clearInterval(this.#timer);
    this.#print();
  }

  #print(): void {
    const nowMs = performance.now();
    const running = [...this.#running.values()].map(({ name, sinceMs }) => ({
      name,
      seconds: (nowMs - sinceMs) / 1000,
    }));
    const line = progressLine({
      files: this.#files,
      filesDone: this.#filesDone,
      tests: this.#tests,
      failed: this.#failed,
      running: running.toSorted((a, b) => b.seconds - a.seconds),
    });
    process.stdout.write(`   ${line}\n`);
  }
}
