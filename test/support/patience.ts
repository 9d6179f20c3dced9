// How long tests wait for what must come. No test and no step is decided by a time: these limits only end what hangs,
// so they are generous, and one environment variable makes all of them longer.

/** Factor of every limit: 1 unless TROUPE_TEST_PATIENCE says otherwise (in guests: `patience` in test/vm). */
const PATIENCE = Number(process.env['TROUPE_TEST_PATIENCE'] ?? '1');

/** A limit of a suite of its own, in the machine's patience. @param ms on a machine that has time for it */
export const patient = (ms: number): number => ms * PATIENCE;

/** Milliseconds for one event that must come: a process that ends, a line in a log, a state in a list. */
export const EVENT_MS = 120_000 * PATIENCE;
/** Milliseconds for work of some size: a program that a test runs to its end, a large tree that the daemon deletes. */
export const PROGRAM_MS = 600_000 * PATIENCE;
/** Milliseconds for one test or hook. Above both, so that the wait that hangs is the one that fails. */
export const TEST_MS = 900_000 * PATIENCE;
/** Milliseconds for the cold build of one program in Go, downloads included; warm it takes seconds. */
export const BUILD_MS = 3_600_000 * PATIENCE;
/**
 * Milliseconds without any progress after which a step of `npm test` hangs; a step as a whole has no limit. Above the
 * hooks and the test of one file (TEST_MS each), so that the report names the test.
 */
export const STEP_MS = 2_700_000 * PATIENCE;

/** What to say where such a limit ends a wait: it is a hang, or the machine needs more patience. */
export const hangs = (what: string, afterMs: number, missing = 'end'): string =>
  `${what} hangs: no ${missing} after ${afterMs / 1000} s (TROUPE_TEST_PATIENCE=2 doubles every such limit)`;
