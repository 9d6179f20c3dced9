// `node test/support/tools/main.ts [crictl] [runc] [shim]`: builds the tools ahead (all without an argument) and prints
// their paths.
import { crictl, runc14, shimRuncV2 } from './go-tools.ts';

const makers = new Map([
  ['crictl', crictl],
  ['runc', runc14],
  ['shim', shimRuncV2],
]);
const names = process.argv.length > 2 ? process.argv.slice(2) : [...makers.keys()];
for (const name of names) {
  const make = makers.get(name);
  if (make === undefined)
    throw new Error(`unknown tool "${name}"; there are: ${[...makers.keys()].join(', ')}`);
  console.log(`${name} ${await make()}`);
}
