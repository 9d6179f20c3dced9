// The line by which a log of `npm test` names the commit that was tested: a release takes no log of another one.
import { checkout } from './checkout.ts';
import { gitIn } from './git.ts';

const LEAD = 'tests of commit ';
const CHANGED = ' with changes';
const LINE = new RegExp(`^${LEAD}([0-9a-f]{40})(${CHANGED})?$`, 'u');

/** `tests of commit <hash>`, with a mark where files differ from it; of a checkout without git `tests of no commit`. */
export function testedLine(directory = checkout): string {
  try {
    const commit = gitIn(directory, 'rev-parse', 'HEAD');
    return `${LEAD}${commit}${gitIn(directory, 'status', '--porcelain') === '' ? '' : CHANGED}`;
  } catch {
    return 'tests of no commit';
  }
}

/** Of a run from its beginning to its end: a checkout that changed meanwhile was not tested as either. */
export const testedLineOf = (atStart: string, atEnd: string): string =>
  atStart === atEnd ? atStart : `the checkout changed during the tests: first ${atStart}, then ${atEnd}`;

/** The commit that a log names; '' where it names none, or files differed from it. */
export function testedCommit(log: string): string {
  const line = log.split('\n').findLast((one) => LINE.test(one)) ?? '';
  const [, commit = '', changed] = LINE.exec(line) ?? [];
  return changed === undefined ? commit : '';
}
