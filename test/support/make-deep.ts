// As a program: makes directories in each other below the first argument, as many as the second says; files beside each
// other with `wide`.
import { makeDeep, makeWide } from './deep-tree.ts';

const [directory = '', count, form] = process.argv.slice(2);
if (form === 'wide') makeWide(directory, Number(count));
else makeDeep(directory, Number(count));
