// `sudo npm run upgrade-test [-- --from COMMIT --pods 30]`: pods of the last release under load; the daemon becomes the
// working tree's, and that of the release again where it can read what was written. No container may restart and no
// call may fail. Prints a table and writes it into docs/figures.md.
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { commitOf, previousCommit } from './previous.ts';
import { isUnnoticed, upgrade, upgradeText } from './upgrade.ts';

const { values } = parseArgs({
  options: { from: { type: 'string' }, pods: { type: 'string', default: '30' } },
});

if (process.getuid?.() === 0) await main();
else {
  console.error('The upgrade test makes pods, so it needs root: sudo npm run upgrade-test');
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const options = {
    from: values.from === undefined ? previousCommit() : commitOf(values.from),
    pods: Number(values.pods),
    lives: 4,
    execsPerSecond: 20,
    callsBetween: 400,
  };
  const result = await upgrade(options);
  const text = upgradeText(options, result);
  console.log(text);
  writeFigures('upgrade', 'Upgrade and back', text);
  if (!isUnnoticed(result)) process.exitCode = 1;
}
