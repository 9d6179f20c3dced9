// As a program: makes directories in each other below the first argument, as many as the second says.
import { makeDeep } from './deep-tree.ts';

makeDeep(process.argv[2] ?? '', Number(process.argv[3]));
