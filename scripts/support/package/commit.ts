// The commit that is packed: its time is that of every file.
import process from 'node:process';
import { checkout } from '../checkout.ts';
import { gitIn } from '../git.ts';

/** Of the commit; files without git have SOURCE_DATE_EPOCH, as packagers know it. */
export function commitSeconds(): number {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined) {
    if (!/^\d{1,10}$/u.test(given)) throw new Error(`SOURCE_DATE_EPOCH=${given} is no number of seconds`);
    return Number(given);
  }
  try {
    return Number(gitIn(checkout, 'log', '-1', '--format=%ct'));
  } catch {
    throw new Error(`git knows no commit of ${checkout}; give its time as SOURCE_DATE_EPOCH`);
  }
}

/** Whether what is packed, or packs, differs from the commit. */
export function isChanged(): boolean {
  const packed = [
    'bin',
    'deploy',
    'docs',
    'scripts',
    'src',
    '*.md',
    'LICENSE',
    'package.json',
    'package-lock.json',
  ];
  try {
    return gitIn(checkout, 'status', '--porcelain', '--', ...packed) !== '';
  } catch {
    return false;
  }
}
