/** Run by priority.test.ts: the nice values of a process's threads at first, preferred, and when that is over. */
import { endPreference, preferMainThread } from '../../../src/host/tuning/main-thread-priority.ts';
import { niceOf, niceOfOtherThreads } from '../../support/nice-values.ts';

const values = (): readonly number[] => [niceOf(process.pid), ...new Set(niceOfOtherThreads(process.pid))];
const seen = [values()];
preferMainThread();
seen.push(values().toSorted((one, other) => one - other));
endPreference();
seen.push(values());
process.stdout.write(JSON.stringify(seen));
